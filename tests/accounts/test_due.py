"""When a site is due: its own clock decides, once a day."""

import datetime as dt
import itertools

from hypothesis import given
from hypothesis import strategies as st

from pressroom.accounts.due import due_moment, due_sites
from pressroom.records import Automation, Site


def site(zone: str = "Europe/Lisbon", at: str = "06:00", *, enabled: bool = True) -> Site:
    automation = Automation(enabled=enabled, at=dt.time.fromisoformat(at))
    return Site(slug="brew", name="Brew", domain="b.example", field="coffee", audience="all", time_zone=zone, automation=automation)


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def test_tokyo_at_six_is_due_on_its_own_date_while_utc_is_still_in_yesterday() -> None:
    tokyo = site("Asia/Tokyo")
    assert due_sites([tokyo], utc("2026-11-19T20:59"), claimed=(), in_flight=()) == []
    assert due_sites([tokyo], utc("2026-11-19T21:00"), claimed=(), in_flight=()) == [(tokyo, dt.date(2026, 11, 20))]


def test_a_tick_after_downtime_catches_up_on_the_same_day_only() -> None:
    lisbon = site()
    assert due_sites([lisbon], utc("2026-11-20T23:45"), claimed=(), in_flight=()) == [(lisbon, dt.date(2026, 11, 20))]
    assert due_sites([lisbon], utc("2026-11-21T00:15"), claimed=(), in_flight=()) == [], "yesterday at six is not done after midnight"


def test_a_time_between_the_last_tick_and_midnight_is_not_forgotten() -> None:
    late = site(at="23:50")
    assert due_sites([late], utc("2026-11-20T23:45"), claimed=(), in_flight=()) == []
    assert due_sites([late], utc("2026-11-21T00:00"), claimed=(), in_flight=()) == [(late, dt.date(2026, 11, 20))]
    assert due_sites([late], utc("2026-11-21T00:50"), claimed=(), in_flight=()) == []


def test_a_day_that_is_claimed_queued_or_switched_off_is_not_asked_for_again() -> None:
    key = ("brew", dt.date(2026, 11, 20))
    now = utc("2026-11-20T12:00")
    assert due_sites([site()], now, claimed={key}, in_flight=()) == []
    assert due_sites([site()], now, claimed=(), in_flight={key}) == []
    assert due_sites([site(enabled=False)], now, claimed=(), in_flight=()) == []


def test_a_time_that_the_clock_jumps_over_comes_once_right_after_the_jump() -> None:
    """On 2026-03-29 Lisbon goes from 00:59 to 02:00: there is no 01:30."""
    assert due_moment(site(at="01:30"), dt.date(2026, 3, 29)) == utc("2026-03-29T01:30")


def test_a_time_that_comes_twice_counts_at_its_first_coming() -> None:
    """On 2026-10-25 Lisbon has 01:30 twice, at 00:30 and 01:30 UTC."""
    assert due_moment(site(at="01:30"), dt.date(2026, 10, 25)) == utc("2026-10-25T00:30")


@given(
    zone=st.sampled_from(["Pacific/Kiritimati", "America/Denver", "Europe/Lisbon", "Asia/Kathmandu", "Pacific/Pago_Pago"]),
    at=st.times().map(lambda time: time.replace(second=0, microsecond=0).isoformat()),
    start=st.dates(dt.date(2026, 1, 2), dt.date(2027, 12, 30)),
)
def test_every_local_day_is_requested_exactly_once_by_ticks_of_fifteen_minutes(zone: str, at: str, start: dt.date) -> None:
    here = site(zone, at)
    now = dt.datetime.combine(start, dt.time(), tzinfo=dt.UTC)
    claimed: set[tuple[str, dt.date]] = set()
    for _ in range(3 * 96):
        for _, day in due_sites([here], now, claimed=claimed, in_flight=()):
            claimed.add((here.slug, day))
        now += dt.timedelta(minutes=15)
    days = sorted(day for _, day in claimed)
    assert len(days) in (2, 3, 4)
    assert all(later - earlier == dt.timedelta(days=1) for earlier, later in itertools.pairwise(days))
