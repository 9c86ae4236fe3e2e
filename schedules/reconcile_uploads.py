"""Once a day: everything under uploads/, whatever its date."""

import datetime as dt

import dagster as dg

from content_assets import jobs
from content_assets.partitions import VIDEOS
from pressroom.compliance.intake import look
from pressroom.objects.days import UPLOADS
from resources.objects import ObjectsResource
from resources.store import StoreResource

MOST_AT_ONCE = 200


@dg.schedule(job=jobs.screen_video, cron_schedule="30 3 * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def reconcile_uploads(context: dg.ScheduleEvaluationContext, store: StoreResource, objects: ObjectsResource) -> dg.SkipReason:
    """Books what the sensor's window of seven days has missed. The sensor requests its runs with its next tick, under its own run keys."""
    now = dt.datetime.now(dt.UTC)
    seen = look(store.store, objects.open(), after=UPLOADS, now=now, most=MOST_AT_ONCE)
    behind = set(seen.waiting) - set(context.instance.get_dynamic_partitions(VIDEOS))
    left = f"; left alone: {seen.told()}" if seen.left else ""
    return dg.SkipReason(f"{len(seen.booked)} uploads booked that the sensor had not seen, {len(behind)} videos wait for it{left}")
