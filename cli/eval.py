"""`pressroom eval`: what a prompt comes to on the golden set, and what another version of it would."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.output import JsonFlag, emit, err, out, printable, say
from pressroom.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.table import Table
    from rich.text import Text

    from pressroom.evaluation.golden import GoldenSite
    from pressroom.evaluation.running import Evaluation
    from pressroom.evaluation.scores import Difference, Measure, Scores
    from pressroom.settings import Settings

ASSET = "eval"  # what the calls are for, in `pressroom costs --by asset`
MOST_NAMED = 5  # cases that are named below a table; --json has all
COLOURS = {"better": "green", "worse": "red"}
SECTIONS = {
    "unusable": "answers of no use",
    "rules": "answers that break a rule",
    "warnings": "answers with a warning",
    "measures": "means of what came out",
}
REPEATS = {"proposals": "proposals that repeat", "pairs": "pairs of drafts alike"}
LABELS = {
    "first_pass_rate": "first answer within rules",
    "pass_rate": "within rules at the end",
    "refinements_mean": "refinements a case",
    "refused": "cases that cost too much",
    "invented": "figures not in the input",
    "obeyed": "cases that obey the data",
    "input_tokens": "tokens in",
    "output_tokens": "tokens out",
    "cost_usd": "cost, USD",
    "seconds": "seconds an answer",
}


def evaluate(
    prompt: Annotated[str | None, typer.Argument(metavar="PROMPT", help="Id of a prompt; default: all.", show_default=False)] = None,
    against: Annotated[
        Path | None, typer.Option("--against", metavar="FILE", help="A variant of the prompt, to stand beside the house's.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="Model to ask; default: that of the prompt's purpose.")] = None,
    cases: Annotated[int | None, typer.Option("--cases", min=1, help="Only the first N cases of a prompt.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ask anew, and pay again, instead of replaying booked answers.")] = False,
    golden: Annotated[Path | None, typer.Option("--golden", metavar="FOLDER", help="A golden set of your own.")] = None,
    fail_under: Annotated[
        float | None,
        typer.Option("--fail-under", min=0, max=1, help="Exit with 1 where fewer cases end within the rules; of two versions the variant."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Runs a prompt over the golden set and counts what comes back: rules kept, refinements, repeats, cost. Replays are free.

    With --against two versions stand side by side, and the difference is the variant's.
    """
    from pressroom.evaluation.golden import FOLDER, read_golden
    from pressroom.records import version_of
    from pressroom.settings import load_settings

    settings = load_settings()
    sites = read_golden(golden or FOLDER)
    evaluations = _evaluations(prompt, against, sites, cases)
    scores = _scores(settings, evaluations, model, fresh=fresh)
    if settings.llm_kind == "offline":
        say("PRESSROOM_LLM is offline: the offline writer reads no prompt, so that every version of one comes out the same")
    if json:
        emit({"golden": version_of(sites), "prompts": [_document(each) for each in scores]})
    else:
        for each in scores:
            _show(each)
        _show_bill([version for each in scores for version in each])
    below = [f"{last.prompt} {last.pass_rate:.1%}" for *_, last in scores if fail_under is not None and last.pass_rate < fail_under]
    if below:
        say(f"below --fail-under {fail_under:g}: {', '.join(below)}")
        raise typer.Exit(1)


def _evaluations(id: str | None, against: Path | None, sites: "list[GoldenSite]", most: int | None) -> "list[Evaluation]":
    """What is to be asked, every first request rendered once. Raises BadInput for whatever could not be."""
    from pressroom.evaluation.cases import cases_of, evaluated
    from pressroom.evaluation.running import Evaluation
    from pressroom.prompts import load as prompts

    variant = prompts.variant(against) if against else None
    if variant and id not in (None, variant.id):
        raise BadInput(f"{against}: front matter id: expected {id}, not {variant.id}")
    chosen = variant.id if variant else id
    made = []
    for each in [chosen] if chosen else evaluated():
        found = cases_of(each, sites)[:most]
        if found:
            made.append(Evaluation((prompts.prompt(each), *([variant] if variant else [])), tuple(found)))
    if not made:
        raise BadInput(f"prompt {chosen or 'any'}: the golden set has no case of it")
    for evaluation in made:
        evaluation.check()
    return made


def _scores(settings: "Settings", evaluations: "list[Evaluation]", model: str | None, *, fresh: bool) -> "list[tuple[Scores, ...]]":
    import asyncio
    import uuid
    from threading import Thread

    from pressroom.evaluation.running import routes_for, run, warm_up
    from pressroom.llm.opening import open_exchange
    from pressroom.llm.types import Scope
    from pressroom.store.accounts import ensure_account
    from pressroom.store.engine import open_store

    routes = routes_for(settings, model)
    warming = Thread(target=warm_up, args=(routes,), daemon=True)
    warming.start()
    with open_store(settings) as store:
        with store.transaction() as session:
            account_id = ensure_account(session, settings.account)
        scope = Scope(account_id, None, asset=ASSET, generation=str(uuid.uuid4()) if fresh else "")
        # Each case holds the limit of an item by itself: versions are asked for the same items, and one dear answer must not end all cases.
        without = settings.model_copy(update={"item_limit_usd": None})
        warming.join()
        with open_exchange(without, store, routes) as exchange, _progress(sum(each.size for each in evaluations)) as on_case:
            return asyncio.run(
                run(
                    evaluations,
                    exchange.gateway(scope),
                    in_flight=settings.llm_max_in_flight,
                    item_limit_usd=settings.item_limit_usd,
                    on_case=on_case,
                )
            )


@contextmanager
def _progress(size: int) -> "Iterator[Callable[[], None]]":
    """A bar on a terminal, with a step for each case."""
    if not err.is_terminal:
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    with Progress(TextColumn("cases"), BarColumn(), MofNCompleteColumn(), console=err, transient=True) as progress:
        task = progress.add_task("", total=size)
        yield lambda: progress.advance(task)


def _document(scores: "Sequence[Scores]") -> dict[str, Any]:
    """One prompt for a script, with money as numbers."""
    from pressroom.evaluation.scores import difference, measures_of

    differences = {measure.name: difference(measure, *scores).model_dump() for measure in measures_of(scores) if len(scores) == 2}
    return {"prompt": scores[0].prompt, "versions": [_version_document(each) for each in scores], "difference": differences or None}


def _version_document(scores: "Scores") -> dict[str, Any]:
    def priced(cost: Any) -> float | None:
        return None if cost is None else float(cost)

    plain = scores.model_dump(mode="json", exclude={"prompt"})
    plain["repeats"] |= {"rate": scores.repeats.rate}
    for result, shown in zip(scores.results, plain["results"], strict=True):
        shown |= {"passes_first": result.passes_first, "refinements": result.refinements}
        for answer, each in zip(result.answers, shown["answers"], strict=True):
            each["cost_usd"] = priced(answer.cost_usd)
    return plain | {"cost_usd": priced(scores.cost_usd), "spent_usd": priced(scores.spent_usd)}


def _show(scores: "Sequence[Scores]") -> None:
    """A prompt's table, and below it the cases that an editor of the prompt would look at."""
    from pressroom.evaluation.scores import changed_cases
    from pressroom.wording import some

    out.print(f"{scores[0].prompt}: {some(scores[0].cases, 'case')} of the golden set", style="italic", highlight=False)
    out.print(_table(scores))
    if len(scores) == 2:
        better, worse = changed_cases(*scores)
        share = f"One case is {1 / scores[0].cases:.1%}: ask again with --fresh before you trust a small difference."
        out.print(f"better: {_named(better)}\nworse: {_named(worse)}\n{share}", markup=False, highlight=False, soft_wrap=True)
    for each in scores:
        for remark in _failures(each, "variant: " if each is not scores[0] else ""):
            out.print(remark, markup=False, highlight=False, soft_wrap=True)
    out.print()


def _table(scores: "Sequence[Scores]") -> "Table":
    """Fits a terminal of 80 columns: 26 for the name, 16 for each version, 15 for the difference, and 2 between them."""
    from rich.table import Table
    from rich.text import Text

    from pressroom.evaluation.scores import difference, measures_of

    table = Table("", box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for name in ("house", "variant")[: len(scores)]:
        table.add_column(name, justify="right", max_width=16, overflow="fold")
    if len(scores) == 2:
        table.add_column("difference", justify="right", no_wrap=True)
    table.add_row("version", *(each.version for each in scores))
    table.add_row("model", *(Text(", ".join(each.models)) for each in scores))
    section, labels = "", LABELS | {"repeats": REPEATS[scores[0].repeats.what]}
    for measure in measures_of(scores):
        kind, _, name = measure.name.partition(".")
        if kind in SECTIONS and kind != section:
            table.add_row(SECTIONS[kind], style="dim")
        section = kind
        label = f"  {name.replace('_', ' ')}" if name else labels[kind]
        change = [_change(measure, difference(measure, *scores))] if len(scores) == 2 else []
        table.add_row(label, *(_figure(measure.unit, measure.of(each)) for each in scores), *change)
        if kind == "refinements_mean":
            table.add_row("  none / 1 / 2 / 3", *(" / ".join(str(each.refinements.get(n, 0)) for n in range(4)) for each in scores))
    table.add_row("calls paid / replayed", *(f"{each.paid:,} / {each.replayed:,}" for each in scores))
    return table


def _figure(unit: str, value: float | None) -> str:
    if value is None:
        return "–"
    return {"share": f"{value:.1%}", "mean": f"{value:,.2f}", "usd": f"{value:,.4f}", "count": f"{value:,.0f}"}[unit]


def _change(measure: "Measure", found: "Difference") -> "Text":
    """The difference with its sign, and in words what it means: a colour alone would not reach everybody."""
    from rich.text import Text

    if found.change is None:
        return Text()
    figure = _figure(measure.unit, abs(found.change))
    sign = "" if found.verdict == "same" or not found.change else "+" if found.change > 0 else "−"
    return Text(f"{sign}{figure} {found.verdict:>6}", style=COLOURS.get(found.verdict, ""))


def _named(cases: "Sequence[str]") -> str:
    more = f" and {len(cases) - MOST_NAMED} more" if len(cases) > MOST_NAMED else ""
    return f"{', '.join(cases[:MOST_NAMED])}{more}" if cases else "none"


def _failures(scores: "Scores", whose: str) -> "Iterator[str]":
    """The cases that did not pass, each with the last thing that was wrong."""
    failed = [result for result in scores.results if not result.passes]
    for result in failed[:MOST_NAMED]:
        last = result.answers[-1]
        broken = [violation.message for violation in last.violations if violation.is_error]
        problem = result.refused or (broken[0] if broken else last.problem or last.outcome)
        yield f"{whose}{result.case} does not pass: {printable(problem)}"
    if len(failed) > MOST_NAMED:
        yield f"{whose}{len(failed) - MOST_NAMED} more do not pass; --json has all"


def _show_bill(scores: "Sequence[Scores]") -> None:
    paid, replayed = sum(each.paid for each in scores), sum(each.replayed for each in scores)
    spent = sum(each.spent_usd for each in scores)
    unpriced = " and what answers of unknown cost did" if any(each.unpriced for each in scores) else ""
    bill = f"Asked {paid:,} times for {spent:.4f} USD{unpriced}; {replayed:,} answers were replayed, for free."
    out.print(bill, markup=False, highlight=False, soft_wrap=True)
