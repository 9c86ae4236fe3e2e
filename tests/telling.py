"""How a command ended, and how it must speak when it cannot go on."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass
class Done:
    """How a command ended, and what it said."""

    returncode: int | None
    stdout: str
    stderr: str


def shown(done: Done) -> str:
    """What `done` wrote on stdout. Holds that it went well and said nothing beside that."""
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def document(done: Done) -> Any:
    """The one document that `done` wrote. Holds as `shown` does."""
    return json.loads(shown(done))


def told(done: Done, code: int, *named: str) -> Any:
    """Holds that `done` ended with `code` and one line that names what it should.

    Returns the document on stdout, or None.
    """
    assert done.returncode == code, f"{done.returncode}: {done.stderr}"
    assert len(done.stderr.splitlines()) == 1, f"a person must see one line: {done.stderr}"
    assert done.stderr.startswith("pressroom: ")
    for name in named:
        assert name in done.stderr, f"{name!r} is not said: {done.stderr}"
    for noise in ("Traceback", "Error:", "pressroom.errors", "sesame", "sk-"):
        assert noise not in done.stderr, done.stderr
    return json.loads(done.stdout) if done.stdout else None
