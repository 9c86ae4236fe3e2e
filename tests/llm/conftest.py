"""The hosted path on loopback: the real SDK, the simulated endpoint, the real ledger."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal

import pytest
import sqlalchemy as sa
from pydantic import BaseModel, SecretStr

from pressroom.llm.gateway import Exchange
from pressroom.llm.models import OneRoute
from pressroom.llm.offline_provider import OfflineProvider
from pressroom.llm.openai_provider import OpenAIProvider
from pressroom.llm.pace import Lane, Rules
from pressroom.llm.types import Budget, Limits, Provider, Request, Routes, Scope
from pressroom.records import stable_id
from pressroom.store.calls import Ledger
from pressroom.store.engine import Store
from pressroom.store.lanes import LaneBook
from pressroom.store.locks import OwnerLock
from pressroom.store.tables import AccountRow, ModelLaneRow, SiteRow
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
            pace: Rules | None = None,
            in_flight: int = 15,
            first_wait_s: float = 0.01,
            longest_wait_s: float = 60,
            item_usd: Decimal | None = None,
            budget: Budget | None = None,
            offline: bool = False,
            background: bool = False,
            fallback: str | None = None,
            routes: Routes | None = None,
            ledger_type: type[Ledger] = Ledger,
        ) -> Exchange:
            def hosted(name: str) -> OpenAIProvider:
                key, url = SecretStr(KEY), simulator.base_url
                return OpenAIProvider(key=key, base_url=url, model=name, api=api, background=background)  # type: ignore[arg-type]

            providers: list[Provider] = [OfflineProvider()] if offline else [hosted(name) for name in (model, fallback) if name]
            asked = routes or OneRoute(*providers)
            for provider in asked.providers():
                provider.warm_up()  # the SDK's import takes 0.9 s, and more beside other tests: a deadline of half a second is not for that
            owner = stack.enter_context(OwnerLock(store))
            limits = Limits(
                pace or Rules(in_flight=in_flight),
                timeout_s=timeout_s,
                tries=tries,
                first_wait_s=first_wait_s,
                longest_wait_s=longest_wait_s,
                item_usd=item_usd,
            )
            lanes = LaneBook(store, owner)
            return stack.enter_context(Exchange(asked, ledger_type(store, owner), lanes, limits=limits, budget=budget))

        yield make


@pytest.fixture
def pass_time(store: Store) -> Callable[[float], None]:
    """Makes so many seconds pass for all lanes, without waiting: what they know of becomes older by that."""
    past = ("resume_at", "answered_at", "failing_since", "failed_at", "open_until", "probe_until")

    def older(lane: Lane, seconds: float) -> Lane:
        news: dict[str, object] = {name: getattr(lane, name) - seconds for name in past if getattr(lane, name)}
        news["sent"] = tuple(each._replace(at=each.at - seconds) for each in lane.sent)
        for name in ("requests", "tokens"):
            if quota := getattr(lane, name):
                news[name] = quota.model_copy(update={"seen_at": quota.seen_at - seconds})
        return lane.model_copy(update=news)

    def make_older(seconds: float) -> None:
        with store.transaction() as session:
            for row in session.scalars(sa.select(ModelLaneRow).with_for_update()):
                row.state = older(Lane.of(row.state), seconds).model_dump(mode="json", exclude_defaults=True)

    return make_older


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
