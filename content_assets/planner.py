"""Keywords, clusters and ideas of a site and day."""

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import Iterator
from functools import partial

import dagster as dg

from content_assets.automation import CONTENT_OWNERS, CONTENT_TAGS
from content_assets.partitions import site_days
from content_assets.shell import check, materialized, site_step
from pressroom.errors import BadInput, Deferred, Permanent
from pressroom.objects.store import ObjectStore
from pressroom.planner.briefs import brief_for
from pressroom.planner.clustering import cluster_keywords
from pressroom.planner.ideas import Proposed, propose_ideas
from pressroom.planner.intake import import_inbox, inbox_of
from pressroom.planner.versions import CLUSTERING_METHOD, clustering_input, keywords_version
from pressroom.prompts import load as prompts
from pressroom.records import version_of
from pressroom.reports.previews import clusters_preview, ideas_preview, keywords_preview
from pressroom.store.content import save_ideas, topic_memory
from pressroom.store.keywords import clustering_of, given_ids, keywords_on, newest_clusters, save_clusters
from pressroom.store.runs import SiteDay
from pressroom.writer import drafts
from resources.llm import LLMResource
from resources.objects import ObjectsResource
from resources.store import StoreResource

KEYWORDS = dg.AssetKey(["planner", "keywords"])
CLUSTERS = dg.AssetKey(["planner", "clusters"])
IDEAS = dg.AssetKey(["planner", "ideas"])


@dg.asset(
    key=KEYWORDS,
    partitions_def=site_days,
    group_name="planner",
    kinds={"python", "postgres"},
    owners=CONTENT_OWNERS,
    tags=CONTENT_TAGS,
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec("every_file_read", asset=KEYWORDS, description="Every file of the inbox could be read, to its last row.")
    ],
)
def keywords(context: dg.AssetExecutionContext, store: StoreResource, objects: ObjectsResource) -> dg.MaterializeResult:
    """Every keyword the site knew on the day; files in its inbox are imported first. A day without new ones carries the state forward."""
    with site_step(context, store, KEYWORDS) as (desk, step):
        bucket = objects.open()
        intake = import_inbox(desk, bucket)
        with desk.transaction() as session:
            known = keywords_on(session, desk.site.id, desk.day)
        if not known:
            raise BadInput(_no_keywords(desk, bucket))
        rejected = sum(file.rejected for file in intake.imported)
        step.done(keywords_version(known), keywords=len(known), new=sum(file.new for file in intake.imported), rejected=rejected)
    for line in intake.refused:
        context.log.warning(line)
    clean = not intake.refused and not rejected
    return materialized(
        step,
        preview=keywords_preview(known),
        checks=[check("every_file_read", KEYWORDS, clean, warn=True, refused=list(intake.refused), rejected_rows=rejected)],
    )


def _no_keywords(desk: SiteDay, bucket: ObjectStore) -> str:
    """Why there are none on the day, and where to put them. A file in the inbox is imported for the day that takes it, and those after."""
    slug, day = desk.site.slug, desk.day
    with desk.transaction() as session:
        came_later = bool(keywords_on(session, desk.site.id, dt.date.max))
    if came_later:
        return (
            f"site '{slug}' has no keywords on {day}, they came later: 'pressroom run {slug} --date {day} --keywords FILE' "
            "imports a file for that day and those after it"
        )
    return f"site '{slug}' has no keywords on {day}: put a keyword file into {bucket.location(inbox_of(slug))}"


@dg.asset(
    key=CLUSTERS,
    partitions_def=site_days,
    deps=[KEYWORDS],
    group_name="planner",
    kinds={"python", "postgres"},
    owners=CONTENT_OWNERS,
    tags=CONTENT_TAGS,
    code_version=CLUSTERING_METHOD,
    check_specs=[dg.AssetCheckSpec("every_keyword_placed", asset=CLUSTERS, description="Every keyword is in exactly one cluster.")],
)
def clusters(context: dg.AssetExecutionContext, store: StoreResource, llm: LLMResource) -> dg.MaterializeResult:
    """Named groups of the site's keywords. The same keywords are never clustered twice; ids survive new keywords."""
    with site_step(context, store, CLUSTERS) as (desk, step):
        embedder = llm.embedder(desk, step)
        with desk.transaction() as session:
            known = keywords_on(session, desk.site.id, desk.day)
            made_from = clustering_input(known, desk.site, embedder.space)
            found = clustering_of(session, desk.site.id, made_from)
            previous, taken = newest_clusters(session, desk.site.id), given_ids(session, desk.site.id)
        if not known:
            raise Permanent(f"site '{desk.site.slug}' has no keywords on {desk.day}: materialise planner/keywords first")
        if not found:
            site = desk.site
            made = cluster_keywords(
                known,
                scope=site.slug,
                granularity=site.granularity,
                brand_words=site.brand_words,
                previous=previous,
                taken=taken,
                embedder=embedder,
            )
            desk.write(partial(save_clusters, site=site, clusters=made, input_version=made_from, day=desk.day, run_id=desk.run.id))
            with desk.transaction() as session:
                found = clustering_of(session, site.id, made_from)
        step.done(version_of(found), clusters=len(found), keywords=len(known))
    placed = Counter(phrase for cluster in found for phrase in cluster.keywords)
    astray = [keyword.phrase for keyword in known if placed[keyword.normalised] != 1]
    return materialized(
        step,
        preview=clusters_preview(found),
        checks=[check("every_keyword_placed", CLUSTERS, not astray, astray=astray[:20])],
    )


# A single asset with a check must materialise or fail; only one of a multi-asset may be left out, and a day's ideas may wait for a batch.
@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            IDEAS,
            deps=[CLUSTERS],
            description="Three to five content ideas for the site and day, none of them a repeat of the last 30 days.",
            partitions_def=site_days,
            group_name="planner",
            kinds={"python", "openai", "postgres"},
            owners=CONTENT_OWNERS,
            tags=CONTENT_TAGS,
            code_version=prompts.versions("ideas"),
            skippable=True,
        )
    ],
    check_specs=[dg.AssetCheckSpec("three_to_five_and_no_repeat", asset=IDEAS, description="3–5 ideas, as many as wanted, none a repeat.")],
    can_subset=True,
)
def ideas(context: dg.AssetExecutionContext, store: StoreResource, llm: LLMResource) -> Iterator[dg.MaterializeResult]:
    """The day's ideas; none, and no drafts after them, as long as the answer is on its way in a batch."""
    try:
        made = _ideas(context, store, llm)
    except Deferred as deferred:
        context.log.info(f"the ideas wait: {deferred}")
        return
    yield made


def _ideas(context: dg.AssetExecutionContext, store: StoreResource, llm: LLMResource) -> dg.MaterializeResult:
    with site_step(context, store, IDEAS) as (desk, step):
        embedder = llm.embedder(desk, step)
        with desk.transaction() as session:
            known = keywords_on(session, desk.site.id, desk.day)
            offered = clustering_of(session, desk.site.id, clustering_input(known, desk.site, embedder.space))
            brief = brief_for(desk.site, desk.day, offered, known, topic_memory(session, desk.site.id, desk.day))
        if not brief:
            raise Permanent(f"site '{desk.site.slug}' has no clusters of its keywords on {desk.day}: materialise planner/clusters first")

        async def propose() -> Proposed:
            # The drafts' prompts and rules take 0.7 s to load: beside this call nothing waits for that.
            proposing = propose_ideas(brief, llm.gateway(desk, step), embedder=embedder)
            found, _ = await asyncio.gather(proposing, asyncio.to_thread(drafts.warm_up))
            return found

        found = asyncio.run(propose())
        if not found.ideas:  # what stood for the day goes on standing
            reasons = " ".join(dict.fromkeys(problem.message for problem in found.problems))
            raise Permanent(f"site '{desk.site.slug}', {desk.day}: no proposed idea could be used ({reasons}); a fresh run asks anew")
        desk.write(partial(save_ideas, site=desk.site, day=desk.day, ideas=found.ideas, run_id=desk.run.id))
        step.done(version_of(found.ideas), ideas=len(found.ideas), missing=found.missing)
    return materialized(
        step,
        preview=ideas_preview(found.ideas),
        checks=[
            check(
                "three_to_five_and_no_repeat",
                IDEAS,
                not found.missing,
                missing=found.missing,
                problems=[problem.message for problem in found.problems],
            )
        ],
    )
