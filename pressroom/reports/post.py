"""Mails on their way: to a mail server where one is set, else as files under PRESSROOM_HOME/outbox.

What a server refuses for good (5xx) is not tried again. Everything else waits: a server that is away, or a wrong password, costs time
but no mail. A mail may arrive twice, when a connection broke before the server's last word: its Message-ID is the same.
"""

import datetime as dt
import smtplib
import ssl
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from email.utils import parseaddr
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from pressroom.errors import BadInput, PressroomError, Transient
from pressroom.objects.streams import whole_file
from pressroom.reports.mail import MAIL, address, letter
from pressroom.store.engine import Store
from pressroom.store.outbox import Message, Waiting, message_done, message_failed, take_message, waiting

# A server that checks for spam answers in seconds; a tick of the sensor has 60.
TIMEOUT_S = 30.0
# A sender that died with a mail in its hands has done so after this time: several timeouts in a row.
LEASE = dt.timedelta(minutes=5)
# After the first failure a minute, then twice as long each time, at most an hour: a server that is back gets its mail soon.
FIRST_WAIT, LONGEST_WAIT = dt.timedelta(minutes=1), dt.timedelta(hours=1)


class MailSettings(Protocol):
    """The settings that mail needs."""

    @property
    def home(self) -> Path: ...
    @property
    def smtp_url(self) -> SecretStr | None: ...
    @property
    def mail_from(self) -> str: ...
    @property
    def mail_to(self) -> str: ...


class Delivery(NamedTuple):
    """What became of a mail, by the address of the recipient: refused for good, or to be tried later, and why."""

    refused: Mapping[str, str]
    later: Mapping[str, str]


class Post(Protocol):
    """Takes mails. Raises Transient when it is away, BadInput when it refuses because of a setting."""

    def deliver(self, mail: EmailMessage, to: Sequence[str]) -> Delivery: ...


class Sent(NamedTuple):
    """What one round of sending came to, and what waits after it."""

    sent: int
    refused: int
    problem: str | None
    left: Waiting

    def told(self) -> str:
        """One line for people."""
        parts = [f"{self.sent} mail{'s' * (self.sent != 1)} sent"] + [f"{self.refused} refused for good"] * bool(self.refused)
        parts += [f"{self.left.number} waiting"] * bool(self.left.number)
        why = self.problem or self.left.error
        return ", ".join(parts) + (f": {why}" if why and (self.left.number or self.refused) else "")


def recipients(mail_to: str) -> list[str]:
    """The addresses of a comma list. Raises BadInput for one that is none."""
    listed = [part.strip() for part in mail_to.split(",") if part.strip()]
    for each in listed:
        address(each, "PRESSROOM_MAIL_TO")
    return listed


def send_waiting(store: Store, settings: MailSettings, *, within_s: float = 20.0, timeout_s: float = TIMEOUT_S) -> Sent:
    """Sends the mails that are due, for about `within_s` seconds; where the server is away, one is tried and the others wait.

    Raises BadInput for a setting that is wrong: no mail has been touched then.
    """
    to = recipients(settings.mail_to)
    address(settings.mail_from, "PRESSROOM_MAIL_FROM")
    until, sent, refused, problem = time.monotonic() + within_s, 0, 0, None
    with open_post(settings, timeout_s=timeout_s) as post:
        while time.monotonic() < until:
            message = store.retrying(lambda session: take_message(session, MAIL, lease=LEASE))
            if message is None:
                break
            try:
                delivery = _deliver(post, message, settings.mail_from, to)
            except PressroomError as error:
                problem = str(error)
                _wait(store, message, problem)
                if isinstance(error, (Transient, BadInput)):
                    break
                continue
            no = message.payload.get("refused", {}) | delivery.refused
            problem = _listed(no | delivery.later) or problem
            if delivery.later:
                _wait(store, message, _listed(delivery.later), {"left": list(delivery.later), "refused": no})
                continue
            _done(store, message, _listed(no) or None)
            sent, refused = sent + (len(no) < max(len(to), 1)), refused + bool(no)
    return Sent(sent, refused, problem, store.retrying(lambda session: waiting(session, MAIL)))


def _deliver(post: Post, message: Message, sender: str, to: Sequence[str]) -> Delivery:
    left = message.payload.get("left", to)  # those who have not got it yet, where a server took it for some
    return post.deliver(letter(message, sender=sender, to=to), left)


def _done(store: Store, message: Message, said: str | None) -> None:
    store.retrying(lambda session: message_done(session, message.id, said))


def _listed(said: Mapping[str, str]) -> str:
    return "; ".join(f"{who}: {why}" for who, why in said.items())


def _wait(store: Store, message: Message, said: str, more: Mapping[str, Any] | None = None) -> None:
    payload = {**message.payload, **more} if more else None
    again_in = min(FIRST_WAIT * 2 ** min(message.attempts, 10), LONGEST_WAIT)
    store.retrying(lambda session: message_failed(session, message.id, said, again_in=again_in, payload=payload))


@contextmanager
def open_post(settings: MailSettings, *, timeout_s: float = TIMEOUT_S) -> Generator[Post, None, None]:
    """The mail server of PRESSROOM_SMTP_URL, else the folder under PRESSROOM_HOME. Nothing is asked yet.

    Raises BadInput for a URL that is none, and for a server without anybody to write to.
    """
    if settings.smtp_url is None:
        yield FolderPost(settings.home.absolute() / "outbox")
        return
    if not recipients(settings.mail_to):
        raise BadInput("PRESSROOM_MAIL_TO: set who is written to, by comma; mails wait until then")
    post = SmtpPost(settings.smtp_url, timeout_s=timeout_s)
    try:
        yield post
    finally:
        post.close()


class FolderPost:
    """Mails as .eml files, which every mail program opens. A mail that comes twice is one file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def deliver(self, mail: EmailMessage, to: Sequence[str]) -> Delivery:
        """Raises Permanent where the disk refuses."""
        at = mail["Date"].datetime
        with whole_file(self.folder / f"{at:%Y%m%dT%H%M%SZ}-{mail['Message-ID'].strip('<>').split('@')[0]}.eml", durable=True) as file:
            file.write(mail.as_bytes(policy=WIRE))
        return Delivery({}, {})


class SmtpPost:
    """A mail server: smtp://user:password@host:587, with STARTTLS where it offers it, or smtps://. One connection, made when it is needed.

    A password goes over an encrypted connection only, or to this very machine.
    """

    def __init__(self, url: SecretStr, *, timeout_s: float = TIMEOUT_S) -> None:
        shape = "PRESSROOM_SMTP_URL: expected smtp://user:password@host:587 or smtps://user:password@host"
        try:
            parts = urlsplit(url.get_secret_value())
            port = parts.port
        except ValueError:
            raise BadInput(shape) from None
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path.strip("/") or parts.query or "@" in parts.hostname:
            raise BadInput(shape)
        self._is_tls = parts.scheme == "smtps"
        self._host, self._user, self._password = parts.hostname, unquote(parts.username or ""), unquote(parts.password or "")
        self._port = port or (465 if self._is_tls else 587 if self._user else 25)
        self._timeout_s = timeout_s
        self._server: smtplib.SMTP | None = None

    @property
    def name(self) -> str:
        return f"the mail server {self._host}:{self._port}"

    def deliver(self, mail: EmailMessage, to: Sequence[str]) -> Delivery:
        by_mailbox = {parseaddr(each)[1]: each for each in to}
        sender = parseaddr(mail["From"])[1]
        try:
            if self._server is None:
                self._server = self._connected()
            refused = self._server.send_message(mail, sender, list(by_mailbox))
        except smtplib.SMTPRecipientsRefused as error:
            refused = error.recipients
            self._reset()
        except smtplib.SMTPDataError as error:
            refused = dict.fromkeys(by_mailbox, (error.smtp_code, error.smtp_error))  # type: ignore[arg-type]
            self._reset()
        except smtplib.SMTPSenderRefused as error:
            self.close()
            line = f"{self.name} refuses the sender {sender} ({_said(error.smtp_code, error.smtp_error)})"
            if error.smtp_code < 500:
                raise Transient(line) from None
            raise BadInput(f"PRESSROOM_MAIL_FROM: {line}") from None
        except (OSError, smtplib.SMTPException) as error:
            self.close()
            raise self._explained(error) from None
        said = {by_mailbox[box]: (code, _said(code, words)) for box, (code, words) in refused.items()}
        return Delivery(
            {who: why for who, (code, why) in said.items() if code >= 500}, {who: why for who, (code, why) in said.items() if code < 500}
        )

    def close(self) -> None:
        """Ends the connection, if there is one."""
        server, self._server = self._server, None
        if server:
            with suppress(OSError, smtplib.SMTPException):
                server.quit()
            server.close()

    def _reset(self) -> None:
        """Makes the connection ready for the next mail; one that the server ended is made anew."""
        try:
            if self._server:
                self._server.rset()
        except (OSError, smtplib.SMTPException):
            self.close()

    def _connected(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        server = (
            smtplib.SMTP_SSL(self._host, self._port, timeout=self._timeout_s, context=context)
            if self._is_tls
            else smtplib.SMTP(self._host, self._port, timeout=self._timeout_s)
        )
        try:
            server.ehlo_or_helo_if_needed()
            is_safe = self._is_tls or self._host in ("localhost", "127.0.0.1", "::1")
            if not self._is_tls and server.has_extn("starttls"):
                server.starttls(context=context)
                is_safe = True
            if self._user:
                if not is_safe:
                    raise BadInput(f"PRESSROOM_SMTP_URL: {self.name} offers no STARTTLS, the password would go in the clear; use smtps://")
                server.login(self._user, self._password)
        except BaseException:
            server.close()
            raise
        return server

    def _explained(self, error: OSError | smtplib.SMTPException) -> PressroomError:
        """The wire's error as one of ours: never with the password."""
        if isinstance(error, smtplib.SMTPAuthenticationError) and error.smtp_code >= 500:
            return BadInput(f"PRESSROOM_SMTP_URL: {self.name} refuses the user or the password")
        if isinstance(error, smtplib.SMTPNotSupportedError):
            return BadInput(f"PRESSROOM_SMTP_URL: {self.name} takes no user and password")
        if isinstance(error, ssl.SSLCertVerificationError):
            return BadInput(f"PRESSROOM_SMTP_URL: the certificate of {self.name} is not valid ({error.verify_message})")
        if isinstance(error, smtplib.SMTPResponseException):
            return Transient(f"{self.name} does not take mail now ({_said(error.smtp_code, error.smtp_error)})")
        return Transient(f"{self.name} does not answer ({getattr(error, 'strerror', None) or error or type(error).__name__})")


def _said(code: int, words: bytes | str) -> str:
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return f"{code} {' '.join(text.split())}"[:200]
