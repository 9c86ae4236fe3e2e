"""New sites become partitions."""

import dagster as dg

from content_assets.partitions import SITES
from content_assets.partitions import sites as partitions
from pressroom.store.sites import all_sites
from resources.store import StoreResource


@dg.sensor(minimum_interval_seconds=15, default_status=dg.DefaultSensorStatus.RUNNING)
def sites(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.SensorResult | dg.SkipReason:
    """Adds every applied site to the `sites` partitions. Keys are never removed: a site that is switched off keeps its history."""
    known = set(context.instance.get_dynamic_partitions(SITES))
    with store.store.transaction() as session:
        new = [site.slug for site in all_sites(session) if site.slug not in known]
    if not new:
        return dg.SkipReason(f"all {len(known)} sites have their partition")
    return dg.SensorResult(dynamic_partitions_requests=[partitions.build_add_request(new)])
