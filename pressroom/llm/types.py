"""What goes into the gateway and what comes out of it."""

import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Generic, Literal, Protocol, TypeVar
from uuid import UUID

from pydantic import BaseModel, JsonValue

from pressroom.llm.pace import Quota, Rules
from pressroom.records import Usage

T = TypeVar("T", bound=BaseModel)
Outcome = Literal["valid", "invalid", "refusal", "incomplete", "filtered"]
TablePurpose = Literal["idea", "draft", "review", "seo", "naming", "embedding", "image"]  # of the table of models
Purpose = TablePurpose | Literal["transcript", "screen_text", "objects", "nudity", "violence"]  # and the hosted detectors


@dataclass(frozen=True)
class Request(Generic[T]):
    """One question to a model. `offline` answers it on this machine when no hosted model is set.

    `instructions` is the stable part (role, rules, brand), `input` the part that changes; untrusted text
    stands in delimited data blocks of `input` only. `item` names what the answer is for, so that the same words
    for another item are another request. What `temperature` and `max_output_tokens` leave open, the purpose's route fills in.
    """

    purpose: Purpose
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
class Quotas:
    """What the endpoint's `x-ratelimit-*` headers said it has left."""

    requests: Quota | None = None
    tokens: Quota | None = None


@dataclass(frozen=True)
class RawAnswer:
    """What came over the wire, before anything is parsed. `usage` is None where the endpoint did not say, or said nonsense."""

    body: dict[str, JsonValue]
    usage: Usage | None
    quotas: Quotas = field(default_factory=Quotas)


@dataclass
class Ticket:
    """One call's place at the endpoint. `remote_id` is set when the answer is being made there already; `book` writes such an id down."""

    remote_id: str | None
    book: Callable[[str | None], Awaitable[None]]

    async def keep(self, remote_id: str | None) -> None:
        """Remembers under which id the answer is made, also for another process; None: under none."""
        await self.book(remote_id)
        self.remote_id = remote_id


@dataclass(frozen=True)
class RemoteBatch:
    """A batch as its endpoint tells of it. Once it `has_ended`, its results are in `files`; `problem` says why it has none."""

    status: str
    has_ended: bool
    files: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class BatchResult:
    """What became of one request of a batch: a whole answer, or in one line without its words why there is none."""

    key: str
    answer: RawAnswer | None
    error: str = ""


class BatchEndpoint(Protocol):
    """An endpoint that takes requests as a file and answers them within 24 hours, for less. As with `Provider`, nothing is tried twice."""

    def line(self, key: str, request: Request[T]) -> bytes:
        """The request as one line of a file, in the words of `Provider.send`."""
        ...

    async def upload(self, name: str, lines: Sequence[bytes]) -> str:
        """Id of the file of these lines."""
        ...

    async def create(self, name: str, file: str) -> str:
        """Id of the batch that answers the file; from now on it is paid. `name` goes into its metadata."""
        ...

    async def find(self, name: str, since: dt.datetime) -> str | None:
        """Id of the batch of this name, of those created after `since`."""
        ...

    async def look(self, remote_id: str) -> RemoteBatch | None:
        """How the batch stands; None when the endpoint does not know it."""
        ...

    def results(self, file: str) -> AsyncIterator[BatchResult]:
        """The results in one of a batch's files, in no order."""
        ...


class Provider(Protocol):
    """Sends one request and returns the raw answer. Raises Transient or Permanent; never retries by itself.

    `name` is who answers: an answer of one is never replayed as another's. `lane` is what its calls share a pace with, None for none.
    All calls come from one event loop.
    """

    @property
    def name(self) -> str: ...

    @property
    def model(self) -> str: ...

    @property
    def lane(self) -> str | None: ...

    @property
    def batches(self) -> BatchEndpoint | None:
        """Where its requests can be answered in batches; None: nowhere."""
        ...

    def warm_up(self) -> None:
        """Loads what `send` needs; safe to call in a thread, and twice."""
        ...

    async def send(self, request: Request[T], ticket: Ticket) -> RawAnswer: ...

    def read(self, body: Mapping[str, JsonValue]) -> tuple[Outcome, str, str]:
        """Outcome so far ("valid" when the text is whole), text and problem of a booked body."""
        ...

    def largest(self, request: Request[T]) -> Usage:
        """The most tokens that the call can take, for a budget and a pace."""
        ...

    def price(self, usage: Usage, *, batch: bool = False) -> Decimal | None:
        """Cost in USD; None when no price is known for the model."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Route:
    """How a purpose is served: who answers first and who stands in, and what a request leaves open."""

    providers: tuple[Provider, ...]
    temperature: float | None = None
    max_output_tokens: int | None = None
    timeout_s: float | None = None


class Routes(Protocol):
    """The models by purpose."""

    def of(self, purpose: Purpose) -> Route: ...

    def providers(self) -> tuple[Provider, ...]:
        """Every provider that some purpose uses."""
        ...


@dataclass(frozen=True)
class Scope:
    """Whose calls these are: a site's, for a day, or without one the house's own.

    `generation` is empty, or the root run's id of a run that asks everything afresh; `regenerated` has another one for single items.
    """

    account_id: UUID
    site_id: UUID | None
    run_id: str | None = None
    asset: str | None = None
    generation: str = ""
    regenerated: Mapping[str, str] = field(default_factory=dict)
    day: dt.date | None = None

    def generation_of(self, item: str) -> str:
        return self.regenerated.get(item, self.generation)


@dataclass(frozen=True)
class Limits:
    """How the gateway goes about its calls: `pace` holds for all processes on the database, the rest for each call.

    Between two tries it waits a random part of `first_wait_s`, doubled with each try: full jitter, so that what failed together does not
    come again together. `item_usd` bounds what all answers for one item may cost together.
    """

    pace: Rules = field(default_factory=Rules)
    timeout_s: float = 30.0
    tries: int = 4
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    item_usd: Decimal | None = None


@dataclass(frozen=True)
class Charge:
    """What a call can cost at most, in USD (None: no price is known for the model), and what it is for."""

    most: Decimal | None
    model: str
    item: str
    scope: Scope


class Budget(Protocol):
    """Says no before money is spent. Amounts are in USD; both methods are called from one thread."""

    def reserve(self, charge: Charge) -> None:
        """Sets the most that a call can cost aside. Raises OverBudget."""
        ...

    def settle(self, charge: Charge, cost: Decimal | None) -> None:
        """Gives a reservation back and counts what the call did cost; None: the endpoint did not say what it used."""
        ...


class Asks(Protocol):
    """The gateway as the desks see it."""

    async def ask(self, request: Request[T]) -> Answer[T]: ...
