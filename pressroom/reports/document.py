"""The daily report as a document: the records that its JSON form has, and the version that says whether two of them differ."""

import hashlib
import json
import uuid
from datetime import date
from decimal import Decimal
from typing import Any, Literal

from pydantic import JsonValue

from pressroom.records import DraftState, Origin, Record, RejectedRow, Severity, Slug, Violation
from pressroom.store.reports import CallsFact, ClusterFact, KeywordFact, MadeFact, RunFact

State = Literal["complete", "partial", "waiting", "failed", "nothing ran"]

SCHEMA_VERSION = 1
# What a second run changes although it made nothing new: its own times and ids, what it replayed, and what it counted as carried.
_VOLATILE: Any = {
    "version": True,
    "runs": True,
    "calls": {"replayed": True},
    "made": {"__all__": {"counts": True, "run_id": True, "finished_at": True}},
}


class SiteReport(Record):
    slug: Slug
    name: str
    domain: str
    time_zone: str
    language: str
    platforms: dict[str, str]  # slug: name, in the site's order
    ideas_wanted: int


class Lineage(Record):
    """Where a text comes from, in short: `call` is the first ten characters of the request hash."""

    model: str | None
    prompt_version: str | None
    call: str | None


class DraftReport(Record):
    """One draft as it stands. `versions` counts its versions, `number` is the one shown; `measures` and `limits` are the platform's."""

    id: uuid.UUID
    platform: Slug
    state: DraftState
    number: int
    versions: int
    origin: Origin
    author: str | None
    offline: bool
    text: str
    parts: dict[str, JsonValue]
    measures: dict[str, JsonValue]
    limits: dict[str, JsonValue]
    violations: tuple[Violation, ...]
    lineage: Lineage


class IdeaReport(Record):
    """One idea with its drafts; `missing` names the platforms that have none."""

    id: uuid.UUID
    ordinal: int
    title: str
    description: str
    topic_category: str
    angle: str
    audience: str
    format: str
    similarity: float | None
    nearest: uuid.UUID | None
    cluster_id: uuid.UUID
    cluster: str
    keywords: tuple[KeywordFact, ...]
    offline: bool
    lineage: Lineage
    drafts: tuple[DraftReport, ...]
    missing: tuple[Slug, ...]


class ImportReport(Record):
    """One keyword file of the day; `rows` are the first of its rejected rows."""

    name: str
    format: str
    encoding: str
    accepted: int
    rejected: int
    rows: tuple[RejectedRow, ...]


class Calls(Record):
    """Calls of the day. `paid` were answered by a model (an offline answer costs 0), `replayed` came from the ledger, `pending` are on
    their way, alone or in a batch."""

    paid: int
    replayed: int
    failed: int
    pending: int


class Tokens(Record):
    input: int
    cached: int
    output: int
    reasoning: int


class Failure(Record):
    """What failed and why. `target` is the draft or idea it is about."""

    kind: Literal["run", "step", "draft", "calls"]
    what: str
    why: tuple[str, ...]
    target: uuid.UUID | None = None


class Need(Record):
    """Something that waits for a person: `targets` are the drafts it is about, `command` is what does it."""

    kind: Severity | Literal["read"]
    text: str
    targets: tuple[uuid.UUID, ...] = ()
    command: str | None = None


class DailyReport(Record):
    """The report of one site and day. The same facts give the same document.

    `version` is a hash over it without what a second run changes although it made nothing new: the runs with their ids and times, the
    calls answered from the ledger, and the counts, run and time of each asset. `cost_usd` is None when no call has a price.
    """

    schema_version: int = SCHEMA_VERSION
    version: str = ""
    site: SiteReport
    day: date
    state: State
    headline: str
    needs: tuple[Need, ...]
    missing: tuple[str, ...]
    failures: tuple[Failure, ...]
    offline: bool
    states: dict[str, int]
    ideas: tuple[IdeaReport, ...]
    clusters: tuple[ClusterFact, ...]
    imports: tuple[ImportReport, ...]
    calls: Calls
    tokens: Tokens
    cost_usd: Decimal | None
    unpriced: int
    spending: tuple[CallsFact, ...]
    made: tuple[MadeFact, ...]
    runs: tuple[RunFact, ...]

    @property
    def drafts(self) -> tuple[DraftReport, ...]:
        return tuple(draft for idea in self.ideas for draft in idea.drafts)

    def hashed(self) -> "DailyReport":
        """The same report with its version filled in."""
        stable = self.model_dump(mode="json", exclude=_VOLATILE)
        digest = hashlib.sha256(json.dumps(stable, sort_keys=True).encode()).hexdigest()[:16]
        return self.model_copy(update={"version": digest})
