"""Keyword files in the sites' inboxes are imported."""

import datetime as dt
import hashlib

import dagster as dg

from content_assets import jobs
from content_assets.in_flight import site_days_in_flight
from content_assets.partitions import SITES, key_of
from pressroom.objects.store import ObjectStore
from pressroom.planner.intake import inbox_of, waiting_files
from pressroom.store.sites import all_sites
from resources.objects import ObjectsResource
from resources.store import StoreResource

# Far beyond the seconds in which a file may still be growing.
_SETTLED_BY_THEN = dt.timedelta(days=1)


@dg.sensor(job=jobs.import_keywords, minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def keyword_files(
    context: dg.SensorEvaluationContext, store: StoreResource, objects: ObjectsResource
) -> list[dg.RunRequest] | dg.SkipReason:
    """Requests one import per site with new files under sites/<site>/keywords/inbox/, for the site's own date."""
    now = dt.datetime.now(dt.UTC)
    with store.store.transaction() as session:
        zones = {site.slug: site.zone for site in all_sites(session)}
    bucket = objects.open()
    settled, arriving = waiting_files(bucket, now), waiting_files(bucket, now + _SETTLED_BY_THEN)
    partitions = set(context.instance.get_dynamic_partitions(SITES))
    busy = {site for site, _ in site_days_in_flight(context.instance, jobs.import_keywords.name)}

    def why_not(site: str) -> str | None:
        if site not in zones:
            return "an unknown site; apply it or move the files"
        if site not in partitions:
            return "not a partition yet"
        if site in busy:
            return "an import is queued or at work"
        # An import takes the whole inbox: one file that is half there keeps the others waiting.
        return "a file is still growing" if arriving[site] != settled.get(site) else None

    left = {site: reason for site in arriving if (reason := why_not(site))}
    requests = [
        dg.RunRequest(run_key=_run_key(bucket, site, now), partition_key=key_of(site, now.astimezone(zones[site]).date()))
        for site in arriving
        if site not in left
    ]
    reasons = "; ".join(f"{site}: {reason}" for site, reason in sorted(left.items()))
    if requests and reasons:
        context.log.info(f"keyword files left alone: {reasons}")
    return requests or dg.SkipReason(f"keyword files left alone: {reasons}" if reasons else "no new keyword files")


def _run_key(bucket: ObjectStore, site: str, now: dt.datetime) -> str:
    """The same for the same files: their times are in it, since a corrected file comes under the old name. The hour is in it because
    a failed run blocks its key for good: a file that is still here is tried again within the hour."""
    files = (f"{stored.key} {stored.modified.isoformat()}" for stored in bucket.list(inbox_of(site)))
    return hashlib.sha256("|".join([site, f"{now:%Y%m%d%H}", *files]).encode()).hexdigest()
