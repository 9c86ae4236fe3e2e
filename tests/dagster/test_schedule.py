"""The schedule: each site at its own local time, once per site and day."""

import datetime as dt

import dagster as dg
import pytest
import sqlalchemy as sa

from content_assets.partitions import DATE_TAG, SITE_TAG, SITES
from definitions import defs
from pressroom.records import Automation, Site
from pressroom.store.engine import Store
from pressroom.store.sites import apply_site
from pressroom.store.tables import DueRow, ModelCallRow
from resources.store import TRIGGER_TAG, StoreResource
from schedules.daily_content import daily_content
from tests.dagster.conftest import add_run, add_sites, in_process, inbox_file, the_failure
from tests.samples import DAY, SITE

AT_SIX = dt.datetime(2026, 11, 20, 6, tzinfo=dt.UTC)  # Lisbon is on UTC in November
TOKYO = SITE.model_copy(update={"slug": "teahouse", "time_zone": "Asia/Tokyo"})
DENVER = SITE.model_copy(update={"slug": "roastery", "time_zone": "America/Denver"})


def tick(instance: dg.DagsterInstance, at: dt.datetime) -> dict[tuple[str, str], dict[str, str]]:
    """Tags of the runs that the tick requests, by site and date."""
    with dg.build_schedule_context(instance, at, {"store": StoreResource()}, defs.get_repository_def()) as context:
        requests = daily_content.evaluate_tick(context).run_requests or []
    return {(request.tags[SITE_TAG], request.tags[DATE_TAG]): dict(request.tags) for request in requests}


def test_a_due_site_is_requested_for_its_own_date_and_marked_as_scheduled(instance: dg.DagsterInstance, store: Store) -> None:
    add_sites(store, instance, SITE)
    assert tick(instance, AT_SIX - dt.timedelta(minutes=15)) == {}
    requested = tick(instance, AT_SIX)
    assert list(requested) == [("brew", "2026-11-20")]
    assert requested["brew", "2026-11-20"][TRIGGER_TAG] == "scheduled"


def test_sites_around_the_world_are_due_at_their_own_six_with_their_own_date(instance: dg.DagsterInstance, store: Store) -> None:
    add_sites(store, instance, TOKYO, DENVER)
    at_six_in_tokyo = tick(instance, dt.datetime(2026, 11, 19, 21, tzinfo=dt.UTC))
    assert set(at_six_in_tokyo) == {("teahouse", "2026-11-20"), ("roastery", "2026-11-19")}, "in Denver it is 14:00 of the day before"
    assert list(tick(instance, dt.datetime(2026, 11, 20, 12, 45, tzinfo=dt.UTC))) == [("teahouse", "2026-11-20")]
    assert set(tick(instance, dt.datetime(2026, 11, 20, 13, tzinfo=dt.UTC))) == {("teahouse", "2026-11-20"), ("roastery", "2026-11-20")}


def test_a_tick_after_downtime_requests_the_day_that_was_missed_once(instance: dg.DagsterInstance, store: Store) -> None:
    add_sites(store, instance, SITE)
    late = dt.datetime(2026, 11, 20, 17, 30, tzinfo=dt.UTC)
    assert list(tick(instance, late)) == [("brew", "2026-11-20")]
    claim(store, SITE)
    assert tick(instance, late + dt.timedelta(minutes=15)) == {}


def claim(store: Store, site: Site) -> None:
    with store.transaction() as session:
        session.execute(sa.insert(DueRow).values(site_id=site.id, day=DAY, account_id=site.account_id, run_id="run-1"))


def test_a_day_that_is_claimed_is_left_alone_and_the_next_one_is_not(instance: dg.DagsterInstance, store: Store) -> None:
    add_sites(store, instance, SITE)
    claim(store, SITE)
    assert tick(instance, AT_SIX) == {}
    assert list(tick(instance, AT_SIX + dt.timedelta(days=1))) == [("brew", "2026-11-21")]


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
def test_a_day_whose_run_is_queued_or_at_work_is_left_alone(
    instance: dg.DagsterInstance, store: Store, status: dg.DagsterRunStatus
) -> None:
    """Also a manual one: its answers are there when the next tick asks."""
    add_sites(store, instance, SITE)
    add_run(instance, "daily_content", status)
    assert tick(instance, AT_SIX) == {}


def test_a_site_that_is_switched_off_or_is_no_partition_yet_is_left_alone(instance: dg.DagsterInstance, store: Store) -> None:
    off = SITE.model_copy(update={"slug": "asleep", "automation": Automation(enabled=False)})
    add_sites(store, instance, off)
    with store.transaction() as session:
        apply_site(session, SITE)
    assert tick(instance, AT_SIX) == {}
    instance.add_dynamic_partitions(SITES, ["brew"])
    assert list(tick(instance, AT_SIX)) == [("brew", "2026-11-20")]


def test_a_second_scheduled_run_of_a_day_is_blocked_before_it_asks_anything(instance: dg.DagsterInstance, store: Store) -> None:
    """A run key is no promise of once: two ticks may launch the same day. The second ends as blocked, without a retry."""
    add_sites(store, instance, SITE)
    inbox_file("keywords.csv")
    job, scheduled = defs.resolve_job_def("daily_content"), {TRIGGER_TAG: "scheduled"}
    first = in_process(instance, job, tags=scheduled)
    assert first.success
    with store.transaction() as session:
        assert session.execute(sa.select(DueRow.day, DueRow.run_id)).all() == [(DAY, first.run_id)]
        booked = session.execute(sa.select(sa.func.count()).select_from(ModelCallRow)).scalar_one()

    inbox_file("more.csv", "keyword\ncoffee scale\n")
    second = in_process(instance, job, tags=scheduled)
    assert not second.success
    description, exit_code = the_failure(second)
    assert exit_code == 4
    assert first.run_id in description
    with store.transaction() as session:
        assert session.execute(sa.select(sa.func.count()).select_from(ModelCallRow)).scalar_one() == booked
        assert session.execute(sa.text("SELECT count(*) FROM keyword_imports")).scalar() == 1, "a blocked run imports nothing either"

    assert in_process(instance, job).success, "a person may run the day again"
