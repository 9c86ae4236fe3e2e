"""Mails that wait in the outbox go out."""

import dagster as dg

from pressroom.errors import BadInput
from pressroom.reports.post import send_waiting
from pressroom.settings import load_settings
from resources.store import StoreResource


@dg.sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def mails(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.SkipReason:
    """Sends what is due and tells what waits, and why; it requests no run."""
    try:
        sent = send_waiting(store.store, load_settings())
    except BadInput as error:
        context.log.warning(str(error))
        return dg.SkipReason(f"mails wait: {error}")
    if sent.problem:
        context.log.warning(sent.problem)
    return dg.SkipReason(sent.told())
