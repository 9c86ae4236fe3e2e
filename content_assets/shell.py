"""What every content asset shares: the hold on its site and day, errors in Dagster's words, one shape of result."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg

from content_assets.automation import BY_COMMAND, after_outage
from pressroom.errors import Blocked, LostSite, Permanent, PressroomError, Transient
from pressroom.records import Tally
from pressroom.store.runs import SiteDay, Step
from resources.store import TRIGGER_TAG, StoreResource


@contextmanager
def site_work(context: dg.AssetExecutionContext, store: StoreResource, *, books: bool = True) -> Iterator[SiteDay]:
    """The site and day of the run's partition. An outage asks for a retry of the step; what trying again cannot help fails for good."""
    try:
        yield store.site_day(context, books=books)
    except Transient as error:
        if context.run.tags.get(TRIGGER_TAG) != BY_COMMAND:
            raise after_outage(context.retry_number) from error
        raise for_good(error, "; run it again later: what is done stays done") from error
    except (Permanent, Blocked, LostSite) as error:
        raise for_good(error) from error
    except BaseExceptionGroup as group:
        if group.subgroup(dg.DagsterExecutionInterruptedError):  # Ctrl-C in the middle of the drafts: Dagster knows it only bare
            raise dg.DagsterExecutionInterruptedError from None
        raise


@contextmanager
def site_step(
    context: dg.AssetExecutionContext, store: StoreResource, asset: dg.AssetKey, *, books: bool = True
) -> Iterator[tuple[SiteDay, Step]]:
    """The site and day, and the record of what the asset does there."""
    with site_work(context, store, books=books) as desk, desk.step("/".join(asset.path)) as step:
        yield desk, step


def for_good(error: PressroomError, advice: str = "") -> dg.Failure:
    """The failure of a step that trying again cannot help."""
    return dg.Failure(description=f"{error}{advice}", metadata={"exit_code": error.exit_code}, allow_retries=False)


def materialized(
    step: Step,
    *,
    preview: str,
    asset: dg.AssetKey | None = None,
    checks: Sequence[dg.AssetCheckResult] = (),
) -> dg.MaterializeResult:
    """Counts, preview, calls and cost as metadata; the content's hash as data version."""
    metadata: dict[str, Any] = {**step.counts, "preview": dg.MetadataValue.md(preview), **costs(step.tally)}
    if step.carried:
        metadata["carried"] = "nothing new: the last state stands"
    version = dg.DataVersion(step.data_version)
    return dg.MaterializeResult(asset_key=asset, metadata=metadata, data_version=version, check_results=list(checks))


def costs(tally: Tally) -> Mapping[str, Any]:
    """What the models were asked and what it cost; nothing for a step that asked none."""
    if not tally.paid and not tally.replayed:
        return {}
    found = {
        "calls paid": tally.paid,
        "calls replayed": tally.replayed,
        "input tokens": tally.input_tokens,
        "output tokens": tally.output_tokens,
        "cost (USD)": float(tally.cost_usd),
    }
    return found | ({"calls of unknown cost": tally.unpriced} if tally.unpriced else {})


def check(name: str, asset: dg.AssetKey, passed: bool, *, warn: bool = False, **metadata: Any) -> dg.AssetCheckResult:
    """The outcome of an asset check, for the partition that was just made."""
    severity = dg.AssetCheckSeverity.WARN if warn else dg.AssetCheckSeverity.ERROR
    return dg.AssetCheckResult(check_name=name, asset_key=asset, passed=passed, severity=severity, metadata=metadata)
