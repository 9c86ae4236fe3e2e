"""Signals and coverages that the tests of this folder start from."""

from typing import Any, get_args

from pressroom.records import Coverage, Detector, Signal
from pressroom.safety.policy import Policy
from pressroom.safety.risks import Risks

DURATION = 60_000


def signal(detector: Detector, label: str, start_ms: int, end_ms: int, score: float | None = 0.9, **more: Any) -> Signal:
    return Signal.model_validate(
        {"number": 1, "version": "1", "detector": detector, "label": label, "start_ms": start_ms, "end_ms": end_ms, "score": score} | more
    )


def looked(detector: Detector, part: float = 1.0, **more: Any) -> Coverage:
    fields = {"detector": detector, "state": "analysed", "seconds": part * DURATION / 1000, "of_s": DURATION / 1000, "looks": 30}
    return Coverage.model_validate(fields | more)


def all_looked() -> tuple[Coverage, ...]:
    return tuple(looked(detector) for detector in get_args(Detector))


def risk(code: str = "TEST", **more: Any) -> dict[str, Any]:
    fields = {"code": code, "title": code, "severity": 2, "modality": "visual", "default_action": "review", "merge_gap_s": 2}
    return fields | {"detectors": [{"id": "objects", "label": "gun", "threshold": 0.5}]} | more


CHILD = risk("CHILD.SAFETY", default_action="escalate", detectors=[{"id": "nudity", "label": "s4", "threshold": 0.3}])


def policy_of(*risks: dict[str, Any], **more: Any) -> Policy:
    """A policy over these risks; CHILD.SAFETY is always one of them."""
    return Policy.model_validate({"name": "test", "risks": Risks.model_validate({"risks": [*risks, CHILD]})} | more)
