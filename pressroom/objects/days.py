"""Uploads by day: `uploads/YYYY/MM/DD/<site>/<name>`. The date comes first, so that one listing finds the new uploads of every site."""

import datetime as dt
import re

UPLOADS = "uploads/"
_UPLOAD = re.compile(r"uploads/(\d{4})/(\d{2})/(\d{2})/([^/]+)/(.+)", re.DOTALL)


def dated(day: dt.date) -> str:
    """The prefix under which the uploads of `day` arrive. Those of `day` and of all later days: `list(UPLOADS, after=dated(day))`."""
    return f"{UPLOADS}{day:%Y/%m/%d}/"


def parted(key: str) -> tuple[dt.date, str, str] | None:
    """Day, site and name of an upload's key; None for a key that is no upload's."""
    if not (found := _UPLOAD.fullmatch(key)):
        return None
    year, month, day, site, name = found.groups()
    try:
        return dt.date(int(year), int(month), int(day)), site, name
    except ValueError:  # a 31st of February
        return None
