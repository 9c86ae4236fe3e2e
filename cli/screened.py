"""What was found in a video, as a file: `pressroom screen --out` writes it, `pressroom risks diff --signals` reads it."""

from pathlib import Path
from typing import TYPE_CHECKING

from pressroom.errors import BadInput

if TYPE_CHECKING:
    from pressroom.safety.replay import Screened


def write_screened(screened: "Screened", path: Path) -> None:
    """The video's signals and coverage as JSON. Raises OSError."""
    from json import dumps

    document = {
        "video": screened.video,
        "duration_ms": screened.duration_ms,
        "signals": [signal.model_dump(mode="json") for signal in screened.signals],
        "coverage": [coverage.model_dump(mode="json") for coverage in screened.coverages],
    }
    path.write_text(dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def read_screened(path: Path) -> "Screened":
    """The signals and coverage of one video in a JSON file. Raises BadInput that names the file and the field."""
    from json import loads

    from pydantic import TypeAdapter, ValidationError

    from pressroom.records import Coverage, Signal
    from pressroom.safety.replay import Screened
    from pressroom.wording import complaint

    try:
        document = loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise BadInput(f"{path}: no valid JSON in UTF-8") from None
    if not isinstance(document, dict) or not isinstance(document.get("duration_ms"), int) or not isinstance(document.get("signals"), list):
        raise BadInput(f"{path}: expected duration_ms, a list of signals, and their coverage")
    try:
        found = TypeAdapter(tuple[Signal, ...]).validate_python(document["signals"])
        coverages = TypeAdapter(tuple[Coverage, ...]).validate_python(document.get("coverage") or [])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        kind = "signals" if error.title.startswith("tuple[Signal") else "coverage"
        where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"])
        raise BadInput(f"{path}: {kind}{where}: {complaint(first)}") from None
    return Screened(str(document.get("video") or path.stem), document["duration_ms"], found, coverages)
