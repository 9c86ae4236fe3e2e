"""Which days want a report: a pure function of what ended and what is reported."""

import datetime as dt
from collections.abc import Iterable, Mapping

SiteDate = tuple[str, dt.date]


def reports_wanted(ended: Iterable[tuple[SiteDate, dt.datetime]], reported: Mapping[SiteDate, dt.datetime]) -> list[SiteDate]:
    """The (site, day) pairs whose content run ended after their newest report was made, each once, in order."""
    newest: dict[SiteDate, dt.datetime] = {}
    for key, moment in ended:
        newest[key] = max(moment, newest.get(key, moment))
    return sorted(key for key, moment in newest.items() if key not in reported or reported[key] < moment)
