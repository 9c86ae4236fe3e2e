"""What every object store keeps: the folder, a bucket with versions and one without, tried with the same cases."""

import hashlib
import os
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from pressroom.errors import BadInput, Permanent
from pressroom.objects import s3 as s3_module
from pressroom.objects.s3 import S3Store
from pressroom.objects.store import FolderStore, ObjectStore, versions_of
from tests.objects.conftest import place

ODD_NAMES = ["a b.mp4", 'it\'s "quoted".mp4', "Ünïcode – 日本.mp4", "100%+&=?#.mp4", "n" * 200 + ".mp4"]


def keys(objects: ObjectStore, prefix: str, after: str | None = None) -> list[str]:
    return [stored.key for stored in objects.list(prefix, after=after)]


def newest(objects: ObjectStore, key: str) -> str:
    found = objects.head(key)
    assert found
    return found.id


def test_what_is_written_is_listed_and_read_under_its_name_however_odd(objects: ObjectStore) -> None:
    for name in ODD_NAMES:
        objects.write(f"uploads/{name}", name.encode())
    assert keys(objects, "uploads/") == sorted(f"uploads/{name}" for name in ODD_NAMES)
    for stored in objects.list("uploads/"):
        name = stored.key.removeprefix("uploads/")
        assert stored.size == len(name.encode())
        assert stored.modified.tzinfo
        assert objects.read(stored.key) == name.encode()
        assert objects.location(stored.key).endswith(name)


def test_a_listing_goes_in_key_order_from_any_key_on(objects: ObjectStore) -> None:
    """A folder's own order would put a/x before a-b/x: one start key must mean the same in both stores."""
    for key in ("v/a/x", "v/a-b/x", "v/a.mp4", "v/b", "w/a", "v/a/y/z"):
        objects.write(key, b"1")
    everything = ["v/a-b/x", "v/a.mp4", "v/a/x", "v/a/y/z", "v/b"]
    assert keys(objects, "v/") == everything
    assert keys(objects, "") == [*everything, "w/a"]
    assert keys(objects, "v/a") == everything[:-1]
    assert keys(objects, "nothing/") == []
    for number, key in enumerate(everything):
        assert keys(objects, "v/", after=key) == everything[number + 1 :]
        assert [version.key for version in objects.versions("v/", after=key)] == everything[number + 1 :]
    assert keys(objects, "v/", after="v/a/") == ["v/a/x", "v/a/y/z", "v/b"]


def test_hidden_names_are_no_objects(objects: ObjectStore) -> None:
    """.bzEmpty is what B2's console leaves for a folder; a half-written file begins with a dot too."""
    for key in ("v/.bzEmpty", "v/.git/config", "v/seen"):
        objects.write(key, b"")
    assert keys(objects, "v/") == ["v/seen"]
    assert [version.key for version in objects.versions("v/")] == ["v/seen"]


def test_what_is_not_there_is_said_in_one_line(objects: ObjectStore, tmp_path: Path) -> None:
    assert objects.head("v/none") is None
    assert not objects.exists("v/none")
    for ask in (lambda: objects.read("v/none"), lambda: objects.fetch("v/none", None, tmp_path / "file")):
        with pytest.raises(BadInput, match="v/none"):
            ask()
    assert not (tmp_path / "file").exists()
    objects.move("v/none", "v/other")
    assert keys(objects, "") == []


def test_a_key_that_could_mean_another_place_is_refused(objects: ObjectStore, tmp_path: Path) -> None:
    objects.write("a", b"")
    asks: list[Callable[[str], object]] = [
        objects.read,
        objects.head,
        lambda key: objects.write(key, b""),
        lambda key: objects.fetch(key, None, tmp_path / "file"),
        lambda key: objects.move("a", key),
        lambda key: objects.delete(key, "1"),
        lambda key: list(objects.list(f"{key}/")),
    ]
    for key, ask in product(["", "/etc/passwd", "a/../b", "..", "a\\b", "a\nb", "a\n", "a" * 1025], asks):
        with pytest.raises(BadInput, match="is no object key"):
            ask(key)


@pytest.mark.parametrize("size", [0, 1, 3_000_001])
def test_a_file_goes_up_and_comes_down_the_same_with_its_sha256(objects: ObjectStore, size: int, tmp_path: Path) -> None:
    data = os.urandom(size)
    (tmp_path / "up").write_bytes(data)
    up_at: list[tuple[int, int]] = []
    down_at: list[tuple[int, int]] = []
    seen = hashlib.sha256()
    up = objects.put(tmp_path / "up", "v/film.mp4", progress=lambda done, of: up_at.append((done, of)))
    down = objects.fetch(
        "v/film.mp4", None, tmp_path / "deep" / "down", progress=lambda done, of: down_at.append((done, of)), on_bytes=seen.update
    )
    assert up == down
    assert (down.key, down.size, down.sha256) == ("v/film.mp4", size, hashlib.sha256(data).hexdigest())
    assert down.version == newest(objects, "v/film.mp4")
    assert (tmp_path / "deep" / "down").read_bytes() == data
    assert seen.hexdigest() == down.sha256
    assert [done for done, _ in down_at] == sorted({done for done, _ in down_at})
    if size:
        assert up_at[-1] == down_at[-1] == (size, size)


def test_a_version_that_was_listed_is_fetched_or_its_end_is_said(objects: ObjectStore, tmp_path: Path) -> None:
    objects.write("v/film.mp4", b"first")
    first = newest(objects, "v/film.mp4")
    objects.write("v/film.mp4", b"second one")
    assert newest(objects, "v/film.mp4") != first
    versions = list(versions_of(objects, "v/film.mp4"))
    assert versions[0].is_newest
    assert versions[0].size == 10
    if len(versions) == 2:
        assert objects.fetch("v/film.mp4", first, tmp_path / "file").size == 5
        assert (tmp_path / "file").read_bytes() == b"first"
        assert versions[1].id == first
        assert not versions[1].is_newest
    else:
        assert objects.head("v/film.mp4", first) is None
        with pytest.raises(BadInput, match="replaced"):
            objects.fetch("v/film.mp4", first, tmp_path / "file")
        assert not list(tmp_path.glob("*file*"))


def test_one_version_is_deleted_and_no_other(objects: ObjectStore) -> None:
    objects.write("v/film.mp4", b"first")
    objects.write("v/film.mp4.txt", b"a neighbour")
    first = newest(objects, "v/film.mp4")
    objects.write("v/film.mp4", b"second one")
    second = newest(objects, "v/film.mp4")
    assert objects.delete("v/film.mp4", first) == "deleted"
    assert objects.read("v/film.mp4") == b"second one"
    for version in versions_of(objects, "v/film.mp4"):
        assert objects.delete("v/film.mp4", version.id) == "deleted"
    assert objects.delete("v/film.mp4", second) == "deleted"
    assert [version.key for version in objects.versions("v/")] == ["v/film.mp4.txt"]


def test_a_moved_object_is_there_and_only_there(objects: ObjectStore) -> None:
    objects.write("inbox/file.csv", b"older")
    objects.write("inbox/file.csv", b"newer")
    objects.move("inbox/file.csv", "done/file.csv")
    assert keys(objects, "") == ["done/file.csv"]
    assert objects.read("done/file.csv") == b"newer"
    assert not objects.exists("inbox/file.csv")
    objects.move("inbox/file.csv", "done/file.csv")
    assert objects.read("done/file.csv") == b"newer"


def test_a_file_that_cannot_be_read_is_named(objects: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"missing\.mp4: cannot be read \(No such file"):
        objects.put(tmp_path / "missing.mp4", "v/film.mp4")
    assert not objects.exists("v/film.mp4")


def test_a_file_that_grows_while_it_goes_up_leaves_the_object_as_it_was(
    objects: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_module, "SMALLEST_PART", 5 << 20)
    objects.write("v/film.mp4", b"as it was")
    growing = tmp_path / "growing.mp4"
    growing.write_bytes(bytes(6 << 20))

    def more(_done: int, _of: int) -> None:
        with growing.open("ab") as file:
            file.write(b"more")

    with pytest.raises(BadInput, match=r"growing\.mp4: changed while it was read"):
        objects.put(growing, "v/film.mp4", progress=more)
    assert objects.read("v/film.mp4") == b"as it was"
    assert len(list(objects.versions("v/"))) == 1


def test_a_large_file_goes_up_in_parts(remote: S3Store, s3: Any, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_module, "SMALLEST_PART", 5 << 20)
    data = os.urandom((11 << 20) + 7)
    (tmp_path / "film.mp4").write_bytes(data)
    at: list[int] = []
    up = remote.put(tmp_path / "film.mp4", "v/film.mp4", progress=lambda done, _: at.append(done))
    assert (up.size, up.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert at == [5 << 20, 10 << 20, len(data)]
    assert s3.head_object(Bucket=bucket, Key="desk/v/film.mp4")["ETag"].endswith('-3"')
    assert s3.head_object(Bucket=bucket, Key="desk/v/film.mp4")["ContentType"] == "video/mp4"
    assert remote.read("v/film.mp4") == data


def test_a_deletion_in_the_console_shows_as_a_marker(remote: S3Store, s3: Any, bucket: str) -> None:
    remote.write("v/film.mp4", b"first")
    s3.delete_object(Bucket=bucket, Key="desk/v/film.mp4")
    marker, first = versions_of(remote, "v/film.mp4")
    assert (marker.is_marker, marker.is_newest, first.is_marker, first.is_newest) == (True, True, False, False)
    assert remote.head("v/film.mp4") is None
    assert remote.head("v/film.mp4", marker.id) is None
    assert remote.delete("v/film.mp4", marker.id) == "deleted"
    assert remote.read("v/film.mp4") == b"first"


def test_a_store_sees_nothing_beside_its_prefix(remote: S3Store, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="other/film.mp4", Body=b"1")
    s3.put_object(Bucket=bucket, Key="desk/film.mp4", Body=b"1")
    s3.put_object(Bucket=bucket, Key="desk/empty/", Body=b"")
    assert keys(remote, "") == ["film.mp4"]


def test_a_held_version_stays_and_is_reported(s3: Any, s3_port: int) -> None:
    s3.create_bucket(Bucket="with-locks", ObjectLockEnabledForBucket=True)
    store = S3Store(place("with-locks", s3_port), attempts=2)
    store.write("v/film.mp4", b"evidence")
    s3.put_object_legal_hold(Bucket="with-locks", Key="desk/v/film.mp4", LegalHold={"Status": "ON"})
    version = newest(store, "v/film.mp4")
    assert store.delete("v/film.mp4", version) == "held"
    assert store.read("v/film.mp4") == b"evidence"
    s3.put_object_legal_hold(Bucket="with-locks", Key="desk/v/film.mp4", LegalHold={"Status": "OFF"})
    assert store.delete("v/film.mp4", version) == "deleted"


def test_a_folder_cannot_sign_and_says_what_can(folder: FolderStore) -> None:
    folder.write("v/film.mp4", b"1")
    with pytest.raises(Permanent, match="set PRESSROOM_STORE_URL to a bucket"):
        folder.url("v/film.mp4")
