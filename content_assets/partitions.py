"""The partitions: one day of one site, by the site's own calendar; one video."""

import dagster as dg

from pressroom.settings import load_settings

SITES = "sites"
sites = dg.DynamicPartitionsDefinition(name=SITES)

# end_offset=2 reaches tomorrow in UTC: a site in Tokyo at six in the morning is already in its day.
days = dg.DailyPartitionsDefinition(start_date=load_settings().start_date.isoformat(), end_offset=2)

site_days = dg.MultiPartitionsDefinition({"date": days, "site": sites})

# One for each upload; the sensor new_uploads adds them, retention takes them away.
VIDEOS = "videos"
videos = dg.DynamicPartitionsDefinition(name=VIDEOS)

# Every run of a video has this tag, also those of the UI and of backfills.
PARTITION_TAG = "dagster/partition"
SITE_TAG = "dagster/partition/site"
DATE_TAG = "dagster/partition/date"


def key_of(site: str, day: object) -> dg.MultiPartitionKey:
    return dg.MultiPartitionKey({"site": site, "date": str(day)})
