"""The mails that people get: what happened, written from templates into a text and an HTML part.

What calls `announce` does so in the transaction of what it tells of; `pressroom.reports.post` sends it. A template with a placeholder
that nothing fills is not rendered at all.
"""

import datetime as dt
import uuid
from collections.abc import Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError
from sqlalchemy.orm import Session

from pressroom.errors import BadInput, Permanent
from pressroom.records import Record, Video, stable_id
from pressroom.reports.screening import ScreeningReport
from pressroom.store.outbox import Message, add_message

if TYPE_CHECKING:
    from jinja2 import Environment

MAIL = "mail"  # the kind in the outbox
_TEMPLATES = Path(__file__).with_name("templates") / "mail"
# A subject is a glance; RFC 5322 asks for lines of at most 78 characters.
_LONGEST_SUBJECT = 78


class ReportReady(Record):
    """A video has its compliance report, or the reason why it has none: `outcome` is `refused` or `duplicate` then."""

    kind: Literal["report_ready"] = "report_ready"
    outcome: str
    why: str
    triggers: int
    not_analysed: tuple[str, ...]
    report: str = Field(description="Where a person finds it: a path or a URL.")

    @property
    def event(self) -> str:
        return self.model_dump_json()


class VerificationDone(Record):
    """A person gave the verdict that stands."""

    kind: Literal["verification_done"] = "verification_done"
    verdict: str
    reason: str
    author: str
    decided_at: dt.datetime
    machine_outcome: str
    decision: str = Field(description="Where a person finds it: a path or a URL.")

    @property
    def event(self) -> str:
        return f"{self.verdict}/{self.author}/{self.decided_at.isoformat()}"


class PipelineFailed(Record):
    """A run on a video ended without a report: at which stage, why, and where to look."""

    kind: Literal["pipeline_failed"] = "pipeline_failed"
    stage: str
    error: str
    run: str
    look: str = Field(description="Where the run's log is.")

    @property
    def event(self) -> str:
        return f"{self.run}/{self.stage}"


Notice = ReportReady | VerificationDone | PipelineFailed
_NOTICE: TypeAdapter[Notice] = TypeAdapter(Annotated[Notice, Field(discriminator="kind")])


def report_ready(report: ScreeningReport, where: str) -> ReportReady:
    """The notice of a report that a person finds at `where`."""
    return ReportReady(
        outcome=report.outcome or report.state,
        why=report.why,
        triggers=len(report.triggers),
        not_analysed=report.not_analysed,
        report=where,
    )


def announce(session: Session, video: Video, notice: Notice) -> uuid.UUID:
    """Books a mail about `video` in the caller's transaction and returns its id: the same notice of the same event is one mail."""
    mail_id = stable_id("outbox", MAIL, notice.kind, video.id, notice.event)
    about = {"video": video.key, "name": video.upload.name, "site": video.upload.site, "notice": notice.model_dump(mode="json")}
    add_message(session, mail_id, video.account_id, MAIL, about)
    return mail_id


def letter(message: Message, *, sender: str, to: Sequence[str]) -> EmailMessage:
    """The mail that an outbox row asks for, with a text and an HTML part. Made again it has the same Message-ID and date.

    Raises BadInput for an address that is none, Permanent when a placeholder of a template is not filled.
    """
    about = {name: part for name, part in message.payload.items() if name in ("video", "name", "site")}
    try:
        notice = _NOTICE.validate_python(message.payload.get("notice"))
    except ValidationError as error:
        raise Permanent(f"mail {message.id} cannot be written: {error.errors()[0]['msg']}") from None
    facts = about | {name: getattr(notice, name) for name in type(notice).model_fields}
    subject, text = rendered(f"{notice.kind}.txt.j2", facts).split("\n", 1)
    mail = EmailMessage()
    mail["Message-ID"] = f"<{message.id}@pressroom>"
    mail["Date"] = format_datetime(message.created_at)
    mail["From"] = address(sender, "PRESSROOM_MAIL_FROM")
    if to:  # RFC 5322 asks for none: a file that is for nobody yet says so by having no To
        mail["To"] = [address(each, "PRESSROOM_MAIL_TO") for each in to]
    mail["Subject"] = _shortened(subject)
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: absence notes do not answer it
    # Quoted-printable passes every server: lines of any length, and those that take seven bits only.
    mail.set_content(text.strip() + "\n", cte="quoted-printable")
    mail.add_alternative(rendered(f"{notice.kind}.html.j2", facts), subtype="html", cte="quoted-printable")
    return mail


def address(text: str, setting: str) -> Address:
    """The address, with the name before it if there is one. Raises BadInput, which names the setting."""
    name, mailbox = parseaddr(text)
    user, at, domain = mailbox.rpartition("@")
    try:
        if user and at and domain and mailbox.isascii() and text.isprintable():
            return Address(name, user, domain)
    except ValueError:  # what else is none
        pass
    raise BadInput(f"{setting}: {text!r} is no mail address; write name@host or Name <name@host>")


def rendered(template: str, facts: dict[str, Any]) -> str:
    """The template with its placeholders filled. Raises Permanent, which names the one that is not."""
    from jinja2 import UndefinedError

    try:
        return _environment().get_template(template).render(facts)
    except UndefinedError as error:
        raise Permanent(f"mail template {template}: a placeholder is not filled ({error})") from None


def _shortened(subject: str) -> str:
    line = " ".join(subject.removeprefix("Subject:").split())
    return line if len(line) <= _LONGEST_SUBJECT else line[: _LONGEST_SUBJECT - 1] + "…"


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "clock": lambda at: f"{at.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC",
        "line": lambda text: " ".join(str(text).split()),
        "words": lambda name: str(name).replace("_", " "),
    }
    environment.globals |= {"tones": _TONES}
    return environment


_TONES = {
    "clear": "#15572f",
    "approved": "#15572f",
    "review": "#744600",
    "incomplete": "#744600",
    "changes_needed": "#744600",
    "block": "#8d1720",
    "rejected": "#8d1720",
    "refused": "#8d1720",
}
