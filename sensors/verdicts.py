"""A person's verdict becomes the video's final decision."""

import datetime as dt

import dagster as dg

from content_assets import jobs
from content_assets.in_flight import UNFINISHED
from content_assets.partitions import PARTITION_TAG, VIDEOS
from pressroom.store.review import PendingVerdict, pending_verdicts
from resources.store import StoreResource

# After a run that failed the next one waits for a minute, then two, four: what is broken for a day costs ten runs, not 5,000.
FIRST_WAIT = dt.timedelta(minutes=1)
LONGEST_WAIT = dt.timedelta(days=1)


@dg.sensor(job=jobs.decide_video, minimum_interval_seconds=15, default_status=dg.DefaultSensorStatus.RUNNING)
def verdicts(context: dg.SensorEvaluationContext, store: StoreResource) -> list[dg.RunRequest] | dg.SkipReason:
    """Requests one run for every verdict whose decision is still to be made; the outbox row, not a cursor, knows which these are."""
    with store.store.transaction() as session:
        waiting = pending_verdicts(session)
    known = set(context.instance.get_dynamic_partitions(VIDEOS))
    requests = [request for each in waiting if each.video in known and (request := _request(context.instance, each))]
    return requests or dg.SkipReason(f"{len(waiting)} verdicts wait for a partition or a run" if waiting else "no verdict waits")


def _request(instance: dg.DagsterInstance, verdict: PendingVerdict) -> dg.RunRequest | None:
    """A run for the verdict; none while one is on its way, or has just failed."""
    since = dg.RunsFilter(job_name=jobs.decide_video.name, tags={PARTITION_TAG: verdict.video}, created_after=verdict.decided_at)
    runs = instance.get_run_records(since)
    if any(record.dagster_run.status in UNFINISHED for record in runs):
        return None
    if runs:
        ended = dt.datetime.fromtimestamp(max(record.end_time or 0 for record in runs), dt.UTC)
        if dt.datetime.now(dt.UTC) - ended < min(FIRST_WAIT * 2 ** min(len(runs) - 1, 20), LONGEST_WAIT):
            return None
    return dg.RunRequest(run_key=f"{verdict.verdict_id}|{len(runs)}", partition_key=verdict.video)
