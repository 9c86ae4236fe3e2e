"""Every 15 minutes: the sites that are due at their own local time."""

import datetime as dt

import dagster as dg

from content_assets import jobs
from content_assets.in_flight import site_days_in_flight
from content_assets.partitions import SITES, key_of
from pressroom.accounts.due import due_sites
from pressroom.store.runs import claimed_days
from pressroom.store.sites import all_sites
from resources.store import TRIGGER_TAG, StoreResource


@dg.schedule(job=jobs.daily_content, cron_schedule="*/15 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def daily_content(context: dg.ScheduleEvaluationContext, store: StoreResource) -> list[dg.RunRequest] | dg.SkipReason:
    """Requests each enabled site once its local time has come, once per site and day, also after downtime."""
    now = context.scheduled_execution_time.astimezone(dt.UTC)
    partitions = set(context.instance.get_dynamic_partitions(SITES))
    around = [
        now.date() + dt.timedelta(days=shift) for shift in (-2, -1, 0, 1)
    ]  # a site may be a date behind UTC, and its yesterday may be due
    with store.store.transaction() as session:
        known, claimed = all_sites(session), claimed_days(session, around)
    due = due_sites(known, now, claimed=claimed, in_flight=site_days_in_flight(context.instance, jobs.daily_content.name))
    ready = [(site, day) for site, day in due if site.slug in partitions]  # the others are added by the `sites` sensor first
    if not ready:
        return dg.SkipReason(f"none of {len(known)} sites is due at {now:%Y-%m-%d %H:%M} UTC")
    return [
        dg.RunRequest(run_key=f"{site.slug}|{day}", partition_key=key_of(site.slug, day), tags={TRIGGER_TAG: "scheduled"})
        for site, day in ready
    ]
