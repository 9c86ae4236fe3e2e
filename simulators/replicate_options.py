"""The command line of the simulated Replicate."""

import argparse
from collections.abc import Sequence
from typing import Any

from simulators.openai_options import named
from simulators.replicate_answers import answer
from simulators.replicate_failures import KINDS, PLACES, Failure
from simulators.replicate_predictions import KEPT_S


def options(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """What the command line (or `arguments`) asks for, as the arguments of `ReplicateSimulator`."""
    parser = argparse.ArgumentParser(
        prog="python -m simulators.replicate",
        description="Replicate's HTTP API on 127.0.0.1. POST /_control changes what is set here while it runs, GET /_stats counts.",
    )
    failures = (
        f"what goes wrong, in order: KIND[@PLACE][:TIMES[:RETRY_AFTER]], TIMES may be 'all'; kinds: {', '.join(KINDS)}; "
        f"places: {', '.join(PLACES)} (default: create)"
    )
    seconds: dict[str, Any] = {"type": float, "metavar": "SECONDS"}
    parser.add_argument("--port", type=int, default=8082, help="0 takes a free one (default: 8082)")
    parser.add_argument("--latency", **seconds, default=0.0, help="how long each prediction takes")
    parser.add_argument("--rpm", type=int, metavar="N", help="creates a minute that are let in (default: all)")
    parser.add_argument("--delete-after", **seconds, default=KEPT_S, help="how long an output stays (default: 3600)")
    parser.add_argument("--fail", action="append", default=[], type=Failure.parse, metavar="KIND", help=failures)
    parser.add_argument("--token", help="the one token that is let in (default: any)")
    parser.add_argument(
        "--answers", type=named, default=answer, metavar="MODULE:FUNCTION", help="gives the output of a prediction (default: by its files)"
    )
    given = vars(parser.parse_args(arguments))
    given["failures"] = given.pop("fail")
    return given
