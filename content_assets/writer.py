"""The social drafts of a site and day: one asset per platform, all of them in one step."""

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial

import dagster as dg

from content_assets.automation import CONTENT_OWNERS, CONTENT_TAGS
from content_assets.partitions import site_days
from content_assets.planner import IDEAS
from content_assets.shell import check, materialized, site_work
from pressroom.errors import Deferred, Permanent, Transient
from pressroom.platforms.base import Platform
from pressroom.platforms.registry import platforms
from pressroom.prompts import load as prompts
from pressroom.records import Draft, version_of
from pressroom.reports.previews import drafts_preview
from pressroom.store.content import drafts_on, ideas_on, save_drafts
from pressroom.store.grouped import Grouped
from pressroom.store.keywords import keywords_on
from pressroom.store.runs import Step
from pressroom.writer.briefs import draft_briefs
from pressroom.writer.drafts import Drafts, Written, write_drafts
from resources.llm import LLMResource
from resources.store import StoreResource


def key_of(platform: Platform) -> dg.AssetKey:
    return dg.AssetKey(["writer", platform.asset])


DRAFTS = [key_of(platform) for platform in platforms().values()]


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            key_of(platform),
            deps=[IDEAS],
            description=f"A draft for {platform.name} of every idea of the site and day, within the platform's rules.",
            partitions_def=site_days,
            group_name="writer",
            kinds={"python", "openai", "postgres"},
            owners=CONTENT_OWNERS,
            tags=CONTENT_TAGS | {"platform": platform.slug},
            code_version=prompts.versions(platform.prompt),
            skippable=True,
        )
        for platform in platforms().values()
    ],
    check_specs=[
        dg.AssetCheckSpec(
            "within_rules", asset=key_of(platform), description=f"Every idea has a draft within the rules of {platform.name}."
        )
        for platform in platforms().values()
    ],
    can_subset=True,
)
def social_drafts(context: dg.AssetExecutionContext, store: StoreResource, llm: LLMResource) -> Iterator[dg.MaterializeResult]:
    """Drafts for the selected platforms of the site, all calls in flight together; each is saved as it comes.

    A platform none of whose drafts got an answer stays unmaterialised; when that is so for all of them, the step is tried again. One with
    a draft whose answer is on its way in a batch stays so too, until a run after the batch is collected.
    """
    with site_work(context, store) as desk:
        site_id, day = desk.site.id, desk.day
        chosen = [p for slug, p in platforms().items() if key_of(p) in context.selected_asset_keys and slug in desk.site.platforms]
        with desk.transaction() as session:
            ideas = ideas_on(session, site_id, day)
            briefs = draft_briefs(desk.site, ideas, keywords_on(session, site_id, day))
        if not ideas:
            raise Permanent(f"site '{desk.site.slug}' has no ideas on {day}: materialise planner/ideas first")

        def save_all(group: Sequence[Written]) -> None:
            desk.write(partial(save_drafts, site=desk.site, drafts=[written.draft for written in group], run_id=desk.run.id))

        save: Grouped[Written, None] = Grouped(save_all)  # all platforms together: the answers come nearly at the same time

        async def write(platform: Platform) -> tuple[Step, list[Draft], Drafts]:
            with desk.step("/".join(key_of(platform).path)) as step:
                made = await write_drafts([(brief, platform) for brief in briefs], llm.gateway(desk, step), save)
                # What stands: a person's text, or one that keeps the rules, is not replaced by a new one that breaks them.
                of_day = desk.held.retrying(lambda session: drafts_on(session, site_id, day))
                stand = [draft for draft in of_day if draft.platform == platform.slug]
                failed = sum(draft.state == "failed" for draft in stand)
                counts = {"drafts": len(stand), "failed": failed, "missing": len(made.failed)}
                if made.awaited:
                    step.counts = counts | {"waiting": len(made.awaited)}
                    raise Deferred(f"{len(made.awaited)} of {len(briefs)} drafts wait: {made.awaited[0].reason}")
                step.done(version_of(stand), complete=not made.failed, **counts)
            return step, stand, made

        async def write_all() -> list[tuple[Step, list[Draft], Drafts] | BaseException]:
            return await asyncio.gather(*(write(platform) for platform in chosen), return_exceptions=True)

        # Dagster takes no annotation of an async generator that has several outputs: a plain one, with a loop of its own.
        results = asyncio.run(write_all())
        errors = [result for result in results if isinstance(result, BaseException)]
        final = [error for error in errors if not isinstance(error, Transient | Deferred)]
        outages = [error for error in errors if isinstance(error, Transient)]
        if final or (outages and len(outages) == len(results)):
            raise (final or outages)[0]
    titles = {idea.id: idea.title for idea in ideas}
    for platform, result in zip(chosen, results, strict=True):
        if isinstance(result, Deferred):
            context.log.info(f"{platform.name}: {result}")
            continue
        if isinstance(result, BaseException):
            context.log.error(f"{platform.name}: no draft got an answer, so that there is nothing to materialise: {result}")
            continue
        step, stand, made = result
        problems = [f"{titles[draft.idea_id]}: {each.message}" for draft in stand for each in draft.version.violations if each.is_error]
        problems += [f"{titles[failed.idea_id]}: {failed.reason}" for failed in made.failed]
        yield materialized(
            step,
            asset=key_of(platform),
            preview=drafts_preview(stand, titles),
            checks=[check("within_rules", key_of(platform), not problems, problems=problems)],
        )
