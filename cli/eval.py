"""`pressroom eval`: what a prompt comes to on the golden set, and what another version of it would."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.eval_document import document_of
from cli.eval_table import show, show_bill
from cli.output import JsonFlag, emit, err, say
from pressroom.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from pressroom.evaluation.golden import GoldenSite
    from pressroom.evaluation.running import Evaluation
    from pressroom.evaluation.scores import Scores
    from pressroom.settings import Settings

ASSET = "eval"  # what the calls are for, in `pressroom costs --by asset`


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
        emit({"golden": version_of(sites), "prompts": [document_of(each) for each in scores]})
    else:
        for each in scores:
            show(each)
        show_bill([version for each in scores for version in each])
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
    from pressroom.store.accounts import account_of_house
    from pressroom.store.engine import open_store

    routes = routes_for(settings, model)
    warming = Thread(target=warm_up, args=(routes,), daemon=True)
    warming.start()
    with open_store(settings) as store:
        with store.transaction() as session:
            account_id = account_of_house(session, settings.account)
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
