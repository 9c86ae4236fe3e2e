"""Videos put under uploads/ are seen once and screened."""

import datetime as dt

import dagster as dg

from content_assets import jobs
from content_assets.partitions import PARTITION_TAG, VIDEOS
from pressroom.compliance.intake import listed_after, look
from resources.objects import ObjectsResource
from resources.store import StoreResource

# A run request takes some 20 ms of a tick of 60 s; the rest comes with the next one.
MOST_AT_ONCE = 200


@dg.sensor(job=jobs.screen_video, minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def new_uploads(context: dg.SensorEvaluationContext, store: StoreResource, objects: ObjectsResource) -> dg.SensorResult:
    """Books new uploads and requests one run for each that no run has begun with.

    Lists from the day before on, and every ten minutes the window of the last seven days. What was seen is known to the database: a tick
    that is killed half-way leaves videos that the next one requests, and Dagster knows their run keys.
    """
    now = dt.datetime.now(dt.UTC)
    after, looked_back_at = listed_after(now, _looked_back(context.cursor))
    seen = look(store.store, objects.open(), after=after, now=now, most=MOST_AT_ONCE)
    if seen.left:
        context.log.info(f"uploads left alone: {seen.told()}")
    if not seen.waiting:
        reason = f"no new uploads; left alone: {seen.told()}" if seen.left else "no new uploads"
        return dg.SensorResult(skip_reason=reason, cursor=looked_back_at.isoformat())
    # At once, and not as a request of this tick: Dagster checks a run's partition before it has added those.
    known = set(context.instance.get_dynamic_partitions(VIDEOS))
    if new := [key for key in seen.waiting if key not in known]:
        context.instance.add_dynamic_partitions(VIDEOS, new)
    # With the tag Dagster takes the partition as resolved, and does not open its storage for each of 200 keys: 18 ms a key.
    requests = [dg.RunRequest(run_key=key, partition_key=key, tags={PARTITION_TAG: key}) for key in seen.waiting]
    return dg.SensorResult(run_requests=requests, cursor=looked_back_at.isoformat())


def _looked_back(cursor: str | None) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat(cursor or "")
    except ValueError:
        return None
