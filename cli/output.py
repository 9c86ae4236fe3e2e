"""How every command speaks: JSON or a table on stdout, progress and errors on stderr, and one set of exit codes."""

import json
import os
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.console import Console

from pressroom.errors import BadInput, PressroomError

JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else.")]

# A file or another program has no edge to wrap at: Rich would take 80 columns, and break the cells of a table. COLUMNS holds there too.
NO_EDGE = 10_000

out = Console()
if not out.is_terminal and "COLUMNS" not in os.environ:
    out.width = NO_EDGE
err = Console(stderr=True)


def emit(document: Any) -> None:
    """Writes `document` (records, UUIDs and dates included) as one JSON document on standard output.

    A reader that has gone is no error: the work is done. Raises BadInput when standard output takes nothing.
    """

    def plain(value: Any) -> Any:
        return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)

    try:
        sys.stdout.write(json.dumps(document, default=plain, ensure_ascii=False, indent=2) + "\n")
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the flush at the interpreter's end fails once more
        if not isinstance(error, BrokenPipeError):
            raise BadInput(f"standard output: cannot be written ({error.strerror}); make room, or send it elsewhere") from None


def say(line: str) -> None:
    """One line for people on standard error: no markup, no wrapping, and a file's name with a line end in it makes no second one."""
    err.print(printable(line), markup=False, highlight=False, soft_wrap=True)


def printable(text: str) -> str:
    """Text of strangers for a terminal: none of its control characters reaches it, and it stays one line."""
    return "".join(character if character.isprintable() else " " for character in text)


def guarded(app: typer.Typer, words: Sequence[str] | None = None) -> int:
    """Runs the command of the command line, or of `words`; an expected error is one line and its exit code, a bug is 70 and a file with the
    traceback."""
    try:
        code = app(words, standalone_mode=False)  # typer.Exit comes back as its code, a command as None
        return code if isinstance(code, int) else 0
    except PressroomError as error:
        for line in getattr(error, "lines", (str(error),)):  # a file's mistakes have one line each
            say(f"pressroom: {' '.join(line.split())}")
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        say("pressroom: cancelled")
        return 5
    except BrokenPipeError:
        return 0
    except Exception as error:
        if hasattr(error, "exit_code") and hasattr(error, "format_message"):  # a usage error of click
            say(f"pressroom: {error.format_message().replace('Value error, ', '')}")
            return 2
        say(f"pressroom: a bug of ours ({type(error).__name__}); the traceback is in {_keep_traceback()}")
        return 70


def _keep_traceback() -> str:
    import tempfile

    name = f"pressroom-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.txt"
    for folder in (Path(os.environ.get("PRESSROOM_HOME") or ".pressroom") / "logs", Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(traceback.format_exc(), encoding="utf-8")
            return str(folder / name)
        except OSError:
            continue
    return "no file (no folder could be written): " + " ".join(traceback.format_exc().split())
