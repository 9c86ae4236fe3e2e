"""The jobs, by name."""

import dagster as dg

from content_assets.compliance import DECISION
from content_assets.planner import KEYWORDS
from content_assets.reports import DAILY_REPORT

content = dg.AssetSelection.groups("planner", "writer")

daily_content = dg.define_asset_job(
    "daily_content", selection=content, description="From keywords to drafts for one site and day. Asks no model twice for the same answer."
)
import_keywords = dg.define_asset_job(
    "import_keywords", selection=dg.AssetSelection.assets(KEYWORDS), description="Imports the keyword files in a site's inbox."
)
daily_report = dg.define_asset_job(
    "daily_report", selection=dg.AssetSelection.assets(DAILY_REPORT), description="The report of a site's day, whatever the day was like."
)
screen_video = dg.define_asset_job(
    "screen_video",
    selection=dg.AssetSelection.groups("compliance") - dg.AssetSelection.assets(DECISION),
    description="From an upload to its compliance report and the task of the person who verifies it. Pays for no answer twice.",
)
decide_video = dg.define_asset_job(
    "decide_video", selection=dg.AssetSelection.assets(DECISION), description="What follows from a person's verdict on a video."
)
