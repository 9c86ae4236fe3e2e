"""The command in this process, and the desk of the whole runs for commands that should not get as far."""

import io
import sys
from collections.abc import Callable
from typing import TextIO

import pytest

from cli.main import app
from cli.output import NO_EDGE, guarded, out
from tests.dagster.conftest import desk, endpoint
from tests.telling import Done

__all__ = ["desk", "endpoint"]

Pressroom = Callable[..., Done]


@pytest.fixture
def pressroom(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Pressroom:
    """`pressroom` with these words in this process: a new one for each would take a second.

    `stdin` is what standard input gives, `width` the columns of a terminal; without it nothing wraps, as in a pipe.
    """

    def call(*words: object, stdin: bytes | TextIO = b"", width: int = NO_EDGE) -> Done:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8") if isinstance(stdin, bytes) else stdin)
        monkeypatch.setattr(out, "width", width)
        capfd.readouterr()
        code = guarded(app, [str(word) for word in words])
        return Done(code, *capfd.readouterr())

    return call
