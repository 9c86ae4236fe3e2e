"""What `pressroom eval` found, for people: a table for each prompt, the cases to look at, and the bill."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from cli.output import out, printable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from pressroom.evaluation.scores import Difference, Measure, Scores

MOST_NAMED = 5  # cases that are named below a table; --json has all
COLOURS = {"better": "green", "worse": "red"}


def show(scores: "Sequence[Scores]") -> None:
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
    for section, measures in groupby(measures_of(scores), lambda measure: measure.section):
        if section:
            table.add_row(section, style="dim")
        for measure in measures:
            change = [_change(measure, difference(measure, *scores))] if len(scores) == 2 else []
            label = f"  {measure.label}" if section else measure.label
            table.add_row(label, *(_figure(measure.unit, measure.of(each)) for each in scores), *change)
            if measure.name == "refinements_mean":
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
    if not figure.strip("0.%"):  # less than the figures show: "−0.0000 better" would be no help
        return Text(f"{figure} {'same' if found.verdict else '':>6}")
    return Text(f"{'+' if found.change > 0 else '−'}{figure} {found.verdict:>6}", style=COLOURS.get(found.verdict, ""))


def _named(cases: Sequence[str]) -> str:
    more = f" and {len(cases) - MOST_NAMED} more" if len(cases) > MOST_NAMED else ""
    return f"{', '.join(cases[:MOST_NAMED])}{more}" if cases else "none"


def _failures(scores: "Scores", whose: str) -> Iterator[str]:
    """The cases that did not pass, each with the last thing that was wrong."""
    failed = [result for result in scores.results if not result.passes]
    for result in failed[:MOST_NAMED]:
        last = result.answers[-1]
        broken = [violation.message for violation in last.violations if violation.is_error]
        problem = result.refused or (broken[0] if broken else last.problem or last.outcome)
        yield f"{whose}{result.case} does not pass: {printable(problem)}"
    if len(failed) > MOST_NAMED:
        yield f"{whose}{len(failed) - MOST_NAMED} more do not pass; --json has all"


def show_bill(scores: "Sequence[Scores]") -> None:
    """What this evaluation paid, of all versions together."""
    from pressroom.wording import some

    paid, replayed = sum(each.paid for each in scores), sum(each.replayed for each in scores)
    spent = sum(each.spent_usd for each in scores)
    unpriced = " and what answers of unknown cost did" if any(each.unpriced for each in scores) else ""
    asked = f"Asked {some(paid, 'time')} for {spent:.4f} USD{unpriced}; " if paid else "Nothing was asked or paid: "
    out.print(f"{asked}{some(replayed, 'answer')} replayed, for free.", markup=False, highlight=False, soft_wrap=True)
