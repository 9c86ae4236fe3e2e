"""Runs that are queued or at work, as Dagster knows them."""

import datetime as dt
from collections.abc import Iterable

import dagster as dg

from content_assets.partitions import DATE_TAG, SITE_TAG

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def site_days_of(runs: Iterable[dg.DagsterRun]) -> set[tuple[str, dt.date]]:
    """The (site, day) pairs that `runs` are about."""
    tags = [run.tags for run in runs]
    return {(tag[SITE_TAG], dt.date.fromisoformat(tag[DATE_TAG])) for tag in tags if SITE_TAG in tag and DATE_TAG in tag}


def site_days_in_flight(instance: dg.DagsterInstance, job: str) -> set[tuple[str, dt.date]]:
    """The (site, day) pairs that a run of `job` is queued for or at work on."""
    return site_days_of(instance.get_runs(dg.RunsFilter(job_name=job, statuses=UNFINISHED)))
