"""The store of a home that is there, for commands that only look or go on: a new database is none of theirs to begin."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pressroom.settings import Settings
    from pressroom.store.engine import Store


def open_known_store(settings: "Settings") -> "Store":
    """As `open_store`. Raises BadInput, and creates nothing, where an embedded database was never begun."""
    from pressroom.errors import BadInput
    from pressroom.store.embedded import Place
    from pressroom.store.engine import open_store

    if settings.database_url is None and not Place.under(settings.home).exists():
        raise BadInput(
            f"there is no Pressroom home in {settings.home.absolute()}: work in the project's folder, or set PRESSROOM_HOME; "
            "pressroom site apply begins a new one"
        )
    return open_store(settings)


@contextmanager
def open_desk(settings: "Settings") -> "Iterator[Store]":
    """As `open_known_store`, for a command that works for PRESSROOM_ACCOUNT. Raises BadInput for one that does not exist."""
    from pressroom.store.accounts import check_account

    with open_known_store(settings) as store:
        with store.transaction() as session:
            check_account(session, settings.account)
        yield store
