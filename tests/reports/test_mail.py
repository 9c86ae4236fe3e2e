"""Mails: what people read, and that each goes out at least once, whatever the mail server does."""

import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from pressroom.errors import BadInput, Permanent
from pressroom.records import Upload, Video
from pressroom.reports.mail import Notice, PipelineFailed, ReportReady, VerificationDone, announce, letter, rendered
from pressroom.reports.post import Sent, SmtpPost, send_waiting
from pressroom.store.engine import Store
from pressroom.store.outbox import Message, take_message
from pressroom.store.tables import OutboxRow
from tests.reports.smtp import Behaviour, SmtpServer
from tests.samples import SITE, site_applied

AT = dt.datetime(2026, 11, 21, 12, 30, tzinfo=dt.UTC)
UPLOAD = Upload(site="brew", object_key="uploads/2026/11/21/brew/Grinders & <beans>.mp4", version="v1", size=9, uploaded_at=AT)
VIDEO = Video(
    id=uuid.UUID(int=7),
    account_id=SITE.account_id,
    site_id=SITE.id,
    upload=UPLOAD,
    state="verification",
)
READY = ReportReady(
    outcome="review",
    why="A knife is seen – for 4 s",
    triggers=2,
    not_analysed=("Violence: not analysed. No model.",),
    report="https://files.example/report.html",
)
DONE = VerificationDone(
    verdict="changes_needed",
    reason="Blur the label",
    author="ana",
    decided_at=AT,
    machine_outcome="review",
    decision="/srv/objects/decision.json",
)
FAILED = PipelineFailed(
    stage="compliance/source_video",
    error="the bucket refuses the key\n(403)",
    run="run-1",
    look="http://localhost:3000/runs/run-1",
)
ALL: list[Notice] = [READY, DONE, FAILED]


@dataclass(frozen=True)
class Mail:
    """The settings that mail needs."""

    home: Path
    smtp_url: SecretStr | None = None
    mail_from: str = "Pressroom <desk@brew.example>"
    mail_to: str = "ana@brew.example, Ben <ben@brew.example>"


@pytest.fixture
def smtp() -> Iterator[SmtpServer]:
    with SmtpServer() as running:
        yield running


@pytest.fixture
def mail(tmp_path: Path, smtp: SmtpServer) -> Mail:
    return Mail(tmp_path, SecretStr(f"smtp://127.0.0.1:{smtp.port}"))


def told(store: Store, *notices: Notice) -> list[uuid.UUID]:
    with store.transaction() as session:
        site_applied(session)
        return [announce(session, VIDEO, notice) for notice in notices]


def due_now(store: Store) -> None:
    """What the passing of time does."""
    with store.transaction() as session:
        session.execute(sa.update(OutboxRow).values(not_before=sa.func.now() - dt.timedelta(seconds=1)))


def row(store: Store) -> OutboxRow:
    with store.transaction() as session:
        return session.execute(sa.select(OutboxRow)).scalar_one()


def parts(message: EmailMessage) -> tuple[str, str]:
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text
    assert html
    return text.get_content(), html.get_content()


def written(notice: Notice) -> EmailMessage:
    about = {"video": VIDEO.key, "name": UPLOAD.name, "site": "brew", "notice": notice.model_dump(mode="json")}
    return letter(Message(uuid.UUID(int=1), SITE.account_id, about, 0, AT), sender="desk@brew.example", to=["ana@brew.example"])


@pytest.mark.parametrize("notice", ALL, ids=lambda notice: notice.kind)
def test_a_mail_says_what_happened_to_which_video_in_text_and_html(notice: Notice) -> None:
    message = written(notice)
    text, html = parts(message)
    assert "Grinders & <beans>.mp4" in text
    assert "Grinders &amp; &lt;beans&gt;.mp4" in html
    assert "<beans>" not in html
    assert "brew" in message["Subject"]
    for part in (text, html):
        assert VIDEO.key in part
        assert "{{" not in part
        assert "{%" not in part


def test_each_kind_carries_its_facts() -> None:
    text, html = parts(written(READY))
    for fact in ("review", "A knife is seen – for 4 s", "Violence: not analysed. No model.", "https://files.example/report.html"):
        assert fact in text
        assert fact in html
    assert "not analysed: violence: not analysed" not in (text + html).lower()
    assert '<a href="https://files.example/report.html">' in html
    text, html = parts(written(DONE))
    for fact in ("changes needed", "Blur the label", "ana", "2026-11-21 12:30 UTC", "/srv/objects/decision.json"):
        assert fact in text
        assert fact in html
    assert "<a href" not in html, "a path of the server is no link in a mail"
    text, html = parts(written(FAILED))
    for fact in ("compliance/source_video", "run-1", "http://localhost:3000/runs/run-1"):
        assert fact in text
        assert fact in html
    assert "the bucket refuses the key (403)" in text


def test_a_template_with_a_placeholder_that_nothing_fills_is_not_rendered() -> None:
    facts = {"video": "v", "name": "n", "site": "s", "tones": {}} | FAILED.model_dump()
    for template in ("pipeline_failed.txt.j2", "pipeline_failed.html.j2"):
        assert rendered(template, facts)
        for name in ("stage", "error", "run", "look", "video", "name", "site"):
            with pytest.raises(Permanent, match=f"placeholder.*{name}"):
                rendered(template, {key: value for key, value in facts.items() if key != name})


def test_a_subject_is_one_short_line_whatever_the_name_of_the_file() -> None:
    long = {"video": VIDEO.key, "name": "a\nb " + "ü" * 300, "site": "brew", "notice": READY.model_dump(mode="json")}
    message = letter(Message(uuid.UUID(int=1), SITE.account_id, long, 0, AT), sender="d@b.example", to=["ana@b.example"])
    assert len(message["Subject"]) <= 78
    assert message["Subject"].startswith("review: a b ü")
    assert message_from_bytes(message.as_bytes(), policy=policy.default)["Subject"] == message["Subject"]


def test_without_a_mail_server_mails_are_files_that_mail_programs_open(store: Store, tmp_path: Path) -> None:
    told(store, *ALL)
    sent = send_waiting(store, Mail(tmp_path, mail_to=""))
    assert (sent.sent, sent.refused, sent.left.number) == (3, 0, 0)
    files = sorted((tmp_path / "outbox").iterdir())
    assert len(files) == 3
    assert {file.suffix for file in files} == {".eml"}
    mails = [message_from_bytes(file.read_bytes(), policy=policy.default) for file in files]
    assert any("failed at compliance/source_video" in mail["Subject"] for mail in mails)
    assert not any("To" in mail for mail in mails), "a file that is for nobody yet speaks of recipients"
    assert send_waiting(store, Mail(tmp_path)).sent == 0


def test_the_same_event_told_twice_is_one_mail_and_another_event_another(store: Store) -> None:
    first, second, third = told(store, READY, READY, READY.model_copy(update={"outcome": "block"}))
    assert first == second != third
    with store.transaction() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(OutboxRow)) == 2


def test_a_mail_of_a_transaction_that_fails_is_never_sent(store: Store, mail: Mail, smtp: SmtpServer) -> None:
    told(store)

    def fails() -> None:
        with store.transaction() as session:
            announce(session, VIDEO, READY)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert send_waiting(store, mail).sent == 0
    assert smtp.mails == []


def test_mails_go_over_one_connection_to_everybody(store: Store, mail: Mail, smtp: SmtpServer) -> None:
    told(store, *ALL)
    assert send_waiting(store, mail).told() == "3 mails sent"
    assert len(smtp.mails) == 3
    assert smtp.connections == 1
    to, message = smtp.mails[0]
    assert to == ["ana@brew.example", "ben@brew.example"]
    assert message["From"] == "Pressroom <desk@brew.example>"
    assert message["To"] == "ana@brew.example, Ben <ben@brew.example>"
    assert {each["Message-ID"] for _, each in smtp.mails} == {f"<{id}@pressroom>" for id in told(store, *ALL)}
    parts(message)


def test_a_mail_whose_last_word_was_lost_comes_again_and_is_recognised(store: Store, mail: Mail, smtp: SmtpServer) -> None:
    """The server took the mail, and the connection broke before it said so: nobody can know, so it goes again, as the same one."""
    told(store, READY)
    smtp.does = Behaviour(drops={"DATA"})
    sent = send_waiting(store, mail)
    assert (sent.sent, sent.left.number) == (0, 1)
    assert "does not answer" in sent.told()
    smtp.does = Behaviour()
    assert send_waiting(store, mail).sent == 0, "it waits a minute first"
    due_now(store)
    assert send_waiting(store, mail).sent == 1
    (_, first), (_, second) = smtp.mails
    assert first["Message-ID"] == second["Message-ID"]
    assert first.as_bytes() == second.as_bytes() or parts(first) == parts(second)
    assert first["Date"] == second["Date"]


def test_a_server_that_is_away_keeps_the_mails_and_is_asked_once(store: Store, tmp_path: Path, smtp: SmtpServer) -> None:
    told(store, *ALL)
    with SmtpServer() as gone:
        port = gone.port
    sent = send_waiting(store, Mail(tmp_path, SecretStr(f"smtp://desk:secret-word@127.0.0.1:{port}")))
    assert sent.left.number == 3
    assert sent.left.failed == 1, "the others were not tried in vain"
    assert f"3 waiting: the mail server 127.0.0.1:{port} does not answer" in sent.told()
    assert "secret-word" not in sent.told()
    due_now(store)
    assert send_waiting(store, Mail(tmp_path, SecretStr(f"smtp://127.0.0.1:{smtp.port}"))).sent == 3


def test_a_server_that_is_too_slow_counts_as_away(store: Store, mail: Mail, smtp: SmtpServer) -> None:
    told(store, READY)
    smtp.does = Behaviour(stalls={"MAIL"})
    assert "does not answer" in send_waiting(store, mail, timeout_s=0.2).told()
    assert row(store).done_at is None


def test_what_is_refused_for_good_is_not_tried_again(store: Store, mail: Mail, smtp: SmtpServer) -> None:
    told(store, READY)
    smtp.does = Behaviour(replies={"RCPT": "550 no such user"})
    sent = send_waiting(store, mail)
    assert (sent.sent, sent.refused, sent.left.number) == (0, 1, 0)
    assert "ana@brew.example: 550 no such user" in sent.told()
    assert row(store).done_at
    assert "550 no such user" in (row(store).error or "")
    due_now(store)
    assert send_waiting(store, mail).told() == "0 mails sent"


@pytest.mark.parametrize(("reply", "waits"), [("554 spam", False), ("451 later", True)])
def test_a_mail_refused_after_its_data_ends_or_waits_as_the_server_says(
    store: Store, mail: Mail, smtp: SmtpServer, reply: str, waits: bool
) -> None:
    told(store, READY, DONE)
    smtp.does = Behaviour(replies={"DATA": reply})
    sent = send_waiting(store, mail)
    assert sent.left.number == 2 * waits
    assert len(smtp.mails) == 2, "one mail that is refused does not keep the next from being tried"
    assert reply in sent.told()


def test_who_has_got_a_mail_does_not_get_it_again_with_the_one_who_has_not(store: Store, mail: Mail, smtp: SmtpServer) -> None:
    told(store, READY)
    smtp.does = Behaviour(replies={"RCPT ben@": "450 greylisted"})
    assert send_waiting(store, mail).left.number == 1
    smtp.does = Behaviour()
    due_now(store)
    assert send_waiting(store, mail).sent == 1
    assert [to for to, _ in smtp.mails] == [["ana@brew.example"], ["ben@brew.example"]]
    assert smtp.mails[1][1]["To"] == smtp.mails[0][1]["To"]


def test_one_recipient_who_is_refused_keeps_the_mail_from_nobody_else(store: Store, mail: Mail, smtp: SmtpServer) -> None:
    told(store, READY)
    smtp.does = Behaviour(replies={"RCPT ben@": "550 gone"})
    sent = send_waiting(store, mail)
    assert (sent.sent, sent.refused, sent.left.number) == (1, 1, 0)
    assert [to for to, _ in smtp.mails] == [["ana@brew.example"]]
    assert row(store).error == "Ben <ben@brew.example>: 550 gone" or row(store).error == "ben@brew.example: 550 gone"


def test_a_password_that_is_wrong_costs_no_mail(store: Store, tmp_path: Path, smtp: SmtpServer) -> None:
    told(store, READY)
    smtp.does = Behaviour(login=("desk", "p@ss/word"))
    sent = send_waiting(store, Mail(tmp_path, SecretStr(f"smtp://desk:wrong-word@127.0.0.1:{smtp.port}")))
    assert sent.left.number == 1
    assert "PRESSROOM_SMTP_URL" in sent.told()
    assert "wrong-word" not in sent.told()
    due_now(store)
    assert send_waiting(store, Mail(tmp_path, SecretStr(f"smtp://desk:p%40ss%2Fword@127.0.0.1:{smtp.port}"))).sent == 1


def test_a_sender_that_is_refused_is_a_setting_to_correct(store: Store, mail: Mail, smtp: SmtpServer) -> None:
    told(store, READY)
    smtp.does = Behaviour(replies={"MAIL": "553 not yours"})
    sent = send_waiting(store, mail)
    assert sent.left.number == 1
    assert "PRESSROOM_MAIL_FROM" in sent.told()


def test_two_senders_never_take_the_same_mail_and_a_dead_one_loses_it(store: Store) -> None:
    told(store, READY)
    with store.transaction() as one, store.transaction() as two:
        taken = take_message(one, "mail", lease=dt.timedelta(minutes=5))
        assert take_message(two, "mail", lease=dt.timedelta(minutes=5)) is None
    with store.transaction() as session:
        assert take_message(session, "mail", lease=dt.timedelta(minutes=5)) is None
    due_now(store)
    with store.transaction() as session:
        again = take_message(session, "mail", lease=dt.timedelta(minutes=5))
    assert taken
    assert again
    assert (again.id, again.attempts) == (taken.id, 1)


@pytest.mark.parametrize("url", ["http://host", "smtp://", "smtp://user:pass@", "smtps://host/path", "smtp://host:port"])
def test_a_url_that_is_none_is_said_without_its_password(url: str) -> None:
    with pytest.raises(BadInput, match="PRESSROOM_SMTP_URL: expected") as said:
        SmtpPost(SecretStr(url))
    assert "pass@" not in str(said.value).replace("user:password@", "")


@pytest.mark.parametrize(("name", "value"), [("mail_to", "ana"), ("mail_to", ""), ("mail_from", "desk@"), ("mail_from", "a@b\nc@d.e")])
def test_a_bad_address_is_said_before_any_mail_is_touched(store: Store, mail: Mail, name: str, value: str) -> None:
    told(store, READY)
    bad = Mail(**(vars(mail) | {name: value}))
    with pytest.raises(BadInput, match=f"PRESSROOM_{name.upper()}"):
        send_waiting(store, bad)
    assert row(store).attempts == 0


def test_what_was_sent_is_one_line_for_people(store: Store, mail: Mail) -> None:
    nothing: Sent = send_waiting(store, mail)
    assert nothing.told() == "0 mails sent"
