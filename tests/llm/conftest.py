"""The hosted path on loopback: the real SDK, the simulated endpoint, the real ledger."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from pydantic import BaseModel, SecretStr

from pressroom.llm.gateway import Exchange
from pressroom.llm.offline_provider import OfflineProvider
from pressroom.llm.openai_provider import OpenAIProvider
from pressroom.llm.types import Budget, Limits, Provider, Request, Scope
from pressroom.records import stable_id
from pressroom.store.calls import Ledger
from pressroom.store.engine import Store
from pressroom.store.locks import OwnerLock
from pressroom.store.tables import AccountRow, SiteRow
from simulators.openai import OpenAISimulator

KEY = "sk-test-4f9c2d7e81a0b3c6"


class Post(BaseModel):
    """A short post."""

    title: str
    text: str


@pytest.fixture
def simulator() -> Iterator[OpenAISimulator]:
    with OpenAISimulator() as running:
        yield running


@pytest.fixture
def scope(store: Store) -> Scope:
    """An account and its site, stored, and a run of it."""
    account, site = stable_id("account", "a"), stable_id("site", "harbour")
    with store.transaction() as session:
        session.add(AccountRow(id=account, slug="a"))
        session.flush()
        session.add(SiteRow(id=site, account_id=account, slug="harbour", definition={}))
    return Scope(account, site, run_id="run-1", asset="writer/x_posts")


@pytest.fixture
def exchange(store: Store, simulator: OpenAISimulator) -> Iterator[Callable[..., Exchange]]:
    """Makes the exchange of one run: each with an owner of its own, as another process would have. All are closed at the end."""
    with ExitStack() as stack:

        def make(
            *,
            api: str = "responses",
            model: str = "gpt-4.1-mini",
            tries: int = 3,
            timeout_s: float = 5,
            in_flight: int = 15,
            waits: tuple[float, ...] = (0.01, 0.02),
            longest_wait_s: float = 60,
            budget: Budget | None = None,
            offline: bool = False,
            ledger_type: type[Ledger] = Ledger,
        ) -> Exchange:
            provider: Provider = OpenAIProvider(key=SecretStr(KEY), base_url=simulator.base_url, model=model, api=api)  # type: ignore[arg-type]
            ledger = ledger_type(store, stack.enter_context(OwnerLock(store)))
            limits = Limits(in_flight=in_flight, timeout_s=timeout_s, tries=tries, waits=waits, longest_wait_s=longest_wait_s)
            return stack.enter_context(Exchange(OfflineProvider() if offline else provider, ledger, limits=limits, budget=budget))

        yield make


@pytest.fixture
def ask_for() -> Callable[..., Request[Post]]:
    """A request for a post about some topic."""

    def make(topic: str = "tide tables", *, item: str | None = None, limit: int | None = 400) -> Request[Post]:
        return Request(
            purpose="draft",
            item=item or f"idea/{uuid.uuid5(uuid.NAMESPACE_URL, topic)}",
            prompt_id="x_post",
            prompt_version="0a1b2c3d4e5f",
            instructions="You write short posts for the harbour museum. Keep to the facts that you are given.",
            input=f"Write about {topic}.",
            answer=Post,
            offline=lambda: Post(title=topic.title(), text=f"What the harbour knows of {topic}."),
            temperature=0.7,
            max_output_tokens=limit,
        )

    return make
