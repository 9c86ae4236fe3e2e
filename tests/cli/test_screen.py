"""`pressroom screen`, as people call it: a good file, a refused one, one that is not there."""

import json
import os
import subprocess
import sys
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import sqlalchemy as sa
from filelock import FileLock

from cli.screen import FOLDER, LOCK, work_folder
from pressroom.store.engine import Store
from pressroom.store.tables import ModelCallRow
from simulators.replicate import ReplicateSimulator
from tests.cli.conftest import Pressroom
from tests.dagster.films import calm, calm_film, film, hosted
from tests.telling import Done, told
from tests.videos import archive

__all__ = ["hosted"]

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "docs" / "compliance-report.schema.json").read_text(encoding="utf-8"))


@pytest.fixture
def screen(here: None, pressroom: Pressroom) -> Pressroom:
    return partial(pressroom, "screen")


def document(done: Done) -> Any:
    """The one document on stdout, which keeps the published schema."""
    found = json.loads(done.stdout)
    jsonschema.validate(found, SCHEMA)
    return found


def test_a_film_is_screened_and_its_json_is_one_document_of_the_published_schema(
    screen: Pressroom, hosted: ReplicateSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    path, out = film(tmp_path), tmp_path / "report" / "here"
    done = screen(path, "--json", "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    found = document(done)
    assert (found["state"], found["video"]["name"]) == ("screened", "film.mp4")
    assert {trigger["code"] for trigger in found["triggers"]} >= {"VIO.PHYSICAL", "VIO.WEAPON"}
    assert found["policy"]["name"] == "default"
    assert {timing["stage"] for timing in found["timings"]} >= {"hash", "transcript"}
    assert json.loads((out / "report.json").read_text()) == found
    assert (out / "report.html").stat().st_size > 5000
    assert (out / "report.vtt").read_text().startswith("WEBVTT")

    cost, runs = found["cost"], run_ids(store)
    assert cost["paid"] > 0
    assert Decimal(cost["usd"]) == Decimal(cost["paid_usd"]) > 0
    assert len(runs) == 1

    asked = hosted.count
    for fail_on, code in (("review", 1), ("block", 1 if found["outcome"] == "block" else 0)):
        again = screen(path, "--json", "--fail-on", fail_on)
        assert again.returncode == code, fail_on
        assert document(again)["version"] == found["version"]
        assert document(again)["cost"] == cost | {"paid_usd": "0.000000", "paid": 0, "replayed": cost["paid"]}
    monkeypatch.setenv("PRESSROOM_RUN_LIMIT_USD", "0.001")
    assert screen(path, "--json").returncode == 0, "what is answered already is within any limit"
    assert hosted.count == asked, "the same film again costs nothing"


def run_ids(store: Store) -> set[str | None]:
    with store.transaction() as session:
        return set(session.scalars(sa.select(ModelCallRow.run_id)))


def test_a_calm_film_passes_and_a_person_sees_a_table(screen: Pressroom, hosted: ReplicateSimulator, tmp_path: Path, store: Store) -> None:
    done = screen(calm_film(tmp_path), "--fail-on", "review")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("clear")
    assert "violence" in done.stdout
    assert "100%" in done.stdout
    assert " in all; this run paid $0.0" in done.stdout
    other = screen(film(tmp_path), "--json")
    assert other.returncode == 0
    assert len(run_ids(store)) == 2, "each command is a run of its own in `pressroom costs --by run`"


def test_a_film_that_costs_more_than_the_limit_is_blocked_before_anything_is_asked(
    screen: Pressroom, hosted: ReplicateSimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRESSROOM_RUN_LIMIT_USD", "0.001")
    done = screen(film(tmp_path), "--json")
    assert told(done, 4, "over the run's limit of 0.001 USD") is None
    assert hosted.count == 0


def test_a_file_that_is_no_video_is_refused_with_a_report_and_one_line(screen: Pressroom, tmp_path: Path) -> None:
    path = archive(tmp_path / "film.mp4")
    done = screen(path, "--json", "--out", tmp_path / "out")
    told(done, 2, str(path))
    found = document(done)
    assert (found["state"], found["outcome"]) == ("refused", None)
    assert all(one["state"] != "analysed" for one in found["coverage"])
    assert (tmp_path / "out" / "report.html").is_file()
    assert screen(path, "--out", tmp_path / "out").stdout == f"report: {tmp_path / 'out' / 'report.html'}\n"


@pytest.mark.parametrize("language", ["klingon !!", "klingon", "EN", "en_GB", "en\n", ""])
def test_what_is_no_language_is_one_line_before_any_work(screen: Pressroom, tmp_path: Path, language: str) -> None:
    done = screen(tmp_path / "film.mp4", "--language", language)
    assert told(done, 2, f"pressroom: --language {language!r}: expected a language such as en or pt-BR\n") is None


def test_a_film_without_sound_has_nothing_to_hear(screen: Pressroom, hosted: ReplicateSimulator, tmp_path: Path) -> None:
    path = film(tmp_path, seconds=1.0, paint=calm, sound=None)
    lines = screen(path, "--language", "pt-BR").stdout.splitlines()
    told = {name: next(line for line in lines if line.startswith(f"{name} ")) for name in ("transcript", "sound", "picture")}
    assert ["nothing to hear" in line for line in told.values()] == [True, True, False]


def test_risks_diff_reads_what_screen_has_written(
    screen: Pressroom, pressroom: Pressroom, hosted: ReplicateSimulator, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    found = document(screen(film(tmp_path), "--json", "--out", out))
    (tmp_path / "none.yaml").write_text("actions: {VIO.PHYSICAL: pass, VIO.WEAPON: pass}\nextends: default")
    compared = pressroom("risks", "diff", tmp_path / "none.yaml", "--signals", out / "signals.json", "--json")
    (video,) = json.loads(compared.stdout)["videos"]
    assert (video["video"], video["outcome"]["before"]) == ("film.mp4", found["outcome"])
    changed = {change["code"] for change in video["changes"]}
    assert changed == {"VIO.PHYSICAL", "VIO.WEAPON"}
    assert len(video["changes"]) + video["same"] == len(found["triggers"])


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_what_is_no_file_is_one_line(screen: Pressroom, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "film.mp4"
    if kind == "folder":
        path.mkdir()
    assert told(screen(path, "--json"), 2, str(path)) is None


def test_a_folder_for_the_report_that_cannot_be_made_is_told_before_any_work(screen: Pressroom, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file in the way")
    assert told(screen(film(tmp_path, seconds=1.0), "--out", tmp_path / "out"), 2, f"--out {tmp_path / 'out'}") is None


@pytest.mark.long
def test_the_example_video_is_screened_by_this_machine_alone(screen: Pressroom, tmp_path: Path) -> None:
    """Words burnt in and spoken, a black and a frozen stretch: what the shipped policy finds without any hosted model."""
    from pressroom.compliance.example import make_example

    make_example(tmp_path / "example.mp4")
    done = screen(tmp_path / "example.mp4", "--json", "--fail-on", "review")
    assert done.returncode == 1
    found = document(done)
    assert found["outcome"] == "review"
    assert {"CLAIM.FINANCE", "PII.ONSCREEN"} <= {trigger["code"] for trigger in found["triggers"]}
    assert found["signals"]["picture"] > 0
    assert any("iolence" in line for line in found["not_analysed"])


def test_what_a_killed_command_left_goes_with_the_next_one_and_what_is_in_use_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead, fresh = tmp_path / f"{FOLDER}dead", tmp_path / f"{FOLDER}fresh"
    used, link, other = tmp_path / f"{FOLDER}used", tmp_path / f"{FOLDER}link", tmp_path / "pressroom-other"
    for folder in (dead, fresh, used, other):
        (folder / "thumb").mkdir(parents=True)
    link.symlink_to(other, target_is_directory=True)
    with FileLock(used / LOCK):
        for folder in (dead, used, other):
            os.utime(folder, (0, 0))
        with work_folder() as own:
            assert own.is_dir()
            assert sorted(tmp_path.iterdir()) == sorted([fresh, used, link, other, own])
    assert sorted(tmp_path.iterdir()) == sorted([fresh, used, link, other])
    assert (other / "thumb").is_dir()


def test_a_command_that_is_killed_leaves_a_folder_that_nobody_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`kill -9`: nothing of ours runs at the end, so that only the next command can clean up."""
    script = "from cli.screen import work_folder; import os, signal\nwith work_folder(): os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run([sys.executable, "-c", script], env=os.environ | {"TMPDIR": str(tmp_path)}, check=False)
    (left,) = tmp_path.iterdir()
    os.utime(left, (0, 0))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with work_folder() as own:
        assert list(tmp_path.iterdir()) == [own]
