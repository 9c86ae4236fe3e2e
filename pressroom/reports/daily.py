"""The daily report of a site: read, judged, written down and put into the object store."""

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal

from pydantic import JsonValue

from pressroom.errors import BadInput
from pressroom.objects.store import ObjectStore
from pressroom.platforms.base import Platform
from pressroom.records import RejectedRow
from pressroom.reports import verdict
from pressroom.reports.document import Calls, DailyReport, DraftReport, IdeaReport, ImportReport, Lineage, SiteReport, Tokens
from pressroom.reports.render import render_html, render_json, render_markdown
from pressroom.store.reports import CallsFact, DayFacts, DraftFact, IdeaFact, ImportFact, daily_facts, keys_of, save_report
from pressroom.store.runs import SiteDay

# A file can have as many bad rows as it has rows; the whole list stands beside the file in `rejected/`.
_REJECTED_SHOWN = 20


def make_report(desk: SiteDay, objects: ObjectStore, platforms: Mapping[str, Platform]) -> DailyReport:
    """Writes the report of the site and day: HTML, JSON and Markdown into the object store, then its row."""
    with desk.transaction() as session:
        facts = daily_facts(session, desk.site.id, desk.day)
    report, keys = daily_report(facts, platforms), keys_of(desk.site.slug, desk.day)
    for form, render in (("html", render_html), ("json", render_json), ("markdown", render_markdown)):
        objects.write(keys[form], render(report).encode())
    document = report.model_dump(mode="json")
    desk.write(
        lambda session: save_report(session, desk.site, desk.day, document=document, version=report.version, keys=keys, run_id=desk.run.id)
    )
    return report


def daily_report(facts: DayFacts, platforms: Mapping[str, Platform] | None = None) -> DailyReport:
    """The report of a day. `platforms`, by slug, give their names and measure the drafts; without them slugs stand for names."""
    site, known = facts.site, platforms or {}
    shown = {**dict.fromkeys(site.platforms), **dict.fromkeys(draft.platform for idea in facts.ideas for draft in idea.drafts)}
    names = {slug: known[slug].name if slug in known else slug for slug in shown}
    ideas = tuple(_idea(fact, site.platforms, tuple(shown), known) for fact in facts.ideas)
    answered = [calls for calls in facts.calls if calls.status == "answered"]
    runs = verdict.content_runs(facts.runs)
    report = DailyReport(
        site=SiteReport(
            slug=site.slug,
            name=site.name,
            domain=site.domain,
            time_zone=site.time_zone,
            language=site.language,
            platforms=names,
            ideas_wanted=site.automation.ideas_per_day,
        ),
        day=facts.day,
        state=verdict.state_of(facts),
        headline=verdict.headline(facts),
        needs=verdict.needs(facts),
        missing=verdict.missing(facts, names),
        failures=verdict.failures(facts, names),
        offline=any(idea.offline or any(draft.offline for draft in idea.drafts) for idea in ideas),
        states=dict(sorted(Counter(draft.state for idea in ideas for draft in idea.drafts).items())),
        ideas=ideas,
        clusters=facts.clusters,
        imports=tuple(_import(fact) for fact in facts.imports),
        calls=Calls(
            paid=_calls(facts, "answered"),
            replayed=sum(step.calls.get("replayed", 0) for run in runs for step in run.steps),
            failed=_calls(facts, "failed"),
            pending=_calls(facts, "pending") + _calls(facts, "batched"),
        ),
        tokens=Tokens(
            input=sum(calls.input_tokens for calls in answered),
            cached=sum(calls.cached_tokens for calls in answered),
            output=sum(calls.output_tokens for calls in answered),
            reasoning=sum(calls.reasoning_tokens for calls in answered),
        ),
        cost_usd=_cost(answered),
        unpriced=sum(calls.unpriced for calls in answered),
        spending=tuple(verdict.clean_error(calls) for calls in facts.calls),
        made=tuple(fact for fact in facts.made if not verdict.is_own(fact.asset)),
        runs=tuple(
            verdict.clean_error(run).model_copy(update={"steps": tuple(verdict.clean_error(step) for step in run.steps)}) for run in runs
        ),
    )
    return report.hashed()


def _calls(facts: DayFacts, status: str) -> int:
    return sum(calls.calls for calls in facts.calls if calls.status == status)


def _cost(answered: Sequence[CallsFact]) -> Decimal | None:
    """US dollars with the ledger's six decimals, so that 0 and 0.000000 are one document; None where only unpriced calls cost anything."""
    known = sum((calls.cost_usd for calls in answered), Decimal())
    return None if not known and any(calls.unpriced for calls in answered) else known.quantize(Decimal("0.000001"))


def _idea(fact: IdeaFact, wanted: tuple[str, ...], shown: tuple[str, ...], platforms: Mapping[str, Platform]) -> IdeaReport:
    idea = fact.idea
    by_platform = {draft.platform: draft for draft in fact.drafts}
    return IdeaReport(
        **idea.model_dump(exclude={"keywords", "call", "model"}),
        keywords=fact.keywords,
        offline=idea.model == "offline",
        lineage=Lineage(model=idea.model, prompt_version=fact.prompt_version, call=idea.call[:10]),
        drafts=tuple(_draft(by_platform[slug], platforms.get(slug)) for slug in shown if slug in by_platform),
        missing=tuple(slug for slug in wanted if slug not in by_platform),
    )


def _draft(fact: DraftFact, platform: Platform | None) -> DraftReport:
    version = fact.version
    measures, limits = _checked(platform, version.parts)
    return DraftReport(
        id=fact.id,
        platform=fact.platform,
        state=fact.state,
        number=version.number,
        versions=fact.versions,
        origin=version.origin,
        author=version.author,
        offline=version.model == "offline",
        text=version.text,
        parts=version.parts,
        measures=measures,
        limits=limits,
        violations=version.violations,
        lineage=Lineage(model=version.model, prompt_version=version.prompt_version, call=version.call and version.call[:10]),
    )


def _checked(platform: Platform | None, parts: Mapping[str, JsonValue]) -> tuple[dict[str, JsonValue], dict[str, JsonValue]]:
    """The platform's figures of a draft and their limits; none for one that was kept although its parts do not fit the platform."""
    try:
        checked = platform.check(parts) if platform else None
    except BadInput:
        return {}, {}
    return (checked.measures, checked.limits) if checked else ({}, {})


def _import(fact: ImportFact) -> ImportReport:
    rows = tuple(
        RejectedRow(row=row.row, reason=verdict.clean(row.reason, 300), text=verdict.clean(row.text, 120))
        for row in fact.rejected[:_REJECTED_SHOWN]
    )
    return ImportReport(**fact.model_dump(exclude={"rejected"}), rejected=len(fact.rejected), rows=rows)
