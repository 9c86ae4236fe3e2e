"""Accounts: the rows that everything an account owns points to."""

import uuid

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pressroom.errors import BadInput
from pressroom.records import Site, stable_id
from pressroom.store.tables import AccountRow


def ensure_account(session: Session, slug: str) -> uuid.UUID:
    """The account's id; its row is made where it has none yet."""
    account_id = stable_id("account", slug)
    session.execute(insert(AccountRow).values(id=account_id, slug=slug).on_conflict_do_nothing())
    return account_id


def account_of_house(session: Session, slug: str) -> uuid.UUID:
    """The account's id, for calls of no site, which may come before there is any. Raises BadInput for an unknown account."""
    check_account(session, slug)
    return ensure_account(session, slug)


def check_account(session: Session, slug: str) -> None:
    """Raises BadInput, with the known ones, for an account that has never had a site or a call. Before there is any account, the default
    one is none that is unknown: it begins with the first site."""
    known = session.scalars(sa.select(AccountRow.slug).order_by(AccountRow.slug)).all()
    if slug not in known and (known or slug != Site.model_fields["account"].default):
        are = f"known are {', '.join(known)}" if known else "'pressroom site apply FILE' begins one with its first site"
        raise BadInput(f"account '{slug}' (PRESSROOM_ACCOUNT) is unknown: {are}")
