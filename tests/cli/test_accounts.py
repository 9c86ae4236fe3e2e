"""PRESSROOM_ACCOUNT: every command that works for an account says when there is none of that name, and touches no other account's."""

import shlex
from pathlib import Path

import pytest

from pressroom.store.content import save_drafts, save_ideas
from pressroom.store.engine import Store
from pressroom.store.sites import apply_site
from tests.cli.conftest import Pressroom
from tests.samples import DAY, SITE, a_draft, an_idea, call_booked, site_applied
from tests.telling import document, told

IDEA = an_idea()
DRAFT = a_draft(IDEA, call="call")
THEIRS = SITE.model_copy(update={"slug": "theirs", "account": "acme"})
COMMANDS = [
    "run brew",
    f"regenerate {DRAFT.id}",
    f"trace {DRAFT.id}",
    "costs",
    "costs --site brew",
    "site list",
    "batches",
    "tasks list",
    "tasks log",
    "tasks precision",
    "risks diff own.yaml --site brew",
]


@pytest.fixture
def two_accounts(here: None, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Site brew, with a draft, of the account default; site theirs of acme."""
    with store.transaction() as session:
        site_applied(session)
        apply_site(session, THEIRS)
        call_booked(session, "call")
        save_ideas(session, SITE, DAY, [IDEA], run_id="run")
        save_drafts(session, SITE, [DRAFT], run_id="run")
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    (tmp_path / "own.yaml").write_text("risks: [{code: GAMB, severity: 2}]\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.usefixtures("two_accounts")
def test_an_account_that_does_not_exist_is_told(command: str, pressroom: Pressroom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESSROOM_ACCOUNT", "nope")
    said = "account 'nope' (PRESSROOM_ACCOUNT) is unknown: known are acme, default"
    assert told(pressroom(*shlex.split(command)), 2, said) is None


@pytest.mark.parametrize("command", [command for command in COMMANDS if "brew" in command or str(DRAFT.id) in command])
@pytest.mark.usefixtures("two_accounts")
def test_another_accounts_site_and_its_drafts_are_refused(command: str, pressroom: Pressroom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESSROOM_ACCOUNT", "acme")
    assert told(pressroom(*shlex.split(command)), 2, "site 'brew' belongs to the account 'default'; PRESSROOM_ACCOUNT is 'acme'") is None


@pytest.mark.usefixtures("two_accounts")
def test_the_sites_that_are_listed_are_the_accounts_own(pressroom: Pressroom, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [site["slug"] for site in document(pressroom("site", "list", "--json"))] == ["brew"]
    monkeypatch.setenv("PRESSROOM_ACCOUNT", "acme")
    assert [site["slug"] for site in document(pressroom("site", "list", "--json"))] == ["theirs"]
