"""Signed URLs: they open one object for a while, and one that lasts is used again."""

import threading
import urllib.error
import urllib.request
from typing import Any

import pytest

from pressroom.errors import BadInput
from pressroom.objects.s3 import S3Store
from pressroom.objects.signed import LONGEST_S, MARGIN_S, MOST, SignedUrls
from tests.objects.conftest import place


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Signer:
    """Every signature is another one."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, key: str, version: str | None, expires_s: int) -> str:
        self.made += 1
        return f"https://there/{key}?{version}&{expires_s}&{self.made}"


def test_a_url_is_used_again_until_ten_minutes_before_it_ends() -> None:
    clock, sign = Clock(), Signer()
    urls = SignedUrls(sign, clock)
    first = urls.get("a", None, 3600)
    clock.now += 3600 - MARGIN_S - 1
    assert urls.get("a", None, 3600) == first
    clock.now += 1
    assert urls.get("a", None, 3600) != first
    assert sign.made == 2


def test_a_url_is_of_one_version_and_one_life_and_goes_with_its_object() -> None:
    sign = Signer()
    urls = SignedUrls(sign, Clock())
    asked: list[tuple[str | None, int]] = [(None, 3600), ("v1", 3600), (None, 7200)]
    first = [urls.get("a", *what) for what in asked]
    other = urls.get("b", None, 3600)
    assert len(set(first)) == 3
    assert [urls.get("a", *what) for what in asked] == first
    urls.drop("a")
    assert not set(first) & {urls.get("a", *what) for what in asked}
    assert urls.get("b", None, 3600) == other


def test_a_url_that_lasts_no_ten_minutes_is_made_anew_each_time() -> None:
    urls = SignedUrls(Signer(), Clock())
    assert urls.get("a", None, 60) != urls.get("a", None, 60)


@pytest.mark.parametrize("seconds", [0, -1, LONGEST_S + 1])
def test_a_life_that_s3_does_not_sign_is_refused(seconds: int) -> None:
    with pytest.raises(BadInput, match="604,800 seconds"):
        SignedUrls(Signer(), Clock()).get("a", None, seconds)


def test_the_memory_for_urls_is_bounded_and_keeps_the_ones_that_last() -> None:
    clock, sign = Clock(), Signer()
    urls = SignedUrls(sign, clock)
    for number in range(MOST):
        urls.get(f"short-{number}" if number % 2 else f"long-{number}", None, 900 if number % 2 else 7200)
    clock.now += 600
    kept = urls.get("long-0", None, 7200)
    urls.get("one more", None, 3600)
    assert urls.get("long-0", None, 7200) == kept
    assert len(urls._urls) == MOST // 2 + 1
    for number in range(MOST):
        urls.get(f"more-{number}", None, 7200)
    assert len(urls._urls) <= MOST


def test_threads_that_ask_at_once_get_the_same_url() -> None:
    sign, got = Signer(), set()
    urls = SignedUrls(sign, Clock())
    barrier = threading.Barrier(8)

    def ask() -> None:
        barrier.wait()
        got.add(urls.get("a", None, 3600))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sign.made == len(got) == 1


def test_a_bucket_signs_for_one_version_and_forgets_the_url_with_it(bucket: str, s3_port: int, s3: Any) -> None:
    clock = Clock()
    store = S3Store(place(bucket, s3_port), attempts=1, clock=clock)
    store.write("v/a b.mp4", b"first")
    (first,) = store.versions("v/")
    store.write("v/a b.mp4", b"second")
    newest, pinned = store.url("v/a b.mp4"), store.url("v/a b.mp4", version=first.id)
    assert urllib.request.urlopen(newest, timeout=10).read() == b"second"
    assert urllib.request.urlopen(pinned, timeout=10).read() == b"first"
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in newest
    assert "X-Amz-Expires=3600" in newest
    assert "secret" not in newest
    clock.now += 1
    assert store.url("v/a b.mp4") == newest
    store.delete("v/a b.mp4", first.id)
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(pinned, timeout=10)
