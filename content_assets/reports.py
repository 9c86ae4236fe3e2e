"""The daily report: a job of its own, so that a bad day has one too."""

import dagster as dg

from content_assets.automation import CONTENT_OWNERS, CONTENT_TAGS
from content_assets.partitions import site_days
from content_assets.planner import IDEAS
from content_assets.shell import check, materialized, site_step
from content_assets.writer import DRAFTS
from pressroom.platforms.registry import platforms
from pressroom.reports.daily import make_report
from pressroom.reports.render import render_markdown
from resources.objects import ObjectsResource
from resources.store import StoreResource

DAILY_REPORT = dg.AssetKey(["reports", "daily_report"])


@dg.asset(
    key=DAILY_REPORT,
    partitions_def=site_days,
    deps=[IDEAS, *DRAFTS],
    group_name="reports",
    kinds={"python", "html", "postgres"},
    owners=CONTENT_OWNERS,
    tags=CONTENT_TAGS,
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec("report_complete", asset=DAILY_REPORT, description="The day has all its ideas and drafts, and no step failed.")
    ],
)
def daily_report(context: dg.AssetExecutionContext, store: StoreResource, objects: ObjectsResource) -> dg.MaterializeResult:
    """What the day made, what it cost, what failed and why, in HTML, JSON and Markdown. A bad day has a report too."""
    with site_step(context, store, DAILY_REPORT, books=False) as (desk, step):
        report = make_report(desk, objects.open(), platforms())
        step.done(report.version, ideas=len(report.ideas), drafts=len(report.drafts))
    is_whole = check("report_complete", DAILY_REPORT, report.state == "complete", headline=report.headline, missing=list(report.missing))
    return materialized(step, preview=render_markdown(report), checks=[is_whole])
