"""Executes the real Dagster jobs on the real instance, so that what a command did is there in the UI."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.output import err
from pressroom import errors
from pressroom.errors import BadInput, PressroomError

if TYPE_CHECKING:
    from dagster import AssetKey, DagsterEvent, DagsterInstance

    from pressroom.records import Site
    from pressroom.store.engine import Store


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `problem` is the error of the first step, or of what no step could begin without, in one line; `exit_code` is what a
    command should end with."""

    run_id: str
    ok: bool
    problem: str = ""
    exit_code: int = 0


class RunFailed(PressroomError):
    """A run ended without success; the exit code is that of its cause."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(f"run {outcome.run_id} failed: {outcome.problem}")
        self.exit_code = outcome.exit_code


@contextmanager
def dagster_instance() -> Iterator["DagsterInstance"]:
    """The instance of DAGSTER_HOME, else the one that the current folder's dagster.yaml describes. Raises BadInput when there is none."""
    import os
    import sqlite3
    import warnings

    import yaml

    warnings.filterwarnings("ignore", module="dagster")  # previews and superseded names are for developers: `make check` shows them
    import sqlalchemy.exc
    from dagster import DagsterError, DagsterInstance

    home = os.environ.get("DAGSTER_HOME")
    if not home and not Path("dagster.yaml").is_file():
        raise BadInput("no dagster.yaml in this folder: run the command in the project's folder, or set DAGSTER_HOME")
    try:
        instance = DagsterInstance.get() if home else DagsterInstance.from_config(str(Path.cwd()))
        instance.get_runs_count()
    except (DagsterError, yaml.YAMLError, sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, OSError) as error:
        where = f"DAGSTER_HOME {home}" if home else "dagster.yaml"
        raise BadInput(f"Dagster's storage ({where}) cannot be used: {' '.join(str(error).split())[:300]}") from None
    with instance:
        yield instance


def check_day(site: "Site", day: dt.date | None) -> dt.date:
    """The day to run: the site's own today when none is given. Raises BadInput when it is outside the partitions."""
    from content_assets.partitions import days

    day = day or dt.datetime.now(site.zone).date()
    first, last = days.start.date(), dt.date.fromisoformat(days.get_last_partition_key() or "0001-01-01")
    if not first <= day <= last:
        raise BadInput(f"date {day} is outside the partitions ({first} to {last}); PRESSROOM_START_DATE sets the first")
    return day


def execute_day(
    job: str,
    instance: "DagsterInstance",
    site: "Site",
    day: dt.date,
    *,
    assets: "Sequence[AssetKey] | None" = None,
    llm: Mapping[str, Any] | None = None,
) -> Outcome:
    """Runs a job, or only some `assets` of it, for one site and day in this process. `llm` configures the gateway (resources/llm.py)."""
    from content_assets.partitions import SITES, key_of

    _ensure_partition(instance, SITES, site.slug)
    config = {"resources": {"llm": {"config": dict(llm)}}} if llm else {}
    return _execute(job, instance, key_of(site.slug, day), config, assets)


def execute_video(job: str, instance: "DagsterInstance", key: str) -> Outcome:
    """Runs a job for one video in this process."""
    from content_assets.partitions import VIDEOS

    _ensure_partition(instance, VIDEOS, key)
    return _execute(job, instance, key, {})


def _ensure_partition(instance: "DagsterInstance", partitions: str, key: str) -> None:
    if not instance.has_dynamic_partition(partitions, key):
        instance.add_dynamic_partitions(partitions, [key])


def _execute(
    job: str, instance: "DagsterInstance", partition: str, config: Mapping[str, Any], assets: "Sequence[AssetKey] | None" = None
) -> Outcome:
    from dagster import DagsterExecutionInterruptedError

    from content_assets.automation import BY_COMMAND
    from definitions import defs
    from resources.store import TRIGGER_TAG

    try:
        result = defs.resolve_job_def(job).execute_in_process(
            instance=instance,
            partition_key=partition,
            tags={TRIGGER_TAG: BY_COMMAND},
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}, **config},
            asset_selection=assets,
            raise_on_error=False,
        )
    except DagsterExecutionInterruptedError:  # between two steps
        raise KeyboardInterrupt from None
    if result.success:
        return Outcome(result.run_id, ok=True)
    return Outcome(result.run_id, False, *_cause(result))


def _cause(result: Any) -> tuple[str, int]:
    for event in result.all_events:
        failure = event.step_failure_data if event.is_step_failure else None
        if failure and failure.user_failure_data:
            code = failure.user_failure_data.metadata.get("exit_code")
            return failure.user_failure_data.description, int(code.value) if code else 3
        if failure and failure.error and failure.error.cls_name == "DagsterExecutionInterruptedError":
            return "cancelled; run it again, and what is done is not done twice", 5
        if failure and failure.error:
            error = failure.error.cause or failure.error
            return f"{event.step_key}: {error.message.strip().splitlines()[0]}", 3
    return next((_before_steps(event) for event in result.all_events if event.is_failure), ("it did not start", 3))


def _before_steps(failed: "DagsterEvent") -> tuple[str, int]:
    """Why no step began: what a resource raised, such as the database's when that has gone away."""
    error = failed.job_failure_data.error
    while error and error.cause:
        error = error.cause
    if error is None:
        return failed.message or "", 3
    kind = getattr(errors, error.cls_name or "", PressroomError)
    return error.message.strip().splitlines()[0].removeprefix(f"pressroom.errors.{error.cls_name}: "), kind.exit_code


@contextmanager
def progress(store: "Store", title: str) -> Iterator[None]:
    """A line on a terminal that says which step is at work and how many answers came, while the block runs."""
    if not err.is_terminal:
        yield
        return
    import threading

    done = threading.Event()
    began = dt.datetime.now(dt.UTC)
    with err.status(title) as status:

        def watch() -> None:
            while not done.wait(0.5):
                status.update(f"{title}: {_where(store, began)}")

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()


def _where(store: "Store", began: dt.datetime) -> str:
    from pressroom.store.runs import progress_since

    with store.transaction() as session:
        steps, answers = progress_since(session, began)
    last = f", {steps[-1]} done" if steps else ""
    return f"{answers} answers{last}"
