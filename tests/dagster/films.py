"""Films for the tests of whole runs: made once, uploaded, seen by the sensor, and screened by the real job."""

import datetime as dt
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import jsonschema
import pytest
import sqlalchemy as sa
from dagster._core.remote_origin import RemoteJobOrigin

from content_assets.partitions import PARTITION_TAG
from definitions import defs
from pressroom.records import Video
from pressroom.settings import Settings, load_settings
from pressroom.store.engine import Store
from pressroom.store.sites import apply_site
from pressroom.store.videos import video_by_key
from resources.objects import ObjectsResource
from resources.store import TRIGGER_TAG, StoreResource
from schedules.reconcile_uploads import reconcile_uploads
from sensors.new_uploads import new_uploads
from simulators.replicate import ReplicateSimulator
from tests.dagster.conftest import ORIGIN, ROOT
from tests.samples import SITE
from tests.videos import Clip, Picture, Sound, make, moving, noise, silence

RESOURCES = {"store": StoreResource(), "objects": ObjectsResource()}
TOKEN = "r8_test_4f9c2d7e81a0b3c6"
RED = (220, 30, 30)


@pytest.fixture
def hosted(here: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ReplicateSimulator]:
    """All detectors by hosted models, simulated: they find what is painted, and count what they are asked."""
    table = tmp_path / "detectors.yaml"
    table.write_text("detectors: {transcript: {}, screen_text: {}}")
    with ReplicateSimulator(token=TOKEN) as simulator:
        monkeypatch.setenv("REPLICATE_API_TOKEN", TOKEN)
        monkeypatch.setenv("REPLICATE_BASE_URL", simulator.base_url)
        monkeypatch.setenv("PRESSROOM_DETECTORS", str(table))
        yield simulator


def calm(time: float, width: int, height: int) -> Picture:
    """Bars that wander, in colours in which the simulated models see nothing."""
    return moving(time, width, height)[..., ::-1]


def alarming(time: float, width: int, height: int) -> Picture:
    """As `calm`, but from the second second to the third the simulated models see violence and a weapon."""
    picture = calm(time, width, height).copy()
    if 2 <= time < 3:
        picture[height // 3 :] = RED
    return picture


def film(folder: Path, name: str = "film.mp4", **changes: Any) -> Path:
    """A film of 4 s with sound, 160 × 90."""
    folder.mkdir(parents=True, exist_ok=True)
    sound = Sound(noise(4, rate=16_000, level=0.2), rate=16_000)
    return make(folder / name, Clip(**({"paint": alarming, "sound": sound} | changes)))


def calm_film(folder: Path, name: str = "calm.mp4") -> Path:
    """Two seconds, silent, in which there is nothing to find."""
    return film(folder, name, paint=calm, seconds=2.0, sound=Sound(silence(2, rate=16_000), rate=16_000))


def upload(path: Path, name: str = "film.mp4", *, site: str = "brew", day: dt.date | None = None, age_s: float = 60) -> str:
    """Puts the file under the day's uploads, last written `age_s` seconds ago; its object key."""
    day = day or dt.datetime.now(dt.UTC).date()
    key = f"uploads/{day:%Y/%m/%d}/{site}/{name}"
    target = load_settings().objects_folder / key
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
    os.utime(target, (time.time() - age_s,) * 2)
    return key


class Intake:
    """The sensor as the daemon drives it: with its cursor, and a run key only once."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.cursor: str | None = None
        self.run_keys: set[str | None] = set()
        self.said = ""

    def tick(self) -> list[str]:
        """The keys of the videos whose runs the tick asks for, for the first time."""
        with dg.build_sensor_context(self.instance, self.cursor, resources=RESOURCES) as context:
            told = new_uploads(context)
        assert isinstance(told, dg.SensorResult)
        self.cursor, self.said = told.cursor, told.skip_reason.skip_message or "" if isinstance(told.skip_reason, dg.SkipReason) else ""
        requests = [request for request in told.run_requests or [] if request.run_key not in self.run_keys]
        self.run_keys |= {request.run_key for request in requests}
        return [str(request.partition_key) for request in requests]


def reconciled(instance: dg.DagsterInstance) -> str:
    """What the daily schedule says."""
    with dg.build_schedule_context(instance, resources=RESOURCES) as context:
        told = reconcile_uploads(context)
    assert isinstance(told, dg.SkipReason)
    return told.skip_message or ""


def arrived(instance: dg.DagsterInstance, store: Store, *paths: Path) -> list[str]:
    """The keys of films that were uploaded to the site and seen, in the order of the paths."""
    with store.transaction() as session:
        apply_site(session, SITE)
    objects = [upload(path, path.name, age_s=60 + len(paths) - number) for number, path in enumerate(paths)]
    Intake(instance).tick()
    with store.transaction() as session:
        found = dict(session.execute(sa.text("SELECT object_key, key FROM videos")).all())  # type: ignore[arg-type]
    return [found[key] for key in objects]


def screen(
    instance: dg.DagsterInstance,
    key: str,
    *assets: dg.AssetKey,
    job: str = "screen_video",
    trigger: str = "command",
    config: dict[str, Any] | None = None,
) -> dg.ExecuteInProcessResult:
    """A run of the job, or of some of its assets, in this process; one that a command started, unless it says otherwise."""
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}} | (config or {})
    chosen = {"asset_selection": assets} if assets else {}
    return defs.resolve_job_def(job).execute_in_process(
        instance=instance, partition_key=key, run_config=quiet, raise_on_error=False, tags={TRIGGER_TAG: trigger}, **chosen
    )


def succeeded(result: dg.ExecuteInProcessResult) -> dg.ExecuteInProcessResult:
    """The result itself, of a run that must not fail."""
    failed = [event.step_failure_data.error_display_string for event in result.all_events if event.is_step_failure]
    assert result.success, "\n".join(failed)
    return result


def video(store: Store, key: str) -> Video:
    with store.transaction() as session:
        return video_by_key(session, key)[0]


def add_video_run(instance: dg.DagsterInstance, key: str, status: dg.DagsterRunStatus, job: str = "screen_video") -> str:
    """A run that stands in Dagster's books; nothing executes it."""
    origin = RemoteJobOrigin(ORIGIN, job)
    return instance.add_run(dg.DagsterRun(job_name=job, status=status, tags={PARTITION_TAG: key}, remote_job_origin=origin)).run_id


def report(settings: Settings, store: Store, key: str) -> dict[str, Any]:
    """The report's JSON, which keeps its published schema."""
    path = settings.objects_folder / video(store, key).folder / "report" / "report.json"
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(document, json.loads((ROOT / "docs" / "compliance-report.schema.json").read_text(encoding="utf-8")))
    return document
