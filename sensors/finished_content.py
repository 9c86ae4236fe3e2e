"""A report after every content run, whatever its outcome."""

import datetime as dt

import dagster as dg

from content_assets import jobs
from content_assets.in_flight import FINISHED, site_days_of
from content_assets.partitions import key_of
from pressroom.reports.due import reports_wanted
from pressroom.store.runs import reported_at
from pressroom.store.sites import all_sites
from resources.store import StoreResource

# A tick looks at no more runs than this, but for others of the same moment; the cursor leaves the later ones to the next tick.
_RUNS_A_TICK = 100
# A run's end carries the time of its event and is written some moments after it: the cursor must not have passed by then.
_WRITTEN_WITHIN = dt.timedelta(seconds=5)
_ALMOST = dt.timedelta(microseconds=1)  # the resolution of a run's timestamps; Dagster's filters leave the given moment itself out


@dg.sensor(job=jobs.daily_report, minimum_interval_seconds=15, default_status=dg.DefaultSensorStatus.RUNNING)
def finished_content(context: dg.SensorEvaluationContext, store: StoreResource) -> list[dg.RunRequest] | dg.SkipReason:
    """Requests the daily report of each site and day whose content run has ended since the last tick and has no newer report."""
    now = dt.datetime.now(dt.UTC)
    since = dt.datetime.fromisoformat(context.cursor) if context.cursor else now - dt.timedelta(days=1)
    ended = _ended(context.instance, since, now - _WRITTEN_WITHIN)
    if not ended:
        return dg.SkipReason("no content run has ended since the last tick")
    ends = sorted((_end_of(record), key) for record in ended for key in site_days_of([record.dagster_run]))
    moments = [(key, moment) for moment, key in ends]
    with store.store.transaction() as session:
        known = {site.slug for site in all_sites(session)}  # Dagster's storage may have served another database before
        moments = [(key, moment) for key, moment in moments if key[0] in known]
        wanted = reports_wanted(moments, reported_at(session, [key for key, _ in moments]))
    context.update_cursor(ended[-1].update_timestamp.isoformat())
    newest = dict(moments)
    requests = [
        dg.RunRequest(run_key=f"{site}|{day}|{newest[site, day].isoformat()}", partition_key=key_of(site, day)) for site, day in wanted
    ]
    return requests or dg.SkipReason(f"the reports of {len(ended)} ended runs are there")


def _end_of(record: dg.RunRecord) -> dt.datetime:
    """When the run ended, whatever was written on it since: the daemon tags runs that ended long ago."""
    return dt.datetime.fromtimestamp(record.end_time, dt.UTC) if record.end_time else record.update_timestamp


def _ended(instance: dg.DagsterInstance, since: dt.datetime, until: dt.datetime) -> list[dg.RunRecord]:
    """Content runs that ended after `since` and before `until`, oldest first: a page of them, and all that share its last moment."""
    page = _records(instance, since, until, limit=_RUNS_A_TICK)
    if len(page) < _RUNS_A_TICK:
        return page
    last = page[-1].update_timestamp
    return [record for record in page if record.update_timestamp < last] + _records(instance, last - _ALMOST, last + _ALMOST)


def _records(instance: dg.DagsterInstance, after: dt.datetime, before: dt.datetime, limit: int | None = None) -> list[dg.RunRecord]:
    wanted = dg.RunsFilter(job_name=jobs.daily_content.name, statuses=FINISHED, updated_after=after, updated_before=before)
    return list(instance.get_run_records(wanted, limit=limit, order_by="update_timestamp", ascending=True))
