"""The provider that answers on this machine: it asks the request's own composer. Free, and marked as offline everywhere."""

import asyncio
import json
from collections.abc import Mapping
from decimal import Decimal

from pydantic import JsonValue

from pressroom.llm.types import Outcome, RawAnswer, Request, T, Ticket
from pressroom.records import Usage


class OfflineProvider:
    name = "offline"
    model = "offline"
    lane = None
    batches = None

    def warm_up(self) -> None:
        """Nothing to load."""

    async def send(self, request: Request[T], ticket: Ticket) -> RawAnswer:
        composed = await asyncio.to_thread(request.offline)
        return RawAnswer({"answer": composed.model_dump(mode="json", by_alias=True)}, Usage())

    def read(self, body: Mapping[str, JsonValue]) -> tuple[Outcome, str, str]:
        return "valid", json.dumps(body["answer"], ensure_ascii=False), ""

    def largest(self, request: Request[T]) -> Usage:
        return Usage()

    def price(self, usage: Usage, *, batch: bool = False) -> Decimal | None:
        return Decimal(0)

    async def close(self) -> None:
        """Nothing is open."""
