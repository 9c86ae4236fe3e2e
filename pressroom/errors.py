"""The error taxonomy: what failed, and who may try again.

Every error that a person can meet is one of these, and its message is one line that names what and where.
"""


class PressroomError(Exception):
    """Base of every expected error. `exit_code` is what the command ends with."""

    exit_code = 3


class Transient(PressroomError):
    """Timeout, 429, 5xx, a reset connection: the gateway retries, then the op's RetryPolicy.

    `retry_after` is the wait in seconds that the other side asked for, or None.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Throttled(Transient):
    """429: the endpoint lives, and wants fewer calls."""


class Unreachable(Transient):
    """The endpoint has failed so often in a row that it is left alone for `retry_after` seconds; nothing was sent."""


class Permanent(PressroomError):
    """Bad key, 400, unknown model, corrupt file: trying again cannot help."""


class BadInput(Permanent):
    """A file or value that a person gave is wrong; the message names file, row or setting, and what was expected."""

    exit_code = 2


class Refused(BadInput):
    """A video that is not screened. The message is the reason, one sentence that its owner understands."""


class Blocked(PressroomError):
    """Refused before anything was spent: the work may start when the cause is gone."""

    exit_code = 4


class OutOfCredits(Blocked):
    """The account's balance does not cover the estimate."""


class OverBudget(Blocked):
    """The limit in money for the run, site or month would be passed."""


class SiteBusy(Blocked):
    """Another run holds the site; the message names it."""


class VideoBusy(Blocked):
    """Another run holds the video; the message names it."""


class Deferred(PressroomError):
    """The answer was asked for in a batch and is not there yet: what needs it is made when the batch has been collected."""


class LostSite(PressroomError):
    """This run no longer holds its site (the database was restarted and another run took over): it must write nothing more."""


class ContentRejected(PressroomError):
    """The answer breaks the rules after all refinements: this item is marked failed, the others go on."""
