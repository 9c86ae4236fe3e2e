"""Once a day: everything under uploads/, whatever its date."""

import datetime as dt

import dagster as dg

from content_assets import jobs
from pressroom.compliance.intake import look
from pressroom.objects.days import UPLOADS
from resources.objects import ObjectsResource
from resources.store import StoreResource


@dg.schedule(job=jobs.screen_video, cron_schedule="30 3 * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def reconcile_uploads(context: dg.ScheduleEvaluationContext, store: StoreResource, objects: ObjectsResource) -> dg.SkipReason:
    """Books what the sensor's window of seven days has missed. The sensor requests its runs with its next tick, under its own run keys."""
    seen = look(store.store, objects.open(), after=UPLOADS, now=dt.datetime.now(dt.UTC), most=0)
    left = f"; left alone: {seen.told()}" if seen.left else ""
    return dg.SkipReason(f"{len(seen.booked)} uploads booked that the sensor new_uploads had not seen: it requests their runs{left}")
