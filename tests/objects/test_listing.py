"""What a tick costs: the uploads of a day are found in a bucket of a million objects by a handful of calls."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pressroom.objects.days import UPLOADS, dated, parted
from pressroom.objects.s3 import MIB, MOST_PARTS, S3Store, part_size
from tests.objects.conftest import place
from tests.objects.wire import Crowded

FIRST = dt.date(2016, 2, 27)
A_DAY = 250
LAST = FIRST + dt.timedelta(days=3999)


def key_of(number: int) -> str:
    """Of a million: 250 a day for eleven years."""
    return f"desk/{dated(FIRST + dt.timedelta(days=number // A_DAY))}brew/{number % A_DAY:04d}.mp4"


@pytest.mark.parametrize("listing", ["list", "versions"])
def test_a_tick_over_a_million_objects_takes_one_call_for_a_thousand_uploads(listing: str) -> None:
    with Crowded(1_000_000, key_of) as bucket:
        store = S3Store(place("a-bucket", bucket.port))
        ask = getattr(store, listing)
        assert len(list(ask(UPLOADS, after=dated(LAST)))) == A_DAY
        assert bucket.calls == 1
        assert len(list(ask(dated(LAST)))) == A_DAY
        assert bucket.calls == 2
        assert list(ask(dated(LAST + dt.timedelta(days=1)))) == []
        assert bucket.calls == 3
        assert len(list(ask(UPLOADS, after=dated(LAST - dt.timedelta(days=5))))) == 6 * A_DAY
        assert bucket.calls == 5


def test_a_listing_asks_for_a_page_when_it_is_wanted() -> None:
    with Crowded(1_000_000, key_of) as bucket:
        found = S3Store(place("a-bucket", bucket.port)).list(UPLOADS)
        assert bucket.calls == 0
        assert next(found).key == f"{dated(FIRST)}brew/0000.mp4"
        assert bucket.calls == 1


@given(st.dates(min_value=dt.date(1000, 1, 1)), st.from_regex(r"[a-z0-9-]{1,20}", fullmatch=True), st.text(min_size=1))
def test_the_day_the_site_and_the_name_of_an_upload_are_in_its_key(day: dt.date, site: str, name: str) -> None:
    assert parted(f"{dated(day)}{site}/{name}") == (day, site, name)


@given(st.dates(min_value=dt.date(1000, 1, 1)), st.dates(min_value=dt.date(1000, 1, 1)))
def test_days_are_in_key_order(one: dt.date, other: dt.date) -> None:
    assert (dated(one) < dated(other)) == (one < other)


@pytest.mark.parametrize(
    "key", ["uploads/2026/02/31/brew/a.mp4", "uploads/2026/11/21/a.mp4", "uploads/2026/11/21/brew/", "sites/brew/a.mp4"]
)
def test_what_is_no_upload_has_no_day(key: str) -> None:
    assert parted(key) is None


@given(st.integers(min_value=0, max_value=5 << 40))
def test_ten_thousand_parts_are_enough_for_whatever_s3_takes(size: int) -> None:
    part = part_size(size)
    assert part * MOST_PARTS >= size
    assert part % MIB == 0
    assert 8 * MIB <= part <= 5 << 30
