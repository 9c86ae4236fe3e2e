"""`pressroom check`: holds a text against a platform's rules."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import JsonFlag, emit, out

if TYPE_CHECKING:
    from pydantic import JsonValue
    from rich.text import Text

    from pressroom.platforms.base import Checked

BAR = 24  # cells


def check(
    platform: Annotated[str, typer.Argument(help="linkedin, x or instagram.", show_default=False)],
    file: Annotated[
        Path | None, typer.Argument(help="The text in UTF-8; without it, or with -, standard input.", show_default=False)
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Hold a text against a platform's rules.

    Exit code 0: it keeps them (warnings are shown), 1: it does not, 2: it cannot be read.

    For x the text is taken as it is, and is one post: spaces and the line end at its end count, so pipe with printf '%s' rather than
    echo. A thread is a JSON list of posts, or what Pressroom shows of a thread, with its marks such as [2/3]. For instagram the script
    stands under the headings HOOK, VALUE, CALL TO ACTION, SCENES and CAPTION. All take a JSON document of the draft's parts.
    """
    from pressroom.platforms import registry

    chosen = registry.platform(platform)
    checked = chosen.check(chosen.parts_of(_read(file)))
    if json:
        emit(checked)
    else:
        _show(checked, chosen.name)
    if not checked.ok:
        raise typer.Exit(1)


def _read(file: Path | None) -> str:
    """The text, byte by byte: no line end is translated. Raises BadInput when it is not there or not UTF-8."""
    from pressroom.errors import BadInput

    name = "standard input" if file is None or str(file) == "-" else str(file)
    try:
        if name != "standard input":
            raw = Path(name).read_bytes()
        elif sys.stdin.isatty():
            raise BadInput("no text: name a FILE, or pipe it in, such as: printf '%s' \"Hello\" | pressroom check x")
        else:
            raw = sys.stdin.buffer.read()
        return raw.decode("utf-8")
    except OSError as error:
        raise BadInput(f"{name}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{name}: not UTF-8: byte 0x{raw[error.start]:02x} at position {error.start:,}") from None


def _show(checked: "Checked", name: str) -> None:
    from rich.table import Table
    from rich.text import Text

    worst = {violation.code: violation.severity for violation in reversed(checked.violations)}
    colours = {"error": "red", "warning": "yellow"}
    verdict = "keeps the rules" if checked.ok else "does not keep the rules"
    table = Table(title=f"{name}: {verdict}", title_justify="left", box=None, pad_edge=False)
    table.add_column()
    table.add_column("Measured", justify="right")
    table.add_column("Limit", justify="right")
    table.add_column()
    for measure, value in checked.measures.items():
        limit, colour = checked.limits.get(measure), colours.get(worst.get(measure, ""), "green")
        table.add_row(measure.replace("_", " "), Text(_plain(value, ", "), style=colour), _plain(limit, " to "), _bar(value, limit, colour))
    out.print(table)
    for violation in checked.violations:
        place = f" ({violation.part})" if violation.part else ""
        out.print(Text.assemble((violation.severity, colours[violation.severity]), f"{place}: {violation.message}"), soft_wrap=True)


def _plain(value: "JsonValue", between: str) -> str:
    """A figure for people, thousands separated; those of a list with `between` between them."""
    if isinstance(value, list):
        return between.join(_plain(one, between) for one in value)
    if isinstance(value, float):
        return f"{value:,.1f}".removesuffix(".0")
    return f"{value:,}" if isinstance(value, int) else str(value or "")


def _bar(value: "JsonValue", limit: "JsonValue", colour: str) -> "Text":
    """How much of the limit is used; full where it is passed."""
    from rich.text import Text

    most = limit[-1] if isinstance(limit, list) else limit
    if not isinstance(value, int | float) or not isinstance(most, int | float) or not most:
        return Text()
    used = min(BAR, round(BAR * value / most))
    return Text.assemble(("█" * used, colour), ("░" * (BAR - used), "bright_black"))
