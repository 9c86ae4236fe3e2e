"""Batches are collected, and the days that waited for them go on."""

import datetime as dt

import dagster as dg

from content_assets import jobs
from content_assets.in_flight import site_days_in_flight
from content_assets.partitions import SITES, key_of
from content_assets.planner import CLUSTERS, IDEAS, KEYWORDS
from content_assets.writer import DRAFTS
from pressroom.llm.batches import Collection, Onward, Place, collect, days_to_go_on
from pressroom.llm.models import model_routes
from pressroom.settings import load_settings
from pressroom.store.batches import Batch, closed_of_days, open_batches
from pressroom.store.engine import Store
from pressroom.store.runs import last_words, reported_at
from resources.store import StoreResource

# A tick has 60 s; a look at a batch takes 0.2 s. What is not done by then is left to the next tick.
_LOOKS_FOR_S = 40.0
# What no run has gone on with for a week is left to people.
_REMEMBERED = dt.timedelta(days=7)
_CONTENT = {KEYWORDS, CLUSTERS, IDEAS, *DRAFTS}
_ASKING = {"/".join(key.path) for key in (IDEAS, *DRAFTS)}  # the steps that ask models


@dg.sensor(jobs=[jobs.daily_content, jobs.daily_report], minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def batches(context: dg.SensorEvaluationContext, store: StoreResource) -> list[dg.RunRequest] | dg.SkipReason:
    """Books the answers of ended batches, and requests a run of each day that waited for them; what that asks goes out in batches too.

    A day whose batches bring nothing twice in a row is not run again: its report says why.
    """
    found = _collected(store.store)
    for looked in found.waiting:
        if looked.problem:
            context.log.warning(f"batch {looked.batch.id}: {looked.problem}")
    onward = _onward(store.store)
    known = set(context.instance.get_dynamic_partitions(SITES))
    busy = site_days_in_flight(context.instance, jobs.daily_content.name)
    requests = [_run(context.instance, place, batch) for place, batch in onward.run.items() if place[0] in known and place not in busy]
    requests += [_report(place, batch) for place, batch in onward.report.items() if place[0] in known]
    return requests or dg.SkipReason(f"{len(found.closed)} batches were collected, {len(found.waiting)} are open")


def _collected(store: Store) -> Collection:
    with store.transaction() as session:
        waits = bool(open_batches(session))
    return collect(store, model_routes(load_settings()), within_s=_LOOKS_FOR_S) if waits else Collection()


def _onward(store: Store) -> Onward:
    with store.transaction() as session:
        closed = closed_of_days(session, since=dt.datetime.now(dt.UTC) - _REMEMBERED)
        places = {(batch.site, batch.day) for batch in closed if batch.site and batch.day}
        return days_to_go_on(closed, last_words(session, places, _ASKING), reported_at(session, places))


def _run(instance: dg.DagsterInstance, place: Place, batch: Batch) -> dg.RunRequest:
    """A run of what the run that sent the batch was to make. Never a fresh one: the day goes on with the answers that were asked for."""
    sender = instance.get_run_by_id(batch.run_id) if batch.run_id else None
    chosen = sorted(_CONTENT & sender.asset_selection) if sender and sender.asset_selection else None
    return dg.RunRequest(
        run_key=f"batch|{batch.id}",
        job_name=jobs.daily_content.name,
        partition_key=key_of(*place),
        run_config={"resources": {"llm": {"config": {"batch": True}}}},
        asset_selection=chosen or None,
    )


def _report(place: Place, batch: Batch) -> dg.RunRequest:
    return dg.RunRequest(run_key=f"report|{batch.id}", job_name=jobs.daily_report.name, partition_key=key_of(*place))
