"""`pressroom retention`: what would go, and what went."""

import json
from pathlib import Path

import pytest

from cli.retention import retention
from pressroom.errors import PressroomError
from pressroom.objects.store import FolderStore
from pressroom.settings import load_settings
from pressroom.store.engine import Store
from pressroom.store.review import read_log
from tests.compliance.test_retention import KEPT, RAW, ended, files
from tests.review.desk import ACCOUNT


@pytest.fixture
def objects(here: None) -> FolderStore:
    return FolderStore(load_settings().objects_folder)


def test_a_dry_run_says_what_would_go_and_the_next_one_lets_it_go_in_the_name_of_who_asked(
    store: Store, objects: FolderStore, capsys: pytest.CaptureFixture[str]
) -> None:
    key = ended(store, objects)
    retention(dry_run=True, json=True)
    dry = json.loads(capsys.readouterr().out)
    assert (dry["dry_run"], dry["videos"], dry["objects"]) == (True, 1, len(RAW))
    assert files(objects, key) == {*RAW, *KEPT}
    retention(who="cleo")
    assert f"{len(RAW)} object versions" in capsys.readouterr().out
    assert files(objects, key) == set(KEPT)
    with store.transaction() as session:
        assert {entry.who for entry in read_log(session, ACCOUNT) if entry.entity == "video"} == {"cleo"}


def test_a_video_that_cannot_be_deleted_is_named_and_the_command_fails(
    store: Store, objects: FolderStore, capsys: pytest.CaptureFixture[str]
) -> None:
    key = ended(store, objects)
    raw = Path(objects.location(f"sites/brew/videos/{key}/raw/frames.zip"))
    raw.unlink()
    raw.mkdir()
    raw.parent.rename(raw.parent.with_name("moved"))
    raw.parent.symlink_to(raw.parent)  # a folder that leads into itself cannot be listed
    with pytest.raises(PressroomError, match="1 could not be deleted"):
        retention()
    assert key in capsys.readouterr().out
