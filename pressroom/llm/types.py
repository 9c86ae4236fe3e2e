"""What goes into the gateway and what comes out of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Generic, Literal, Protocol, TypeVar
from uuid import UUID

from pydantic import BaseModel, JsonValue

from pressroom.records import Usage

T = TypeVar("T", bound=BaseModel)
Outcome = Literal["valid", "invalid", "refusal", "incomplete", "filtered"]


@dataclass(frozen=True)
class Request(Generic[T]):
    """One question to a model. `offline` answers it on this machine when no hosted model is set.

    `instructions` is the stable part (role, rules, brand), `input` the part that changes; untrusted text
    stands in delimited data blocks of `input` only. `item` names what the answer is for, so that the same words
    for another item are another request.
    """

    purpose: str
    item: str
    prompt_id: str
    prompt_version: str
    instructions: str
    input: str
    answer: type[T]
    offline: Callable[[], T]
    temperature: float | None = None
    max_output_tokens: int | None = None


@dataclass(frozen=True)
class Answer(Generic[T]):
    """One booked answer. `value` is there only when `outcome` is "valid"; `text` is what the model said, as it came."""

    outcome: Outcome
    value: T | None
    text: str
    call: str  # request hash: the ledger's key
    model: str  # "offline" where this machine answered
    replayed: bool
    usage: Usage
    cost_usd: Decimal | None  # None: no price is known for the model
    problem: str = ""  # why there is no value, in one line


@dataclass(frozen=True)
class RawAnswer:
    """What came over the wire, before anything is parsed. `usage` is None where the endpoint did not say, or said nonsense."""

    body: dict[str, JsonValue]
    usage: Usage | None


class Provider(Protocol):
    """Sends one request and returns the raw answer. Raises Transient or Permanent; never retries by itself.

    `name` is who answers: an answer of one is never replayed as another's. All calls come from one event loop.
    """

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> str: ...

    def warm_up(self) -> None:
        """Loads what `send` needs; safe to call in a thread, and twice."""
        ...

    async def send(self, request: Request[T]) -> RawAnswer: ...

    def read(self, body: Mapping[str, JsonValue]) -> tuple[Outcome, str, str]:
        """Outcome so far ("valid" when the text is whole), text and problem of a booked body."""
        ...

    def largest(self, request: Request[T]) -> Usage:
        """The most tokens that the call can take, for a budget."""
        ...

    def price(self, usage: Usage) -> Decimal | None:
        """Cost in USD; None when no price is known for the model."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Scope:
    """Whose calls these are. `generation` is empty, or the root run's id of a run that asks everything afresh."""

    account_id: UUID
    site_id: UUID
    run_id: str | None = None
    asset: str | None = None
    generation: str = ""


@dataclass(frozen=True)
class Limits:
    """How the gateway goes about its calls. `waits` are the seconds before the second, third, ... try."""

    in_flight: int = 15
    timeout_s: float = 30.0
    waits: tuple[float, ...] = (1.0, 2.0, 4.0)
    tries: int = 3
    longest_wait_s: float = 60.0


class Budget(Protocol):
    """Says no before money is spent. Amounts are in USD; both methods are called from one thread."""

    def reserve(self, most: Decimal | None, model: str) -> None:
        """Sets the most that a call can cost aside; None: no price is known for the model. Raises OverBudget."""
        ...

    def settle(self, most: Decimal | None, cost: Decimal | None) -> None:
        """Gives a reservation back and counts what the call did cost."""
        ...


class Asks(Protocol):
    """The gateway as the desks see it."""

    async def ask(self, request: Request[T]) -> Answer[T]: ...
