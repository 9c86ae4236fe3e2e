"""Accounts: the rows that everything an account owns points to."""

import uuid

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pressroom.records import stable_id
from pressroom.store.tables import AccountRow


def ensure_account(session: Session, slug: str) -> uuid.UUID:
    """The account's id; its row is made where it has none yet, for calls of the house before there is any site."""
    account_id = stable_id("account", slug)
    session.execute(insert(AccountRow).values(id=account_id, slug=slug).on_conflict_do_nothing())
    return account_id
