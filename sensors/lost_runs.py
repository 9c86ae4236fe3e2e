"""Runs whose process died without a word, and videos whose run ended without one."""

import datetime as dt
from collections.abc import Collection
from functools import partial

import dagster as dg

from content_assets.in_flight import UNFINISHED
from content_assets.partitions import PARTITION_TAG, SITE_TAG
from pressroom.store.engine import Store
from pressroom.store.locks import is_video_held, site_holder
from pressroom.store.sites import all_sites
from pressroom.store.videos import fail_unended, states, unended_videos, video_id
from resources.store import StoreResource

# A run takes its site's or video's lock within seconds of its start (process start and imports: 4.5 s measured); two minutes is far
# beyond. The retry daemon, too, has started a failed run again by then.
GRACE = dt.timedelta(minutes=2)


@dg.sensor(minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def lost_runs(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.SkipReason:
    """Fails STARTED runs that no longer hold their site or video: Dagster does not see the death of a run that a command started.

    A run is lost when two ticks in a row find its lock free: after a restart of the database a living run takes its lock again. Dagster
    retries what it sees failed this way; a video whose last run ended without saying what became of it is failed too, with the run named.
    """
    started = context.instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    latest = (dt.datetime.now(dt.UTC) - GRACE).timestamp()
    suspects = set((context.cursor or "").split())
    free = _without_hold(store.store, [record.dagster_run for record in started if (record.start_time or latest) < latest])
    lost = suspects & free.keys()
    for run_id in lost:
        what = "site" if SITE_TAG in free[run_id].tags else "video"
        context.instance.report_run_failed(free[run_id], f"The run's process died: it no longer holds its {what}.")
    context.update_cursor(" ".join(sorted(free.keys() - lost)))
    told = f"failed {len(lost)} lost runs: {', '.join(sorted(lost))}" if lost else f"{len(started)} runs at work, none lost"
    failed = _fail_videos(context.instance, store.store, latest)
    return dg.SkipReason(f"{told}; failed {len(failed)} videos: {', '.join(failed)}" if failed else told)


def _without_hold(store: Store, runs: Collection[dg.DagsterRun]) -> dict[str, dg.DagsterRun]:
    """The runs of sites and videos of this database whose lock nobody has, by id."""
    with store.transaction() as session:
        sites = {site.slug: site.id for site in all_sites(session)}
        videos = states(session, {run.tags[PARTITION_TAG] for run in runs if PARTITION_TAG in run.tags})

    def is_free(run: dg.DagsterRun) -> bool:
        site, video = sites.get(run.tags.get(SITE_TAG, "")), run.tags.get(PARTITION_TAG)
        return site_holder(store, site) is None if site else video in videos and not is_video_held(store, video_id(video))

    return {run.run_id: run for run in runs if is_free(run)}


def _fail_videos(instance: dg.DagsterInstance, store: Store, latest: float) -> list[str]:
    """Fails the videos that wait for a run which has ended, some minutes ago, without success: terminated, lost, or never begun."""
    with store.transaction() as session:
        waiting = unended_videos(session)
    at_work = {run.tags.get(PARTITION_TAG) for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))} if waiting else set()
    failed = []
    for key in waiting:
        if key in at_work or is_video_held(store, video_id(key)):
            continue
        if run := _failed_at_last(instance, key, latest):
            reason = f"run {run.run_id} ended as {run.status.value.lower()} before it was done: see its log, and run it again"
            if store.retrying(partial(fail_unended, key=key, reason=reason)):
                failed.append(key)
    return failed


def _failed_at_last(instance: dg.DagsterInstance, key: str, latest: float) -> dg.DagsterRun | None:
    """The video's newest run, if it ended without success before `latest`."""
    for record in instance.get_run_records(dg.RunsFilter(tags={PARTITION_TAG: key}), limit=1):
        status, ended = record.dagster_run.status, record.end_time or latest
        if status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED) and ended < latest:
            return record.dagster_run
    return None
