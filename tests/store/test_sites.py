"""Sites and whose they are: a command works for one account, and never on another's site."""

import re

import pytest

from pressroom.errors import BadInput
from pressroom.store.accounts import check_account
from pressroom.store.engine import Store
from pressroom.store.sites import all_sites, apply_site, site_by_slug
from tests.samples import SITE

THEIRS = SITE.model_copy(update={"slug": "theirs", "account": "acme"})


def applied(store: Store) -> None:
    with store.transaction() as session:
        for site in (SITE, THEIRS):
            apply_site(session, site)


def test_without_an_account_every_site_is_seen_and_with_one_only_its_own(store: Store) -> None:
    applied(store)
    with store.transaction() as session:
        assert [site.slug for site in all_sites(session)] == ["brew", "theirs"]
        assert [site.slug for site in all_sites(session, account="acme")] == ["theirs"]
        assert site_by_slug(session, "theirs") == site_by_slug(session, "theirs", account="acme") == THEIRS


@pytest.mark.parametrize(
    ("account", "slug", "said"),
    [
        ("nope", "brew", "account 'nope' (PRESSROOM_ACCOUNT) is unknown: known are acme, default"),
        ("acme", "brew", "site 'brew' belongs to the account 'default'; PRESSROOM_ACCOUNT is 'acme'"),
        ("acme", "brwe", "site 'brwe' is unknown: known are theirs"),
    ],
)
def test_what_is_not_the_accounts_own_is_told(store: Store, account: str, slug: str, said: str) -> None:
    applied(store)
    with store.transaction() as session, pytest.raises(BadInput, match=f"^{re.escape(said)}$"):
        site_by_slug(session, slug, account=account)


def test_before_the_first_site_only_an_account_that_was_named_is_unknown(store: Store) -> None:
    """A new desk lists no sites, and that is no mistake; a name that was set and is nowhere is one."""
    with store.transaction() as session:
        check_account(session, "default")
        with pytest.raises(BadInput, match=r"'nope'.* 'pressroom site apply FILE' begins one"):
            check_account(session, "nope")
