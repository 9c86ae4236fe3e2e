"""What the calls to models cost: the ledger added up by site, asset, model, day, month, run, item, purpose or prompt."""

import datetime as dt
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.orm import Session

from pressroom.records import Record
from pressroom.store.tables import ModelCallRow, SiteRow

By = Literal["site", "asset", "model", "day", "month", "run", "item", "purpose", "prompt"]

HOUSE = "(house)"  # the site of a call that was for no site: an evaluation, a calibration
NONE = "(none)"  # the asset or run of a call that was made outside of any

_c = ModelCallRow
# A call that failed has no time of an answer: it counts when it was entered.
_at = sa.func.timezone("UTC", sa.func.coalesce(_c.answered_at, _c.created_at))
_answered = _c.status == "answered"
_failed = (_c.status == "failed") & (_c.attempts > 0)  # one that was held back, by an open circuit or a limit in money, never left
_unpriced = _answered & _c.cost_usd.is_(None)

_KEYS: dict[By, sa.ColumnElement[str]] = {
    "site": sa.func.coalesce(SiteRow.slug, HOUSE),
    "asset": sa.func.coalesce(_c.asset, NONE),
    "model": sa.type_coerce(_c.model, sa.String),
    "day": sa.func.to_char(_at, "YYYY-MM-DD"),
    "month": sa.func.to_char(_at, "YYYY-MM"),
    "run": sa.func.coalesce(_c.run_id, NONE),
    "item": sa.type_coerce(_c.item, sa.String),
    "purpose": sa.type_coerce(_c.purpose, sa.String),
    "prompt": _c.prompt_id + "@" + _c.prompt_version,
}


class Cost(Record):
    """What the calls of one key came to. `cost_usd` leaves out the `unpriced` answers, which are those of `unpriced_models`.

    Cached and cache-write tokens are part of the input. `batched` of the answered calls went out in a batch.
    """

    key: str
    answered: int = 0
    failed: int = 0
    batched: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    images: int = 0
    cost_usd: Decimal = Decimal(0)
    unpriced: int = 0
    unpriced_models: tuple[str, ...] = ()


class Costs(Record):
    """The costs from `since` to `until`, both days included, and their sum."""

    by: By
    since: dt.date
    until: dt.date
    rows: tuple[Cost, ...]
    total: Cost


def costs(session: Session, *, account_id: uuid.UUID, by: By, since: dt.date, until: dt.date, site_id: uuid.UUID | None = None) -> Costs:
    """What the account's answered and failed calls came to, of one site when `site_id` is given. Replays leave no row: they are free. A
    call that never left is none.

    Days and months are those of `answered_at` in UTC (of `created_at` for a call that failed), whatever a site's own time zone. Rows come
    dearest first, then by key; days and months in their order.
    """
    key = _KEYS[by].label("key")
    query = (
        sa.select(key, *_counts(), *_sums())
        .join(SiteRow, SiteRow.id == _c.site_id, isouter=True)
        .where(_c.account_id == account_id, _answered | _failed, sa.cast(_at, sa.Date).between(since, until))
        .group_by(key)
    )
    if site_id:
        query = query.where(_c.site_id == site_id)
    rows = sorted(
        (Cost(**row) for row in session.execute(query).mappings()),
        key=lambda row: (0 if by in ("day", "month") else -row.cost_usd, row.key),
    )
    return Costs(by=by, since=since, until=until, rows=tuple(rows), total=_total(rows))


def paid_by(session: Session, run_id: str) -> dict[str, Decimal]:
    """What a run paid for answers in USD, by the asset that asked; an answer without a price counts as 0, and a replay is none."""
    query = sa.select(_KEYS["asset"], sa.func.sum(_c.cost_usd)).where(_c.run_id == run_id, _answered).group_by(_KEYS["asset"])
    return {asset: usd or Decimal(0) for asset, usd in session.execute(query)}


def _counts() -> list[sa.Label[Any]]:
    number = sa.func.count()
    models = sa.func.array_agg(_c.model.distinct()).filter(_unpriced)
    return [
        number.filter(_answered).label("answered"),
        number.filter(_failed).label("failed"),
        number.filter(_answered & _c.batch_id.is_not(None)).label("batched"),
        number.filter(_unpriced).label("unpriced"),
        sa.func.coalesce(models, sa.cast([], sa.ARRAY(sa.String))).label("unpriced_models"),
    ]


def _sums() -> list[sa.Label[Any]]:
    columns = (_c.input_tokens, _c.cached_tokens, _c.cache_write_tokens, _c.output_tokens, _c.images, _c.cost_usd)
    return [sa.func.coalesce(sa.func.sum(column), 0).label(column.key) for column in columns]


def _total(rows: Sequence[Cost]) -> Cost:
    added: dict[str, Any] = {
        name: sum(getattr(row, name) for row in rows) for name in Cost.model_fields if name not in ("key", "unpriced_models")
    }
    return Cost(key="total", **added, unpriced_models=tuple(sorted({model for row in rows for model in row.unpriced_models})))
