"""A bucket behind a bad wire, and a disk that is full: what breaks is taken up or said in one line, and nothing is left half done."""

import hashlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from pressroom.errors import BadInput, Permanent, PressroomError, Throttled, Transient
from pressroom.objects import s3 as s3_module
from pressroom.objects.s3 import Place, S3Store
from pressroom.objects.store import FolderStore, ObjectStore
from tests.objects.conftest import place
from tests.objects.wire import Wire

FILM = os.urandom((3 << 20) + 11)
SHA256 = hashlib.sha256(FILM).hexdigest()
MIB = 1 << 20


def test_a_download_that_breaks_is_taken_up_where_it_broke(remote: S3Store, shaky: S3Store, wire: Wire, tmp_path: Path) -> None:
    """Twice, at different places: each byte is seen once, and the hash is that of the whole."""
    remote.write("v/film.mp4", FILM)
    for cut in (MIB + 5, MIB + 9):
        wire.fail("GET", "film", cut_after=cut)
    seen = hashlib.sha256()
    found = shaky.fetch("v/film.mp4", None, tmp_path / "film.mp4", on_bytes=seen.update)
    assert (found.size, found.sha256, seen.hexdigest()) == (len(FILM), SHA256, SHA256)
    assert (tmp_path / "film.mp4").read_bytes() == FILM
    assert [ranged for _, ranged in wire.asked("GET")] == ["", f"bytes={MIB + 5}-", f"bytes={2 * MIB + 14}-"]
    assert all(f"versionId={found.version}" in path for path, _ in wire.asked("GET")[1:])


def test_a_connection_that_is_reset_again_and_again_is_taken_up_as_well(remote: S3Store, bucket: str, wire: Wire, tmp_path: Path) -> None:
    remote.write("v/film.mp4", FILM)
    wire.fail("GET", "film", times=2, cut_after=2 * MIB, reset=True)
    assert S3Store(place(bucket, wire.port), attempts=4).fetch("v/film.mp4", None, tmp_path / "film.mp4").sha256 == SHA256


def test_a_download_goes_on_with_the_version_it_began(remote: S3Store, shaky: S3Store, wire: Wire, tmp_path: Path) -> None:
    """Somebody replaces the video while it is fetched, and the connection breaks: no file is made of two videos."""
    remote.write("v/film.mp4", FILM)
    wire.fail("GET", "film", cut_after=2 * MIB)
    replaced = []

    def replace(_: bytes) -> None:
        if not replaced:
            replaced.append(remote.write("v/film.mp4", bytes(len(FILM))))

    assert shaky.fetch("v/film.mp4", None, tmp_path / "film.mp4", on_bytes=replace).sha256 == SHA256


def test_a_bucket_without_versions_says_that_the_object_was_replaced(plain_remote: S3Store, wire: Wire, tmp_path: Path) -> None:
    shaky = S3Store(place(plain_remote.location("").split("/")[2], wire.port), attempts=2)
    plain_remote.write("v/film.mp4", FILM)
    wire.fail("GET", "film", cut_after=2 * MIB)
    replaced = []

    def replace(_: bytes) -> None:
        if not replaced:
            replaced.append(plain_remote.write("v/film.mp4", bytes(len(FILM))))

    with pytest.raises(BadInput, match="was replaced since it was listed"):
        shaky.fetch("v/film.mp4", None, tmp_path / "film.mp4", on_bytes=replace)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_ignores_the_range_spoils_no_file(remote: S3Store, shaky: S3Store, wire: Wire, tmp_path: Path) -> None:
    remote.write("v/film.mp4", FILM)
    wire.fail("GET", "film", cut_after=MIB + 1)
    wire.fail("GET", "film", body=FILM)
    with pytest.raises(Transient, match="another part came"):
        shaky.fetch("v/film.mp4", None, tmp_path / "film.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_does_not_move_any_more_ends_as_transient(remote: S3Store, bucket: str, wire: Wire, tmp_path: Path) -> None:
    """The server is slow to death: no byte within the time limit, again and again."""
    remote.write("v/film.mp4", FILM)
    wire.fail("GET", "film", times=9, cut_after=0, stall_s=0.4)
    with pytest.raises(Transient, match=r"film\.mp4: the connection to 127\.0\.0\.1:\d+ failed"):
        S3Store(place(bucket, wire.port), attempts=2, timeout_s=0.1).fetch("v/film.mp4", None, tmp_path / "film.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_busy_bucket_is_asked_again(shaky: S3Store, wire: Wire) -> None:
    shaky.write("v/film.mp4", b"bytes")
    wire.fail("GET", "film", status=503, code="SlowDown")
    wire.fail("PUT", "film", status=500, code="InternalError")
    assert shaky.read("v/film.mp4") == b"bytes"
    shaky.write("v/film.mp4", b"other")
    assert shaky.read("v/film.mp4") == b"other"


@pytest.mark.parametrize(
    ("status", "code", "kind", "said"),
    [
        (503, "SlowDown", Throttled, "said 503 SlowDown"),
        (500, "InternalError", Transient, "said 500 InternalError"),
        (403, "AccessDenied", Permanent, "the key of AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", Permanent, "the key of AWS_ACCESS_KEY_ID"),
        (403, "RequestTimeTooSkewed", Permanent, "clock"),
        (404, "NoSuchBucket", Permanent, "correct PRESSROOM_STORE_URL"),
        (400, "AuthorizationHeaderMalformed", Permanent, "set AWS_REGION"),
        (404, "NoSuchKey", BadInput, "is not there"),
    ],
)
def test_what_the_bucket_answers_is_one_line_that_names_what_to_do(
    bucket: str, wire: Wire, status: int, code: str, kind: type[PressroomError], said: str
) -> None:
    """Who may try again is in the kind, and no key or query is in the line."""
    hidden = "AKIA-IN-THE-ANSWER"
    for method in ("GET", "PUT", "DELETE"):
        wire.fail(method, times=9, status=status, code=code, message=hidden, headers=(("Retry-After", "7"),))
    store = S3Store(place(bucket, wire.port), attempts=1)
    for ask in (
        lambda: store.read("v/film.mp4"),
        lambda: list(store.list("v/")),
        lambda: list(store.versions("v/")),
        lambda: store.write("v/film.mp4", b""),
    ):
        with pytest.raises(PressroomError) as caught:
            ask()
        assert type(caught.value) in (kind, *kind.__subclasses__())
        assert said in str(caught.value)
        assert not any(bad in str(caught.value) for bad in ("\n", "?", hidden, "secret"))
        assert isinstance(caught.value, BadInput) is (kind is BadInput)
        if isinstance(caught.value, Transient):
            assert caught.value.retry_after == 7


def test_a_cap_of_the_account_is_called_one(shaky: S3Store, wire: Wire) -> None:
    wire.fail("PUT", status=403, code="AccessDenied", message="Cannot upload files, storage cap exceeded. See the Caps & Alerts page")
    with pytest.raises(Permanent, match="cap of the account is reached"):
        shaky.write("v/film.mp4", b"")


def test_a_refused_deletion_without_a_lock_is_an_error_and_one_by_a_lock_is_held(shaky: S3Store, wire: Wire) -> None:
    shaky.write("v/film.mp4", b"1")
    (version,) = shaky.versions("v/film.mp4")
    wire.fail("DELETE", status=403, code="AccessDenied")
    with pytest.raises(Permanent, match="may not do this"):
        shaky.delete("v/film.mp4", version.id)
    wire.fail("DELETE", status=403, code="AccessDenied", message="File is protected by a legal hold")
    assert shaky.delete("v/film.mp4", version.id) == "held"


def test_a_bucket_that_is_not_there_is_no_empty_one(s3_port: int) -> None:
    store = S3Store(place("no-such-bucket", s3_port), attempts=1)
    for ask in (
        lambda: list(store.list("")),
        lambda: store.exists("v/film.mp4"),
        lambda: store.move("v/film.mp4", "v/other"),
        lambda: store.delete("v/film.mp4", "v1"),
    ):
        with pytest.raises(Permanent, match="has no bucket 'no-such-bucket': correct PRESSROOM_STORE_URL"):
            ask()


def test_a_bucket_that_is_away_is_transient_and_names_where_it_was_looked_for() -> None:
    store = S3Store(place("a-bucket", 9), attempts=1)
    with pytest.raises(Transient, match=r"127\.0\.0\.1:9 failed \(EndpointConnectionError\); AWS_ENDPOINT_URL_S3"):
        store.exists("v/film.mp4")


def test_a_machine_without_any_key_says_which_to_set(s3_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    store = S3Store(Place("a-bucket", endpoint=f"http://127.0.0.1:{s3_port}"), attempts=1)
    for ask in (lambda: store.read("v/film.mp4"), lambda: store.url("v/film.mp4")):
        with pytest.raises(Permanent, match="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
            ask()


def test_a_stale_listing_leads_to_a_clear_end_and_then_to_the_truth(remote: S3Store, shaky: S3Store, wire: Wire, tmp_path: Path) -> None:
    """The listing still shows what is gone and not yet what came: the first is said, the second is there in the next listing."""
    remote.write("v/old.mp4", b"old")
    assert [version.key for version in shaky.versions("v/")] == ["v/old.mp4"]
    (stale,) = wire.answers
    (old,) = remote.versions("v/")
    remote.delete("v/old.mp4", old.id)
    remote.write("v/new.mp4", b"new")
    wire.fail("GET", "versions", body=stale)
    (listed,) = shaky.versions("v/")
    with pytest.raises(BadInput, match=r"v/old\.mp4: is not there"):
        shaky.fetch(listed.key, listed.id, tmp_path / "film.mp4")
    assert [version.key for version in shaky.versions("v/")] == ["v/new.mp4"]
    assert list(tmp_path.iterdir()) == []


def test_an_upload_that_fails_takes_its_parts_back(
    remote: S3Store, s3: Any, bucket: str, shaky: S3Store, wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_module, "SMALLEST_PART", 5 * MIB)
    (tmp_path / "film.mp4").write_bytes(bytes(11 * MIB))
    wire.fail("PUT", "partNumber=3", times=9, status=503, code="SlowDown")
    with pytest.raises(Throttled):
        shaky.put(tmp_path / "film.mp4", "v/film.mp4")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    assert not remote.exists("v/film.mp4")
    wire.mend()
    assert shaky.put(tmp_path / "film.mp4", "v/film.mp4").sha256 == hashlib.sha256(bytes(11 * MIB)).hexdigest()


def test_what_a_reader_of_the_bytes_raises_ends_the_download_without_a_trace(objects: ObjectStore, tmp_path: Path) -> None:
    """A cancel, or a probe that has seen enough."""
    objects.write("v/film.mp4", FILM)

    def enough(_: bytes) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        objects.fetch("v/film.mp4", None, tmp_path / "here" / "film.mp4", on_bytes=enough)
    assert list((tmp_path / "here").iterdir()) == []


def test_a_full_disk_is_said_and_leaves_no_half_file(objects: ObjectStore, tmp_path: Path) -> None:
    """The limit on the size of a file stands for the full disk: the write fails as it would there."""
    objects.write("v/film.mp4", FILM)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MIB, limits[1]))
    try:
        with pytest.raises(Permanent, match=r"film\.mp4: cannot be written \(File too large\); make room"):
            objects.fetch("v/film.mp4", None, tmp_path / "here" / "film.mp4")
        assert list((tmp_path / "here").iterdir()) == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


KILLED = """
import os, signal, sys
from pathlib import Path
from pressroom.objects.store import FolderStore
FolderStore(Path(sys.argv[1])).fetch("v/film.mp4", None, Path(sys.argv[2]), on_bytes=lambda _: os.kill(os.getpid(), signal.SIGKILL))
"""


def test_a_process_that_is_killed_leaves_nothing_under_the_final_name(folder: FolderStore, tmp_path: Path) -> None:
    folder.write("v/film.mp4", FILM)
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder.folder), str(tmp_path / "here" / "film.mp4")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert all(left.name.startswith(".") for left in (tmp_path / "here").iterdir())


def test_no_key_is_in_what_a_place_shows_of_itself() -> None:
    assert "hunter2" not in repr(Place("a-bucket", key_id=SecretStr("id"), secret=SecretStr("hunter2")))
