"""The command line of the simulated endpoint."""

import argparse
import importlib
from collections.abc import Sequence
from typing import Any

from simulators.nearness import near
from simulators.openai_failures import KINDS, PLACES, Failure

FAILURES = (
    f"what goes wrong, in order: KIND[@PLACE][:TIMES[:RETRY_AFTER]], TIMES may be 'all'; kinds: {', '.join(KINDS)}; "
    f"places: {', '.join(PLACES)} (default: ask)"
)


def options(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """What the command line (or `arguments`) asks for, as the arguments of `OpenAISimulator`."""
    parser = argparse.ArgumentParser(
        prog="python -m simulators.openai",
        description="OpenAI's wire protocol on 127.0.0.1: Responses (also in the background), Chat Completions, Embeddings, Files and "
        "Batches. POST /_control changes what is set here while it runs, GET /_stats counts.",
    )
    seconds: dict[str, Any] = {"type": float, "default": 0.0, "metavar": "SECONDS"}
    function: dict[str, Any] = {"type": named, "metavar": "MODULE:FUNCTION"}
    parser.add_argument("--port", type=int, default=8081, help="0 takes a free one (default: 8081)")
    parser.add_argument("--latency", **seconds, help="how long each answer takes")
    parser.add_argument("--rpm", type=whole, metavar="N", help="requests a minute that are let in (default: all)")
    parser.add_argument("--tpm", type=whole, metavar="N", help="tokens a minute, input and most output, that are let in (default: all)")
    parser.add_argument("--no-retry-after", action="store_true", help="a refusal at a limit does not say when to come back")
    parser.add_argument("--batch-latency", **seconds, help="how long each batch takes")
    parser.add_argument("--hold-batches", action="store_true", help="batches wait for finish_batches or expire_batches at /_control")
    parser.add_argument("--fail", action="append", default=[], type=Failure.parse, metavar="KIND", help=FAILURES)
    parser.add_argument("--answers", **function, help="gives the answer to a request, or None for a plausible one")
    parser.add_argument("--embedder", default=near, **function, help="gives what the vectors are made of (default: word pieces)")
    parser.add_argument("--key", help="the one key that is let in (default: any)")
    given = vars(parser.parse_args(arguments))
    given["failures"] = given.pop("fail")
    given["retry_after_header"] = not given.pop("no_retry_after")
    return given


def whole(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError(f"{text} is less than 1")
    return number


def named(path: str) -> Any:
    """What `MODULE:NAME` names, imported now. Raises ValueError when it is not there."""
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"no {path!r}: {error}") from error
