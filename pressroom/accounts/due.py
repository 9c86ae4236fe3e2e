"""Which sites are due: pure functions of the sites' settings and the clock."""

import datetime as dt
from collections.abc import Collection, Iterable

from pressroom.records import Site

_NONE = dt.timedelta()
_PAST_MIDNIGHT = dt.timedelta(hours=1)  # four ticks of the schedule


def due_moment(site: Site, day: dt.date) -> dt.datetime:
    """When the site's content of `day` is due, in UTC.

    Once a day either way: a local time that the clock jumps over counts as the moment after the jump, one that comes twice as its
    first coming.
    """
    return dt.datetime.combine(day, site.automation.at, tzinfo=site.zone).astimezone(dt.UTC)


def due_sites(
    sites: Iterable[Site], now: dt.datetime, *, claimed: Collection[tuple[str, dt.date]], in_flight: Collection[tuple[str, dt.date]]
) -> list[tuple[Site, dt.date]]:
    """The sites to request at `now`, each with its own local date.

    Due is an enabled site whose time has passed today and whose day no scheduled run has claimed or is queued for. So a tick after
    downtime catches up, on the same day only; a time shortly before midnight stays due for an hour, since no tick may fall between.
    """
    due = []
    for site in sites:
        today = now.astimezone(site.zone).date()
        for day in (today - dt.timedelta(days=1), today):
            late = now - due_moment(site, day)
            is_time = late >= _NONE if day == today else _NONE <= late < _PAST_MIDNIGHT
            known = (site.slug, day) in claimed or (site.slug, day) in in_flight
            if site.automation.enabled and is_time and not known:
                due.append((site, day))
    return due
