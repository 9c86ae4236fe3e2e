"""Whole runs: the real command, jobs and Dagster instance, against a real database and a simulated endpoint."""

import json
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from content_assets.partitions import DATE_TAG, SITE_TAG, SITES, key_of
from pressroom.records import Site
from pressroom.settings import load_settings
from pressroom.store.engine import Store
from pressroom.store.sites import apply_site
from simulators.openai import OpenAISimulator
from tests.answers import answers
from tests.processes import PROCESSES
from tests.telling import Done

ROOT = Path(__file__).resolve().parents[2]

SITE_FILE = """
slug: brew
name: Brew
domain: brew.example
time_zone: Europe/Lisbon
field: specialty coffee
audience: home baristas
automation:
  ideas_per_day: 3
"""

TOPICS = ["coffee grinder", "espresso machine", "moka pot", "cold brew", "milk frother", "water filter"]
WORDS = ["best {}", "{} price", "how to clean a {}", "{} for beginners", "{} vs capsule", "used {} near me"]
KEYWORDS = "keyword,volume\n" + "".join(f"{word.format(topic)},{100 + len(topic) * len(word)}\n" for topic in TOPICS for word in WORDS)


@dataclass
class Running:
    """A command at work in a process of its own, as a person would start it; a fresh interpreter's imports are measured elsewhere."""

    process: ForkServerProcess
    out: Path
    err: Path

    @property
    def has_ended(self) -> bool:
        return self.process.exitcode is not None

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.join()

    def wait(self, timeout_s: float = 120) -> Done:
        self.process.join(timeout_s)
        assert self.has_ended, f"still running after {timeout_s:g} s: {self.err.read_text()}"
        return Done(self.process.exitcode, self.out.read_text(encoding="utf-8"), self.err.read_text(encoding="utf-8"))


def _command(arguments: tuple[str, ...], folder: Path, environment: dict[str, str], out: Path, err: Path) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    sys.argv = ["pressroom", *arguments]
    from cli.main import main

    main()


@dataclass
class Desk:
    """A folder with its own Dagster instance, database and site, in which `pressroom` is run as a person would."""

    folder: Path
    environment: dict[str, str]

    def start(self, *arguments: str) -> Running:
        out, err = (self.folder / f"{uuid.uuid4()}.{name}" for name in ("out", "err"))
        process = PROCESSES.Process(target=_command, args=(arguments, self.folder, self.environment, out, err))
        process.start()
        return Running(process, out, err)

    def pressroom(self, *arguments: str) -> Done:
        return self.start(*arguments).wait()

    def run(self, *arguments: str, day: str = "2026-11-20") -> dict[str, Any]:
        done = self.pressroom("run", "brew", "--date", day, "--json", *arguments)
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document


@pytest.fixture
def endpoint() -> Iterator[OpenAISimulator]:
    with OpenAISimulator(answers=answers) as simulator:
        yield simulator


@pytest.fixture
def desk(tmp_path: Path, environment: dict[str, str]) -> Callable[..., Desk]:
    """Makes the desk, with the offline writer or with an endpoint."""

    def make(endpoint: OpenAISimulator | None = None) -> Desk:
        dagster = (ROOT / "dagster.yaml").read_text(encoding="utf-8")
        (tmp_path / "dagster.yaml").write_text(dagster, encoding="utf-8")
        (tmp_path / "site.yaml").write_text(SITE_FILE, encoding="utf-8")
        (tmp_path / "keywords.csv").write_text(KEYWORDS, encoding="utf-8")
        hosted = (
            {"PRESSROOM_LLM": "openai", "OPENAI_API_KEY": "sk-test-0123456789", "OPENAI_BASE_URL": endpoint.base_url} if endpoint else {}
        )
        made = Desk(tmp_path, environment | hosted)
        applied = made.pressroom("site", "apply", "site.yaml")
        assert applied.returncode == 0, applied.stderr
        return made

    return make


@pytest.fixture
def instance(tmp_path: Path, here: None) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance of the test's own, in a folder that other processes can open."""
    (tmp_path / "instance").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "instance"), {"telemetry": {"enabled": False}}) as made:
        yield made


@pytest.fixture
def instance_in_memory(here: None) -> Iterator[dg.DagsterInstance]:
    """As `instance`, for this process alone: in a folder each event of a run opens a database and commits to it, half of the run's time."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def inbox_file(name: str, content: str = KEYWORDS, *, site: str = "brew", age_s: float = 60) -> Path:
    """Puts a keyword file that was last written `age_s` seconds ago into the site's inbox."""
    path = load_settings().objects_folder / "sites" / site / "keywords" / "inbox" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def add_sites(store: Store, instance: dg.DagsterInstance, *sites: Site) -> None:
    """Sites that are applied, and that Dagster knows as partitions."""
    with store.transaction() as session:
        for site in sites:
            apply_site(session, site)
    instance.add_dynamic_partitions(SITES, [site.slug for site in sites])


# A queued run knows the code location that will start it.
ORIGIN = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("pressroom"), "__repository__")


def status_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run
    return run.status


def add_run(instance: dg.DagsterInstance, job: str, status: dg.DagsterRunStatus, *, site: str = "brew", day: object = "2026-11-20") -> str:
    """A run that stands in Dagster's books; nothing executes it."""
    run = dg.DagsterRun(
        job_name=job, status=status, tags={SITE_TAG: site, DATE_TAG: str(day)}, remote_job_origin=RemoteJobOrigin(ORIGIN, job)
    )
    return instance.add_run(run).run_id


def in_process(
    instance: dg.DagsterInstance, job: dg.JobDefinition, *assets: dg.AssetKey, site: str = "brew", day: object = "2026-11-20", **run: Any
) -> dg.ExecuteInProcessResult:
    """A run of the job, or of some of its assets, for a site and day in this process."""
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    chosen = {"asset_selection": assets} if assets else {}
    return job.execute_in_process(
        instance=instance, partition_key=key_of(site, day), run_config=quiet, raise_on_error=False, **chosen, **run
    )


def the_failure(result: dg.ExecuteInProcessResult) -> tuple[str, int]:
    """What the one step that failed for good told, and the exit code it asks for."""
    assert not result.filter_events(lambda event: event.is_step_up_for_retry), "a retry cannot help here"
    (failure,) = result.filter_events(lambda event: event.is_step_failure)
    told = failure.step_failure_data.user_failure_data
    assert told, failure.step_failure_data.error_display_string
    return told.description, told.metadata["exit_code"].value
