"""Ways to ask: answers from a script, and the real gateway before the simulated endpoint or the offline writer."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import SecretStr

from pressroom.llm.gateway import Exchange, Gateway
from pressroom.llm.models import OneRoute
from pressroom.llm.offline_provider import OfflineProvider
from pressroom.llm.openai_provider import OpenAIProvider
from pressroom.llm.pace import Rules
from pressroom.llm.types import Answer, Limits, Outcome, Provider, Request, Scope, T
from pressroom.records import Site, Usage
from pressroom.store.calls import Ledger
from pressroom.store.engine import Store
from pressroom.store.lanes import LaneBook
from pressroom.store.locks import OwnerLock
from pressroom.store.sites import apply_site
from simulators.openai import OpenAISimulator

Script = Callable[[int, Request[Any]], Any]  # the number of the request, from 1, and the request


class Scripted:
    """Answers as the script says: an answer's value, an outcome ("refusal"), or an error to raise. Without a script, offline."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script
        self.requests: list[Request[Any]] = []

    async def ask(self, request: Request[T]) -> Answer[T]:
        self.requests.append(request)
        said = self.script(len(self.requests), request) if self.script else request.offline()
        call = hashlib.sha256(f"{request.item}\n{request.instructions}\n{request.input}".encode()).hexdigest()
        if isinstance(said, Exception):
            raise said
        outcome: Outcome = said if isinstance(said, str) else "valid"  # type: ignore[assignment]
        value = None if isinstance(said, str) else said
        problem = f"the model ended with {said}" if isinstance(said, str) else ""
        text = value.model_dump_json() if value else ""
        return Answer(outcome, value, text, call, "scripted" if self.script else "offline", False, Usage(), None, problem)


@contextmanager
def gateway_of(
    store: Store, site: Site, simulator: OpenAISimulator | None = None, *, in_flight: int = 15, tries: int = 2
) -> Iterator[Gateway]:
    """A run's gateway for the site: to the simulator, or to the offline writer without one."""
    with store.transaction() as session:
        apply_site(session, site)
    hosted = simulator and OpenAIProvider(key=SecretStr("sk-test"), base_url=simulator.base_url, model="gpt-4.1-mini")
    provider: Provider = hosted or OfflineProvider()
    limits = Limits(Rules(in_flight=in_flight), tries=tries, first_wait_s=0.01, timeout_s=5)
    with (
        OwnerLock(store) as owner,
        Exchange(OneRoute(provider), Ledger(store, owner), LaneBook(store, owner), limits=limits) as exchange,
    ):
        yield exchange.gateway(Scope(site.account_id, site.id, run_id="run-1", asset="test"))
