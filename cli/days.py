"""Days and months as people write them in options."""

import datetime as dt

from pressroom.errors import BadInput


def day_of(option: str, text: str) -> dt.date:
    """The day that `option` names. Raises BadInput for what is none."""
    return _read(option, text, "%Y-%m-%d", "no date; expected YYYY-MM-DD")


def month_of(option: str, text: str) -> dt.date:
    """The first day of the month that `option` names. Raises BadInput for what is none."""
    return _read(option, text, "%Y-%m", "no month; expected YYYY-MM")


def _read(option: str, text: str, form: str, wrong: str) -> dt.date:
    try:
        return dt.datetime.strptime(text, form).replace(tzinfo=dt.UTC).date()
    except ValueError:
        raise BadInput(f"{option} {text}: {wrong}") from None
