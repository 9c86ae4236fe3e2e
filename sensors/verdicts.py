"""A person's verdict becomes the video's final decision."""

import dagster as dg

from content_assets import jobs
from content_assets.partitions import VIDEOS
from pressroom.store.review import pending_verdicts
from resources.store import StoreResource


@dg.sensor(job=jobs.decide_video, minimum_interval_seconds=15, default_status=dg.DefaultSensorStatus.RUNNING)
def verdicts(context: dg.SensorEvaluationContext, store: StoreResource) -> list[dg.RunRequest] | dg.SkipReason:
    """Requests one run for every verdict whose decision is still to be made; the outbox row, not a cursor, knows which these are."""
    with store.store.transaction() as session:
        waiting = pending_verdicts(session)
    known = set(context.instance.get_dynamic_partitions(VIDEOS))
    requests = [
        dg.RunRequest(run_key=f"{each.verdict_id}|{each.attempts}", partition_key=each.video) for each in waiting if each.video in known
    ]
    return requests or dg.SkipReason(f"{len(waiting)} verdicts wait for a partition" if waiting else "no verdict waits")
