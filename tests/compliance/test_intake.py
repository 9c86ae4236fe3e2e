"""What of a listing is an upload, and where a tick begins to list."""

import datetime as dt

import pytest

from pressroom.compliance.intake import MOST_LEFT, Seen, arrivals, listed_after
from pressroom.objects.store import Version

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
KEY = "uploads/2026/11/21/brew/film.mp4"


def listed(key: str = KEY, version: str = "v1", *, size: int = 10, age_s: float = 60, is_marker: bool = False) -> Version:
    return Version(key, version, size, NOW - dt.timedelta(seconds=age_s), True, is_marker)


def test_every_version_of_a_key_is_a_video_of_its_own() -> None:
    found = arrivals([listed(version="v2", age_s=30), listed(version="v1", age_s=90)], ["brew"], NOW)
    assert [upload.version for upload in found.uploads["brew"]] == ["v2", "v1"]
    assert len({upload.key for upload in found.uploads["brew"]}) == 2
    assert found.left == {}


def test_what_is_booked_is_not_told_again_whatever_the_order_of_keys() -> None:
    versions = [listed("uploads/2026/11/21/brew/z.mp4"), listed("uploads/2026/11/21/brew/a.mp4", "v9")]
    found = arrivals(versions, ["brew"], NOW, booked={("uploads/2026/11/21/brew/z.mp4", "v1")})
    assert [upload.name for upload in found.uploads["brew"]] == ["a.mp4"]


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        (listed(size=0), "empty"),
        (listed(age_s=1), "may still be growing"),
        (listed("uploads/2026/11/21/brew/film.pdf"), "not the name of a video"),
        (listed("uploads/2026/11/21/brew/film"), "not the name of a video"),
        (listed("uploads/2026/11/21/tea/film.mp4"), "site 'tea' is unknown: apply it, or move the file"),
        (listed("uploads/2026/02/31/brew/film.mp4"), "not under uploads/YYYY/MM/DD/<site>/"),
        (listed("uploads/film.mp4"), "not under uploads/YYYY/MM/DD/<site>/"),
    ],
)
def test_what_is_left_alone_is_told_with_its_reason(version: Version, reason: str) -> None:
    found = arrivals([version], ["brew"], NOW)
    assert (dict(found.uploads), found.left) == ({}, {version.key: reason})


def test_a_deletion_is_no_upload() -> None:
    found = arrivals([listed(is_marker=True)], ["brew"], NOW)
    assert (dict(found.uploads), found.left) == ({}, {})


@pytest.mark.parametrize("name", ["A FILM.MP4", "it's “quoted”.mov", "фильм.webm", "sub/folder/film.mkv", "x" * 900 + ".avi"])
def test_any_name_will_do(name: str) -> None:
    (upload,) = arrivals([listed(f"uploads/2026/11/21/brew/{name}")], ["brew"], NOW).uploads["brew"]
    assert upload.key.startswith("brew--20261121T115900Z--")
    assert len(upload.key) == len("brew--20261121T115900Z--") + 8


def test_a_tick_lists_from_yesterday_on_and_every_ten_minutes_the_last_seven_days() -> None:
    after, looked_back_at = listed_after(NOW, None)
    assert (after, looked_back_at) == ("uploads/2026/11/14/", NOW)
    later = NOW + dt.timedelta(minutes=9)
    assert listed_after(later, looked_back_at) == ("uploads/2026/11/20/", NOW)
    latest = NOW + dt.timedelta(minutes=10)
    assert listed_after(latest, looked_back_at) == ("uploads/2026/11/14/", latest)


def test_a_thousand_reasons_are_told_in_a_line_that_people_can_read() -> None:
    told = Seen([], [], {f"{number:04}.txt": "not the name of a video" for number in range(1000)}).told()
    assert told.count("not the name") == MOST_LEFT
    assert told.endswith(f"; and {1000 - MOST_LEFT} more")


def test_the_words_that_go_with_a_video_are_no_upload_and_no_complaint() -> None:
    found = arrivals([listed(f"{KEY}.json"), listed("uploads/2026/11/21/brew/other.json")], ["brew"], NOW)
    assert dict(found.uploads) == {}
    assert list(found.left) == ["uploads/2026/11/21/brew/other.json"]
