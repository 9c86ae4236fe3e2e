"""The model gateway as a Dagster resource: one exchange for a run, a gateway for each asset."""

import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from decimal import Decimal

import dagster as dg
from pydantic import Field, PrivateAttr

from pressroom.llm.budget import RunBudget
from pressroom.llm.gateway import Exchange, Gateway
from pressroom.llm.offline_provider import OfflineProvider
from pressroom.llm.openai_provider import OpenAIProvider
from pressroom.llm.types import Limits, Provider, Scope
from pressroom.records import Usage
from pressroom.settings import Settings, load_settings
from pressroom.store.calls import Ledger
from pressroom.store.locks import OwnerLock
from pressroom.store.runs import SiteDay, Step

# A day of one site is some 20 calls, under 0.05 USD with the default model: a hundred times that is a mistake.
DEFAULT_LIMIT_USD = Decimal(5)


class LLMResource(dg.ConfigurableResource):
    """Who writes: the endpoint of OPENAI_API_KEY and OPENAI_BASE_URL, or this machine (PRESSROOM_LLM)."""

    fresh: bool = Field(
        default=False, description="Ask the models anew instead of replaying booked answers; a retry of this run replays its own."
    )

    _settings: Settings = PrivateAttr()
    _provider: Provider = PrivateAttr()
    _stack: ExitStack = PrivateAttr()
    _exchange: Exchange | None = PrivateAttr(default=None)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator["LLMResource", None, None]:
        self._settings = load_settings()
        self._provider = provider(self._settings)
        # The SDK's import takes 0.9 s: it goes on beside the keywords and clusters.
        threading.Thread(target=self._provider.warm_up, name="pressroom warm-up", daemon=True).start()
        with ExitStack() as stack:
            self._stack = stack
            yield self

    def gateway(self, desk: SiteDay, step: Step) -> Gateway:
        """What the step asks its models through; calls and costs are counted on the step."""
        if self._exchange is None:
            ledger = Ledger(desk.store, self._stack.enter_context(OwnerLock(desk.store)))
            limits, budget = Limits(in_flight=self._settings.llm_max_in_flight), budget_of(self._settings, self._provider)
            self._exchange = self._stack.enter_context(Exchange(self._provider, ledger, limits=limits, budget=budget))
        generation = desk.run.root if self.fresh else ""
        scope = Scope(account_id=desk.site.account_id, site_id=desk.site.id, run_id=desk.run.id, asset=step.asset, generation=generation)
        return Gateway(self._exchange, scope, step.tally)


def provider(settings: Settings) -> Provider:
    """Who answers, by the settings."""
    if settings.llm_kind == "offline":
        return OfflineProvider()
    assert settings.openai_api_key  # llm_kind has held it
    return OpenAIProvider(key=settings.openai_api_key, base_url=settings.openai_base_url, model=settings.llm_model, api=settings.llm_api)


def budget_of(settings: Settings, provider: Provider) -> RunBudget | None:
    """The run's limit in money. A model without a known price has one only when the settings ask for it, and is then refused."""
    if settings.run_limit_usd is None and provider.price(Usage()) is None:
        return None
    return RunBudget(settings.run_limit_usd or DEFAULT_LIMIT_USD)
