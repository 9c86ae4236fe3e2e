"""The sensors: new sites, keyword files, reports of what ended, runs that died."""

import datetime as dt
import itertools
import json
import re
import time

import dagster as dg
import pytest
import sqlalchemy as sa

from content_assets.partitions import SITES
from definitions import defs
from pressroom.planner.intake import inbox_of
from pressroom.settings import Settings
from pressroom.store.engine import Store
from pressroom.store.locks import hold_site
from pressroom.store.reports import save_report
from pressroom.store.sites import apply_site
from resources.objects import ObjectsResource
from resources.store import StoreResource
from sensors.finished_content import finished_content
from sensors.keyword_files import keyword_files
from sensors.lost_runs import lost_runs
from sensors.sites import sites
from tests.dagster.conftest import add_run, add_sites, in_process, inbox_file, status_of
from tests.dagster.conftest import instance_in_memory as instance
from tests.samples import DAY, SITE

__all__ = ["instance"]

RESOURCES = {"store": StoreResource(), "objects": ObjectsResource()}
Told = list[dg.RunRequest] | dg.SensorResult | dg.SkipReason


class Sensor:
    """A sensor as the daemon drives it: tick by tick with its cursor, and a run key only once."""

    def __init__(self, sensor: dg.SensorDefinition, instance: dg.DagsterInstance) -> None:
        self.sensor = sensor
        self.instance = instance
        self.cursor: str | None = None
        self.run_keys: set[str | None] = set()
        self.said = ""

    def tick(self) -> list[tuple[str, str]]:
        """The (site, date) pairs that the tick requests; what it says instead is in `said`."""
        with dg.build_sensor_context(self.instance, self.cursor, resources=RESOURCES) as context:
            told: Told = self.sensor(context)
            self.cursor = context.cursor
        self.said = told.skip_message or "" if isinstance(told, dg.SkipReason) else ""
        requests = [request for request in told if request.run_key not in self.run_keys] if isinstance(told, list) else []
        self.run_keys |= {request.run_key for request in requests}
        keys = [request.partition_key.keys_by_dimension for request in requests if isinstance(request.partition_key, dg.MultiPartitionKey)]
        return [(key["site"], key["date"]) for key in keys]


# --- sites


def test_a_new_site_becomes_a_partition_and_none_is_ever_removed(instance: dg.DagsterInstance, store: Store) -> None:
    instance.add_dynamic_partitions(SITES, ["closed"])
    with store.transaction() as session:
        apply_site(session, SITE)
    with dg.build_sensor_context(instance, resources=RESOURCES) as context:
        told = sites(context)
    assert isinstance(told, dg.SensorResult)
    (request,) = told.dynamic_partitions_requests or []
    assert isinstance(request, dg.AddDynamicPartitionsRequest)
    assert (request.partitions_def_name, request.partition_keys) == (SITES, ["brew"])

    instance.add_dynamic_partitions(SITES, ["brew"])
    sensor = Sensor(sites, instance)
    assert sensor.tick() == []
    assert sensor.said == "all 2 sites have their partition"


# --- keyword files


def test_a_keyword_file_is_imported_once_for_the_sites_own_date(instance: dg.DagsterInstance, store: Store) -> None:
    kiritimati = SITE.model_copy(update={"slug": "island", "time_zone": "Pacific/Kiritimati"})
    pago_pago = SITE.model_copy(update={"slug": "harbour", "time_zone": "Pacific/Pago_Pago"})
    add_sites(store, instance, kiritimati, pago_pago)
    inbox_file("keywords.csv", site="island")
    inbox_file("keywords.csv", site="harbour")
    sensor = Sensor(keyword_files, instance)
    dates = dict(sensor.tick())
    ahead = dt.date.fromisoformat(dates["island"]) - dt.date.fromisoformat(dates["harbour"])
    assert ahead in (dt.timedelta(days=1), dt.timedelta(days=2)), "the two sites are 25 hours apart"
    assert sensor.tick() == [], "the same files ask for no second import"
    inbox_file("keywords.csv", "keyword\ncold brew\n", site="island", age_s=30)
    assert [site for site, _ in sensor.tick()] == ["island"], "a corrected file under the old name waits for no other hour"


def test_files_that_wait_are_left_alone_and_the_tick_says_why(instance: dg.DagsterInstance, store: Store) -> None:
    sensor = Sensor(keyword_files, instance)
    assert sensor.tick() == []
    assert sensor.said == "no new keyword files"

    inbox_file("keywords.csv", site="nobody")
    assert sensor.tick() == []
    assert "nobody: an unknown site" in sensor.said

    with store.transaction() as session:
        apply_site(session, SITE)
    inbox_file("keywords.csv")
    assert sensor.tick() == []
    assert "brew: not a partition yet" in sensor.said
    instance.add_dynamic_partitions(SITES, ["brew"])
    growing = inbox_file("half.csv", age_s=0)
    assert sensor.tick() == [], "an import would take the half file with the whole one"
    assert "brew: a file is still growing" in sensor.said

    growing.unlink()
    queued = add_run(instance, "import_keywords", dg.DagsterRunStatus.QUEUED)
    assert sensor.tick() == []
    assert "brew: an import is queued or at work" in sensor.said
    instance.delete_run(queued)
    assert [site for site, _ in sensor.tick()] == ["brew"]


def moved(settings: Settings) -> set[str]:
    """Where the site's files are, below its keywords folder."""
    folder = (settings.objects_folder / inbox_of("brew")).parent
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_an_import_moves_good_files_and_rejects_bad_ones_with_their_reasons(
    instance: dg.DagsterInstance, store: Store, settings: Settings
) -> None:
    """Good rows of a bad file are kept. A file that cannot be read at all turns the check red, not the run."""
    add_sites(store, instance, SITE)
    inbox_file("good.csv", "keyword,volume\ncoffee grinder,900\nmoka pot,700\n")
    inbox_file("some.csv", "keyword,volume\ncold brew,300\n,50\n")
    inbox_file("none.csv", "price,volume\n3,4\n5,6\n")
    inbox_file("more/good.csv", "keyword\npour over\n")
    result = in_process(instance, defs.resolve_job_def("import_keywords"), day=DAY)
    assert result.success
    originals = sorted(moved(settings))
    assert [name.rpartition("/")[2] for name in originals].count("good.csv") == 2, "of two files of one name both are kept"
    assert {re.sub("/[0-9a-f]{8}/", "/", name) for name in originals} == {
        "imported/2026-11-20/good.csv",
        "rejected/2026-11-20/some.csv",
        "rejected/2026-11-20/some.csv.report.json",
        "rejected/2026-11-20/none.csv",
        "rejected/2026-11-20/none.csv.report.json",
    }
    with store.transaction() as session:
        known = session.execute(sa.text("SELECT normalised FROM keywords ORDER BY 1")).scalars().all()
    assert known == ["coffee grinder", "cold brew", "moka pot", "pour over"]

    rejected = (settings.objects_folder / inbox_of("brew")).parent / "rejected" / "2026-11-20"
    rows = json.loads(next(rejected.glob("*/some.csv.report.json")).read_text(encoding="utf-8"))
    assert [row["row"] for row in rows["rows"]] == [3]
    assert "none.csv" in json.loads(next(rejected.glob("*/none.csv.report.json")).read_text(encoding="utf-8"))["reason"]
    (evaluation,) = result.get_asset_check_evaluations()
    assert (evaluation.check_name, evaluation.passed, evaluation.severity) == ("every_file_read", False, dg.AssetCheckSeverity.WARN)
    assert evaluation.metadata["rejected_rows"].value == 1
    assert "none.csv" in str(evaluation.metadata["refused"].value)

    again = in_process(instance, defs.resolve_job_def("import_keywords"), day=DAY)
    (evaluation,) = again.get_asset_check_evaluations()
    assert evaluation.passed, "the inbox is clean now"


# --- finished content


def ended(
    instance: dg.DagsterInstance,
    at: dt.datetime,
    *,
    site: str = "brew",
    day: dt.date = DAY,
    event: dg.DagsterEventType = dg.DagsterEventType.RUN_SUCCESS,
) -> str:
    """A content run that ended at `at`."""
    run_id = add_run(instance, "daily_content", dg.DagsterRunStatus.STARTED, site=site, day=day)
    instance.handle_run_event(run_id, dg.DagsterEvent(event.value, "daily_content"), at)
    return run_id


def ago(seconds: float) -> dt.datetime:
    return dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "event", [dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED], ids=lambda e: e.value
)
def test_a_content_run_gets_one_report_however_it_ended(instance: dg.DagsterInstance, store: Store, event: dg.DagsterEventType) -> None:
    add_sites(store, instance, SITE)
    ended(instance, ago(90), site="of-another-database", event=event)
    sensor = Sensor(finished_content, instance)
    assert sensor.tick() == []
    ended(instance, ago(60), event=event)
    assert sensor.tick() == [("brew", "2026-11-20")]
    cursor = sensor.cursor
    assert cursor
    assert sensor.tick() == []
    ended(instance, ago(30), event=event)
    assert sensor.tick() == [("brew", "2026-11-20")], "the day ran once more: its report is old"
    assert sensor.cursor
    assert dt.datetime.fromisoformat(sensor.cursor) > dt.datetime.fromisoformat(cursor)


def reported(store: Store) -> None:
    with store.transaction() as session:
        keys = dict.fromkeys(("html", "json", "markdown"), "key")
        save_report(session, SITE, DAY, document={}, version="1", keys=keys, run_id=None)


def test_a_run_with_a_newer_report_wants_none(instance: dg.DagsterInstance, store: Store) -> None:
    """`pressroom run` makes the report itself."""
    add_sites(store, instance, SITE)
    ended(instance, ago(60))
    reported(store)
    sensor = Sensor(finished_content, instance)
    assert sensor.tick() == []
    assert sensor.said == "the reports of 1 ended runs are there"


@pytest.mark.long
def test_a_tag_on_a_run_that_ended_long_ago_is_no_second_end(instance: dg.DagsterInstance, store: Store) -> None:
    """The retry daemon tags failed runs when it looks at them: for Dagster that is an update, and newer than the report."""
    add_sites(store, instance, SITE)
    run_id = ended(instance, ago(60), event=dg.DagsterEventType.RUN_FAILURE)
    reported(store)
    sensor = Sensor(finished_content, instance)
    sensor.tick()
    instance.add_run_tags(run_id, {"dagster/did_retry": "true"})
    time.sleep(5.1)  # a tick lets what is younger settle
    assert sensor.tick() == []
    assert sensor.said == "the reports of 1 ended runs are there"


def test_a_run_that_ended_a_moment_ago_is_left_to_the_next_tick(instance: dg.DagsterInstance, store: Store) -> None:
    """Its neighbour's end may carry an earlier moment and be written later: the cursor must not be past it."""
    add_sites(store, instance, *(SITE.model_copy(update={"slug": slug}) for slug in ("late", "early")))
    ended(instance, ago(1), site="late")
    sensor = Sensor(finished_content, instance)
    assert sensor.tick() == []
    ended(instance, ago(20), site="early")
    assert sensor.tick() == [("early", "2026-11-20")]
    assert sensor.cursor
    assert dt.datetime.fromisoformat(sensor.cursor) < ago(5)


@pytest.mark.parametrize(("alone", "together", "after"), [(90, 25, 15), (0, 110, 0)])
@pytest.mark.long
def test_many_runs_that_ended_at_once_all_get_their_report(
    instance: dg.DagsterInstance, store: Store, alone: int, together: int, after: int
) -> None:
    """More than the hundred that a tick looks at, with one moment of many runs across the end of its look."""
    start = ago(3600)
    moments = [*range(alone), *[alone] * together, *range(alone + 1, alone + 1 + after)]
    add_sites(store, instance, *(SITE.model_copy(update={"slug": f"site-{number:03}"}) for number in range(len(moments))))
    for number, moment in enumerate(moments):
        ended(instance, start + dt.timedelta(microseconds=moment), site=f"site-{number:03}")
    sensor = Sensor(finished_content, instance)
    requested = [[site for site, _ in sensor.tick()] for _ in range(3)]
    assert [len(names) for names in requested] == [alone + together, after, 0]
    assert sorted(itertools.chain(*requested)) == [f"site-{number:03}" for number in range(len(moments))]


# --- lost runs


def started(instance: dg.DagsterInstance, at: dt.datetime, *, site: str = "brew") -> str:
    run_id = add_run(instance, "daily_content", dg.DagsterRunStatus.STARTING, site=site)
    instance.handle_run_event(run_id, dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "daily_content"), at)
    return run_id


def test_a_run_whose_process_died_is_failed_by_the_second_tick_that_finds_its_site_free(instance: dg.DagsterInstance, store: Store) -> None:
    add_sites(store, instance, SITE)
    died = started(instance, ago(600))
    sensor = Sensor(lost_runs, instance)
    sensor.tick()
    assert status_of(instance, died) == dg.DagsterRunStatus.STARTED, "after a restart of the database a living run takes its lock again"
    sensor.tick()
    assert status_of(instance, died) == dg.DagsterRunStatus.FAILURE
    assert died in sensor.said
    sensor.tick()
    assert sensor.said == "0 runs at work, none lost"


def test_a_run_that_holds_its_site_or_is_young_is_let_be(instance: dg.DagsterInstance, store: Store) -> None:
    other = SITE.model_copy(update={"slug": "teahouse"})
    add_sites(store, instance, SITE, other)
    holding, young = started(instance, ago(600)), started(instance, ago(30), site="teahouse")
    sensor = Sensor(lost_runs, instance)
    with hold_site(store, SITE.id, holding, wait_s=1, on_wait=print):
        for _ in range(3):
            sensor.tick()
        assert status_of(instance, holding) == status_of(instance, young) == dg.DagsterRunStatus.STARTED
    sensor.tick()
    with hold_site(store, SITE.id, holding, wait_s=1, on_wait=print):
        sensor.tick()
    sensor.tick()
    assert status_of(instance, holding) == dg.DagsterRunStatus.STARTED, "two ticks in a row"
    sensor.tick()
    assert status_of(instance, holding) == dg.DagsterRunStatus.FAILURE
    assert status_of(instance, young) == dg.DagsterRunStatus.STARTED
