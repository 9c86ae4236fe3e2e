"""Real parts for the benchmarks: the simulated endpoint in a process of its own, PostgreSQL in a folder of its own, the gateway between."""

import gc
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import cycle
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from pressroom.llm.budget import RunBudget
from pressroom.llm.gateway import Exchange
from pressroom.llm.models import model_routes
from pressroom.llm.pace import Rules
from pressroom.llm.schema import strict_schema
from pressroom.llm.types import Limits, Request, T
from pressroom.platforms.base import DraftBrief
from pressroom.platforms.registry import platforms
from pressroom.records import Idea, Keyword
from pressroom.settings import Settings
from pressroom.store.calls import Ledger
from pressroom.store.embedded import stop_server
from pressroom.store.engine import Store, open_store
from pressroom.store.lanes import LaneBook
from pressroom.store.locks import OwnerLock
from pressroom.writer.drafts import first_request
from tests.samples import SITE, an_idea

ROOT = Path(__file__).resolve().parents[1]
OWN = ("PRESSROOM_", "OPENAI_", "DAGSTER_", "REPLICATE_", "AWS_", "PG", "CELERY_", "BENCH_")  # variables that settings are read from
A_LOT_USD = Decimal(1000)
KEY = "sk-bench-0123456789"
MODEL = "gpt-4.1-mini"
KEYWORD = Keyword(phrase="coffee grinder", normalised="coffee grinder", volume=9900)  # the one of the samples' ideas
# As `pressroom` on the command line, whatever is installed.
PRESSROOM = (sys.executable, "-c", "import sys; from cli.main import main; sys.argv = sys.argv[1:]; main()", "pressroom")


@dataclass(frozen=True)
class Endpoint:
    """The simulated endpoint, as another process sees it."""

    base_url: str

    def stats(self) -> dict[str, Any]:
        return self._call("/_stats")

    def reset(self) -> None:
        """Forgets what was asked: counts begin at zero, and so does the limit of requests that it tells its clients."""
        self._call("/_control", {"reset": True})

    def _call(self, path: str, document: Any = None) -> dict[str, Any]:
        body = None if document is None else json.dumps(document).encode()
        with urllib.request.urlopen(self.base_url.removesuffix("/v1") + path, body, timeout=10) as reply:
            found: dict[str, Any] = json.load(reply)
        return found


@contextmanager
def endpoint(latency_s: float, *, answers: str = "tests.answers:answers") -> Iterator[Endpoint]:
    """An endpoint whose answers take `latency_s` seconds and, unless others are named, keep the platforms' rules."""
    options = ("--port", "0", "--latency", str(latency_s), "--answers", answers)
    command = [sys.executable, "-m", "simulators.openai", *options]
    with subprocess.Popen(command, cwd=ROOT, env=_inherited(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            name, _, url = process.stdout.readline().strip().partition("=")
            if name != "OPENAI_BASE_URL":
                raise SystemExit("bench: the simulated endpoint did not start")
            yield Endpoint(url)
        finally:
            process.kill()


@contextmanager
def home() -> Iterator[Path]:
    """A folder for a PostgreSQL server, which is stopped at the end. From here on nothing of the developer's own settings counts.

    Processes keep their compiled modules there too, so that the second start of each is as on a machine where Pressroom is in use:
    where Python is told to keep none, as in many containers, an import compiles all it needs, which takes three times as long.
    """
    for name in [name for name in os.environ if name.startswith(OWN)]:
        del os.environ[name]
    Settings.model_config["env_file"] = None
    with tempfile.TemporaryDirectory(prefix="pressroom-bench-") as folder:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(Path(folder) / "compiled")
        try:
            yield Path(folder)
        finally:
            stop_server(Path(folder))


def store_in(folder: Path) -> Store:
    """The store of that folder, migrated."""
    return open_store(Settings(home=folder))


@contextmanager
def exchange(store: Store, base_url: str, *, in_flight: int) -> Iterator[Exchange]:
    """The calls of one run to the endpoint, as the settings alone make them, its client imported and made.

    The one place here that knows how an exchange is made.
    """
    settings = Settings(llm="openai", llm_model=MODEL, openai_api_key=SecretStr(KEY), openai_base_url=base_url)
    limits = Limits(Rules(in_flight=in_flight), item_usd=settings.item_limit_usd)
    routes, budget = model_routes(settings), RunBudget(A_LOT_USD)
    for provider in routes.providers():
        provider.warm_up()
    gc.freeze()  # as definitions.py does, in whose processes runs are
    with OwnerLock(store) as owner, Exchange(routes, Ledger(store, owner), LaneBook(store, owner), limits=limits, budget=budget) as made:
        yield made


def ideas(count: int, *, call: str) -> list[Idea]:
    """So many ideas of the samples' site; `call` is a booked call, for their rows."""
    return [an_idea(ordinal, call=call) for ordinal in range(1, count + 1)]


def brief(idea: Idea) -> DraftBrief:
    """What a draft of the idea is written from."""
    return DraftBrief(site=SITE, idea=idea, keywords=(KEYWORD,))


def draft_requests(count: int) -> list[Request[BaseModel]]:
    """So many requests for drafts, each platform in turn, as the writer makes them: 4,000 characters asked, 300 to 1,200 answered."""
    kinds = cycle(platforms().values())
    return [first_request(brief(idea), platform) for idea, platform in zip(ideas(count, call="bench"), kinds, strict=False)]


def parameters(request: Request[T]) -> dict[str, Any]:
    """What the gateway sends for `request`, as the SDK's arguments for `responses.create`."""
    answer = request.answer
    asked = {
        "model": MODEL,
        "instructions": request.instructions,
        "input": request.input,
        "text": {"format": {"type": "json_schema", "name": answer.__name__, "schema": strict_schema(answer), "strict": True}},
        "store": False,
        "temperature": request.temperature,
        "max_output_tokens": request.max_output_tokens,
    }
    return {name: value for name, value in asked.items() if value is not None}


def environment(**settings: str) -> dict[str, str]:
    """The environment of a process that is measured: `settings`, and nothing of the developer's own."""
    hosted = {"PRESSROOM_LLM": "openai", "PRESSROOM_LLM_MODEL": MODEL, "OPENAI_API_KEY": KEY}
    return _inherited() | hosted | settings


def wait_until(holds: Callable[[], bool], *, within_s: float, what: str, look_every_s: float = 0.02) -> float:
    """The seconds until `holds()`. Ends the benchmark when they are more than `within_s`."""
    begin = time.perf_counter()
    while not holds():
        if time.perf_counter() - begin > within_s:
            raise SystemExit(f"bench: {what}: not within {within_s:g} s")
        time.sleep(look_every_s)
    return time.perf_counter() - begin


def line(name: str, figure: str, ratio: str = "", *, target: str = "", met: bool = True) -> None:
    """Prints one result: `bench.NAME: figure = ratio × yardstick (target ...)`."""
    end = f" (target {target}{'' if met else ': missed'})" if target else ""
    print(f"bench.{name}: {figure}{f' = {ratio}' if ratio else ''}{end}", flush=True)


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(OWN)} | {"PYTHONPATH": str(ROOT)}
