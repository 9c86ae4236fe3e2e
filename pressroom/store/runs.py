"""Runs as the product sees them: who works on a site and day, what each asset made, and what is due."""

import datetime as dt
import traceback
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pressroom.errors import Blocked, Deferred, PressroomError
from pressroom.records import Site, Tally, stable_id
from pressroom.store.engine import Store
from pressroom.store.locks import HeldSite
from pressroom.store.tables import AutomationRunRow, DueRow, ModelCallRow, ReportRow, SiteDayRow, SiteRow

Trigger = Literal["manual", "scheduled"]


@dataclass(frozen=True)
class Run:
    """One run of the orchestrator. `root` is the first of its retries: the same work, so it goes on where that one stopped."""

    id: str
    root: str
    trigger: Trigger = "manual"


@dataclass(frozen=True)
class LastWords:
    """What a day's newest steps said: when the last of them ended, and since when one of them waits for a batch (None: none does)."""

    ended_at: dt.datetime
    waits_since: dt.datetime | None = None


@dataclass
class Step:
    """What one asset did: filled in while it works, written down when it ends. `before` is the data version of the last state."""

    asset: str
    before: str | None = None
    data_version: str = ""
    complete: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)

    @property
    def carried(self) -> bool:
        """Nothing new: the last state still stands."""
        return self.data_version == self.before

    def done(self, data_version: str, *, complete: bool = True, **counts: int) -> None:
        """Says what was made; `complete` is false when a part of it is missing."""
        self.data_version, self.complete, self.counts = data_version, complete, counts


@dataclass(frozen=True)
class SiteDay:
    """A run's hold on a site and day. Every write goes through `transaction`, which refuses once another run has taken the site."""

    site: Site
    day: dt.date
    run: Run
    store: Store
    held: HeldSite
    at_work: set[str] = field(default_factory=set)  # steps without an end: at the end of the run they are the interrupted ones

    def transaction(self) -> AbstractContextManager[Session]:
        """A transaction that is refused once another run has taken the site. Raises Transient when the database goes away in it."""
        return self.held.transaction()

    def write(self, work: Callable[[Session], None]) -> None:
        """Does `work` in such a transaction, again for some seconds when the database goes away: a write that is safe to repeat."""
        self.held.retrying(work)

    @contextmanager
    def step(self, asset: str) -> Iterator[Step]:
        """The work of one asset. Writes what it made, what it waits for, or why it failed, for the report and the next run."""
        started = dt.datetime.now(dt.UTC)
        with self.transaction() as session:
            step = Step(asset, before=last_version(session, self.site.id, self.day, asset))
        self.at_work.add(asset)
        try:
            yield step
        except Deferred:
            self._write(step, started, waits=True)
            raise
        except Exception as error:
            reason = str(error) if isinstance(error, PressroomError) else traceback.format_exception_only(error)[-1]
            self._write(step, started, error=" ".join(reason.split())[:500])
            raise
        self._write(step, started)

    def _write(self, step: Step, started: dt.datetime, *, waits: bool = False, error: str | None = None) -> None:
        ended = dt.datetime.now(dt.UTC)
        state = "failed" if error else "waiting" if waits else "carried" if step.carried else "done"
        entry: dict[str, Any] = {
            "asset": step.asset,
            "started_at": started.isoformat(),
            "ended_at": ended.isoformat(),
            "state": state,
            "counts": step.counts,
        }
        entry |= {
            "calls": {"paid": step.tally.paid, "replayed": step.tally.replayed},
            "cost_usd": float(step.tally.cost_usd),
            "error": error,
        }
        row = {"data_version": step.data_version, "complete": step.complete, "counts": step.counts, "run_id": self.run.id}
        key = {"site_id": self.site.id, "day": self.day, "asset": step.asset, "account_id": self.site.account_id}
        made = insert(SiteDayRow).values(key | row)
        made = made.on_conflict_do_update(index_elements=["site_id", "day", "asset"], set_=row | {"finished_at": ended})

        def write(session: Session) -> None:
            append_step(session, self.run, entry)
            if not error and not waits:
                session.execute(made)

        self.write(write)
        self.at_work.discard(step.asset)


def begin_run(session: Session, site: Site, day: dt.date, run: Run) -> None:
    """Books that `run` works on the site and day. The caller holds the site, so a row that still says "running" belongs to a dead run.

    Raises Blocked when the run was scheduled and another one has claimed this due day.
    """
    if run.trigger == "scheduled":
        claim = {"site_id": site.id, "day": day, "account_id": site.account_id, "run_id": run.root}
        session.execute(insert(DueRow).values(claim).on_conflict_do_nothing())
        owner = session.execute(sa.select(DueRow.run_id).where(DueRow.site_id == site.id, DueRow.day == day)).scalar_one()
        if owner != run.root:
            raise Blocked(f"site '{site.slug}', {day}: the scheduled run {owner} has done this day already")
    end_lost_runs(session, site, but=run)
    row = {"run_id": run.id, "state": "running", "error": None, "ended_at": None}
    key = {"id": stable_id("automation-run", run.root), "account_id": site.account_id, "site_id": site.id, "day": day}
    statement = insert(AutomationRunRow).values(key | row | {"root_run_id": run.root, "trigger": run.trigger})
    session.execute(statement.on_conflict_do_update(index_elements=["root_run_id"], set_=row))


def end_lost_runs(session: Session, site: Site, *, but: Run) -> None:
    """Marks the runs of a site that say "running" as failed, except `but`. Only for who holds the site."""
    lost = sa.update(AutomationRunRow).where(
        AutomationRunRow.site_id == site.id, AutomationRunRow.state == "running", AutomationRunRow.root_run_id != but.root
    )
    session.execute(lost.values(state="failed", error="the run's process ended without a word", ended_at=sa.func.now()))


def generations_of(desk: SiteDay, *, fresh: bool, regenerate: Collection[str] = ()) -> tuple[str, dict[str, str]]:
    """The generation of answers that the run asks for, and those of single items that are another one.

    A `fresh` run begins its own, named by its root; for the items in `regenerate` every run can. What was begun is what the site's day
    goes on with: an ordinary run later replays the newest answers, not the first.
    """
    runs = AutomationRunRow
    of_day = sa.select(runs.root_run_id, runs.generation, runs.regenerated).where(runs.site_id == desk.site.id, runs.day == desk.day)

    def choose(session: Session) -> tuple[str, dict[str, str]]:
        begun = {"generation": desk.run.root} if fresh else {}
        own = sa.update(runs).where(runs.root_run_id == desk.run.root)
        session.execute(own.values(begun | {"regenerated": sorted(regenerate)}))
        generation, items = "", dict[str, str]()
        for run in session.execute(of_day.order_by(runs.started_at, runs.id)):
            if run.generation:
                generation, items = run.generation, {}
            items |= dict.fromkeys(run.regenerated, run.root_run_id)
        return generation, items

    return desk.held.retrying(choose)


def append_step(session: Session, run: Run, entry: dict[str, Any]) -> None:
    appended = AutomationRunRow.steps.op("||")(sa.type_coerce([entry], AutomationRunRow.steps.type))
    session.execute(sa.update(AutomationRunRow).where(AutomationRunRow.root_run_id == run.root).values(steps=appended))


def end_run(session: Session, run: Run, *, interrupted: Collection[str] = ()) -> None:
    """Books the end of a run: failed when a step of it failed or was interrupted, else completed."""
    row = session.execute(
        sa.select(AutomationRunRow).where(AutomationRunRow.root_run_id == run.root, AutomationRunRow.run_id == run.id).with_for_update()
    ).scalar()
    if row is None or row.state != "running":
        return
    newest = {step["asset"]: step for step in row.steps}  # a retry's step stands for the one before it
    failed = [step for step in newest.values() if step["state"] == "failed"]
    problems = [f"{step['asset']}: {step['error']}" for step in failed] + [f"{asset}: cancelled" for asset in sorted(interrupted)]
    row.state = "failed" if problems else "completed"
    row.error = problems[0] if problems else None
    row.ended_at = dt.datetime.now(dt.UTC)


def last_version(session: Session, site_id: uuid.UUID, day: dt.date, asset: str) -> str | None:
    """The data version of what `asset` last made of the site, on this day or before it."""
    query = sa.select(SiteDayRow.data_version).where(SiteDayRow.site_id == site_id, SiteDayRow.asset == asset, SiteDayRow.day <= day)
    return session.execute(query.order_by(SiteDayRow.day.desc()).limit(1)).scalar()


def claimed_days(session: Session, days: list[dt.date]) -> set[tuple[str, dt.date]]:
    """The (site slug, day) pairs among `days` that a scheduled run has claimed."""
    query = sa.select(SiteRow.slug, DueRow.day).join(SiteRow, SiteRow.id == DueRow.site_id).where(DueRow.day.in_(days))
    return set(session.execute(query).all())


def last_words(session: Session, days: Collection[tuple[str, dt.date]], assets: Collection[str]) -> dict[tuple[str, dt.date], LastWords]:
    """What the newest steps of these assets said, for each of the (site slug, day) pairs that has one."""
    runs = AutomationRunRow
    query = sa.select(SiteRow.slug, runs.day, runs.steps).join(SiteRow, SiteRow.id == runs.site_id)
    newest: dict[tuple[str, dt.date], dict[str, dict[str, Any]]] = {}
    for slug, day, steps in session.execute(query.where(sa.tuple_(SiteRow.slug, runs.day).in_(days)).order_by(runs.started_at, runs.id)):
        newest.setdefault((slug, day), {}).update({step["asset"]: step for step in steps if step["asset"] in assets})
    return {place: _last_words(list(steps.values())) for place, steps in newest.items() if steps}


def _last_words(steps: list[dict[str, Any]]) -> LastWords:
    waits = [dt.datetime.fromisoformat(step["started_at"]) for step in steps if step["state"] == "waiting"]
    return LastWords(max(dt.datetime.fromisoformat(step["ended_at"]) for step in steps), min(waits, default=None))


def reported_at(session: Session, days: Collection[tuple[str, dt.date]]) -> dict[tuple[str, dt.date], dt.datetime]:
    """When the newest report of each of the (site slug, day) pairs was made; those without one are left out."""
    query = sa.select(SiteRow.slug, ReportRow.day, ReportRow.created_at).join(SiteRow, SiteRow.id == ReportRow.site_id)
    rows = session.execute(query.where(sa.tuple_(SiteRow.slug, ReportRow.day).in_(days))).all()
    return {(slug, day): made for slug, day, made in rows}


def steps_of(session: Session, run_id: str) -> list[dict[str, Any]]:
    """The steps that a run has written, in order; empty when it never took its site."""
    query = sa.select(AutomationRunRow.steps).where(AutomationRunRow.run_id == run_id)
    return session.execute(query).scalar() or []


def progress_since(session: Session, since: dt.datetime) -> tuple[list[str], int]:
    """Assets done by runs that began after `since`, and the number of model answers booked since then."""
    steps = session.execute(sa.select(AutomationRunRow.steps).where(AutomationRunRow.started_at >= since)).scalars()
    answers = session.execute(sa.select(sa.func.count()).where(ModelCallRow.answered_at >= since)).scalar_one()
    return [step["asset"] for entries in steps for step in entries], answers
