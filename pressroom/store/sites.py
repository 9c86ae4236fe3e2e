"""Accounts and sites as the database knows them."""

import datetime as dt

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pressroom.errors import BadInput
from pressroom.records import Site, stable_id
from pressroom.store.accounts import check_account, ensure_account
from pressroom.store.tables import SiteRow


def apply_site(session: Session, site: Site) -> dict[str, tuple[object, object]]:
    """Writes `site` and returns what changed as {field: (before, after)}: every field for a new one, none when applied twice.

    Raises BadInput when the slug belongs to another account: slugs are partition keys, unique over all accounts.
    """
    after = site.model_dump(mode="json")
    ensure_account(session, site.account)
    new = session.execute(
        insert(SiteRow)
        .values(id=site.id, account_id=site.account_id, slug=site.slug, definition=after)
        .on_conflict_do_nothing()
        .returning(SiteRow.id)
    ).scalar()
    if new:
        return {field: (None, value) for field, value in after.items()}
    row = session.execute(sa.select(SiteRow).where(SiteRow.slug == site.slug).with_for_update()).scalar_one()
    if row.account_id != site.account_id:
        raise BadInput(f"site '{site.slug}': the slug belongs to another account; choose another slug")
    changed = {field: (row.definition.get(field), value) for field, value in after.items() if row.definition.get(field) != value}
    if changed:
        row.definition = after
        row.updated_at = dt.datetime.now(dt.UTC)
    return changed


def site_by_slug(session: Session, slug: str, *, account: str | None = None) -> Site:
    """The site, whosever it is unless `account` is given. Raises BadInput for an unknown account or site, with the known ones, and for
    another account's site."""
    if account:
        check_account(session, account)
    row = session.execute(sa.select(SiteRow.definition).where(SiteRow.slug == slug)).scalar()
    if row is None:
        known = [site.slug for site in all_sites(session, account=account)]
        raise BadInput(
            f"site '{slug}' is unknown: " + (f"known are {', '.join(known)}" if known else "apply it with 'pressroom site apply FILE'")
        )
    site = Site.model_validate(row)
    if account and site.account != account:
        raise BadInput(f"site '{slug}' belongs to the account '{site.account}'; PRESSROOM_ACCOUNT is '{account}'")
    return site


def all_sites(session: Session, *, account: str | None = None) -> list[Site]:
    """Every site, by slug; of one account when `account` is given."""
    query = sa.select(SiteRow.definition).order_by(SiteRow.slug)
    if account:
        query = query.where(SiteRow.account_id == stable_id("account", account))
    return [Site.model_validate(row) for row in session.execute(query).scalars()]
