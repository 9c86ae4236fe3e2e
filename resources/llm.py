"""The model gateway as a Dagster resource: one exchange for a run, a gateway for each asset."""

import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

import dagster as dg
from pydantic import Field, PrivateAttr

from pressroom.llm.embeddings import Embedder, OnDevice
from pressroom.llm.gateway import Exchange, Gateway
from pressroom.llm.hosted_embeddings import HostedEmbedder, open_space
from pressroom.llm.models import model_routes
from pressroom.llm.openai_embeddings import OpenAIEmbeddings, ask_for_vectors
from pressroom.llm.opening import open_exchange
from pressroom.llm.types import Routes, Scope
from pressroom.settings import Settings, load_settings
from pressroom.store.runs import SiteDay, Step, generations_of


class LLMResource(dg.ConfigurableResource):
    """Who writes: the models of the table (PRESSROOM_MODELS) at their endpoints, or this machine (PRESSROOM_LLM)."""

    fresh: bool = Field(
        default=False, description="Ask the models anew instead of replaying booked answers; a retry of this run replays its own."
    )
    regenerate: list[str] = Field(
        default_factory=list, description="Items to ask anew while all others are replayed, such as <idea id>/x for a draft."
    )
    batch: bool = Field(
        default=False,
        description="Send what is not booked as a batch: half the price, answers within 24 hours; the run ends without what waits, and a "
        "sensor goes on with the day when the answers are there.",
    )

    _settings: Settings = PrivateAttr()
    _routes: Routes = PrivateAttr()
    _stack: ExitStack = PrivateAttr()
    _exchange: Exchange | None = PrivateAttr(default=None)
    _generations: tuple[str, dict[str, str]] = PrivateAttr(default=("", {}))

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator["LLMResource", None, None]:
        self._settings = load_settings()
        self._routes = model_routes(self._settings)
        # The SDK's import takes 0.9 s: it goes on beside the keywords and the clusters.
        threading.Thread(target=self._warm_up, name="pressroom warm-up", daemon=True).start()
        with ExitStack() as stack:
            self._stack = stack
            yield self

    def embedder(self, desk: SiteDay, step: Step) -> Embedder:
        """Who makes the step's vectors: this machine, or the endpoint of the table's purpose `embedding`."""
        (provider,) = self._routes.of("embedding").providers
        if not isinstance(provider, OpenAIEmbeddings):
            return OnDevice()
        gateway = self.gateway(desk, step)
        scope = replace(gateway.scope, generation="")  # the same text has the same vector: nothing of it is made afresh
        site, house = (Gateway(gateway.exchange, each, step.tally) for each in (scope, replace(scope, site_id=None)))
        ask, ask_house = (partial(ask_for_vectors, asks, provider.dimension) for asks in (site, house))
        return HostedEmbedder(open_space(provider.space, ask_house, desk.store), ask, desk.store, desk.site)

    def gateway(self, desk: SiteDay, step: Step) -> Gateway:
        """What the step asks its models through; calls and costs are counted on the step."""
        if self._exchange is None:
            self._exchange = self._stack.enter_context(open_exchange(self._settings, desk.store, self._routes, batch=self.batch))
            self._generations = generations_of(desk, fresh=self.fresh, regenerate=self.regenerate)
        generation, regenerated = self._generations
        scope = Scope(desk.site.account_id, desk.site.id, desk.run.id, step.asset, generation, regenerated, desk.day)
        return self._exchange.gateway(scope, step.tally)

    def _warm_up(self) -> None:
        for provider in self._routes.providers():
            provider.warm_up()
