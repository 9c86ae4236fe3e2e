"""Real parts for the tests: one embedded PostgreSQL for all workers, and a migrated, empty database for each test."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import hypothesis
import psycopg
import pytest
from pydantic import SecretStr

from pressroom.settings import Settings
from pressroom.store.embedded import ensure_server, stop_server
from pressroom.store.engine import Store, open_store
from tests.databases import Databases

# Nothing of the developer's own settings may decide a test.
HOME_VARIABLE = "PRESSROOM_TESTS_HOME"
for name in list(os.environ):
    if name.startswith(("PRESSROOM_", "OPENAI_", "REPLICATE_", "AWS_", "DAGSTER_", "PG")) and name != HOME_VARIABLE:
        del os.environ[name]
Settings.model_config["env_file"] = None
os.environ["PYTHONPATH"] = sys.path[0]  # for the processes that tests start, in whatever folder

# The same examples in every run: a law that breaks is found by whoever changes it, not by whoever comes next. HYPOTHESIS_PROFILE=explore
# looks for new ones.
hypothesis.settings.register_profile("same", derandomize=True)
hypothesis.settings.register_profile("explore", max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# A test run that is killed leaves its server to this idle time.
IDLE_S = 120


def pytest_configure(config: pytest.Config) -> None:
    """The first process names the folder; the workers of xdist inherit it."""
    if not hasattr(config, "workerinput"):
        os.environ[HOME_VARIABLE] = tempfile.mkdtemp(prefix="pressroom-tests-")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and (home := os.environ.pop(HOME_VARIABLE, None)):
        stop_server(Path(home))
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def server() -> str:
    """URL of the tests' server, for the databases `template` and those made from it. Workers share it."""
    url = ensure_server(Path(os.environ[HOME_VARIABLE]), idle_s=IDLE_S)
    with psycopg.connect(plain(url, "postgres"), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(1)")
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = 'template'").fetchone() is None:
            # The data of a test is worth nothing after it: no waiting for the disk.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("ALTER SYSTEM SET autovacuum = off")  # it would hold the template while a test copies it
            connection.execute("SELECT pg_reload_conf()")
            connection.execute("DROP DATABASE IF EXISTS being_migrated")
            connection.execute("CREATE DATABASE being_migrated")
            open_store(Settings(database_url=SecretStr(url.replace("/pressroom?", "/being_migrated?")))).close()
            connection.execute("ALTER DATABASE being_migrated RENAME TO template")
    return url


@pytest.fixture(scope="session")
def databases(server: str) -> Iterator[Databases]:
    made = Databases(lambda name: plain(server, name))
    yield made
    made.close()


@pytest.fixture
def database_url(server: str, databases: Databases) -> Iterator[str]:
    """`postgresql+psycopg://` URL of a migrated, empty database of the test's own."""
    name = databases.take()
    yield server.replace("/pressroom?", f"/{name}?")
    databases.give_back(name)


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """Settings with a home and a database of the test's own, without any key: the offline writer."""
    return Settings(home=tmp_path / "home", database_url=SecretStr(database_url), llm="offline")


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """A store on the test's own database."""
    with open_store(settings) as opened:
        yield opened


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """The environment of `settings` for a process that a test starts. Start it in `tmp_path`, so that it finds no .env."""
    assert settings.database_url
    return os.environ | {
        "PRESSROOM_HOME": str(settings.home),
        "PRESSROOM_DATABASE_URL": settings.database_url.get_secret_value(),
        "PRESSROOM_LLM": "offline",
    }


@pytest.fixture
def here(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs in this process reads the test's settings from the environment."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def plain(url: str, database: str) -> str:
    """The URL for psycopg itself, on another database of the same server."""
    return url.replace("postgresql+psycopg://", "postgresql://").replace("/pressroom?", f"/{database}?")
