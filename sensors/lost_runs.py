"""Runs whose process died without a word."""

import datetime as dt

import dagster as dg

from content_assets.partitions import SITE_TAG
from pressroom.store.locks import site_holder
from pressroom.store.sites import all_sites
from resources.store import StoreResource

# A run takes its site's lock within seconds of its start (process start and imports: 4.5 s measured); two minutes is far beyond.
GRACE = dt.timedelta(minutes=2)


@dg.sensor(minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def lost_runs(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.SkipReason:
    """Fails STARTED runs that no longer hold their site: Dagster does not see the death of a run that a command started.

    A run is lost when two ticks in a row find its lock free: after a restart of the database a living run takes its lock again.
    """
    started = context.instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    with store.store.transaction() as session:
        sites = {site.slug: site.id for site in all_sites(session)}
    latest = (dt.datetime.now(dt.UTC) - GRACE).timestamp()
    suspects = set((context.cursor or "").split())
    free = {}
    for record in started:
        site = sites.get(record.dagster_run.tags.get(SITE_TAG, ""))
        if site and (record.start_time or latest) < latest and site_holder(store.store, site) is None:
            free[record.dagster_run.run_id] = record.dagster_run
    lost = suspects & free.keys()
    for run_id in lost:
        context.instance.report_run_failed(free[run_id], "The run's process died: it no longer holds its site.")
    context.update_cursor(" ".join(sorted(free.keys() - lost)))
    return dg.SkipReason(f"failed {len(lost)} lost runs: {', '.join(sorted(lost))}" if lost else f"{len(started)} runs at work, none lost")
