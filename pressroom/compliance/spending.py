"""What looking at a video will cost, held against the run's limit before anything is paid."""

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from pressroom.errors import OverBudget
from pressroom.inference.types import Media, Runner
from pressroom.records import Detector, Site
from pressroom.store.videos import answered_calls

if TYPE_CHECKING:
    from pressroom.inference.hosted import HostedRunner


def check_estimate(
    session: Session, site: Site | None, media: Media, runners: Mapping[Detector, Runner], wanted: Collection[Detector], limit: Decimal
) -> Decimal:
    """The estimate in USD of what the hosted models among the `wanted` detectors have not answered yet.

    A model without a known price counts as free here; whether it may be asked at all is the gateway's budget to say. Raises OverBudget
    when the estimate is over `limit`: half a video looked at is money for nothing.
    """
    from pressroom.inference.hosted import HostedRunner  # not on the way of who asks no hosted model

    hosted = [runner for detector, runner in runners.items() if detector in wanted and isinstance(runner, HostedRunner)]
    parts = {runner.detector: _left(session, site, runner, media) for runner in hosted}
    estimate = sum(parts.values(), Decimal(0))
    if estimate > limit:
        dearest = ", ".join(f"{detector} {usd:.4f}" for detector, usd in sorted(parts.items(), key=lambda part: -part[1]) if usd)
        raise OverBudget(
            f"hosted models would cost about {estimate:.4f} USD ({dearest}), over the run's limit of {limit} USD: nothing was asked; raise "
            "PRESSROOM_RUN_LIMIT_USD, or take a detector out of PRESSROOM_DETECTORS"
        )
    return estimate


def _left(session: Session, site: Site | None, runner: "HostedRunner", media: Media) -> Decimal:
    whole, price = runner.estimate(media), runner.entry.price
    if whole is None or price is None:
        return Decimal(0)
    answered = answered_calls(session, site.id if site else None, item=f"{media.item}/{runner.detector}/", model=runner.entry.pinned)
    return max(Decimal(0), whole - answered * price.of())
