"""How fast calls may go out: one decision for all processes that call the same model, made from what they booked together.

Everything here is pure. A lane is one model at one endpoint; `record` writes down what a process saw there, `grant` decides who may send.
Times are seconds by one clock, the database's, so that the clocks of the machines do not matter.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import floor, inf
from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field, ValidationError

from pressroom.records import Record

if TYPE_CHECKING:  # prompts need the types of requests, and no database
    from pressroom.store.lanes import Demand

WINDOW_S = 60.0  # what "a minute" is in a limit
# An endpoint is down after five failures in a row over five seconds: a hiccup hits all that are in flight at once, and passes.
FAILURES, FAILING_FOR_S = 5, 5.0
ROW_S = 60.0  # a call sent longer after the last failure begins a row of its own: last night's failures say nothing this morning
# It is left alone for 15 s, twice as long each time that the one probe fails again. Fast enough for a night's schedule, slow enough
# for an endpoint that is overloaded.
OPEN_S, LONGEST_OPEN_S = 15.0, 300.0
PROBE_S = 60.0  # the longest that one probe may take before another one is sent
LONGEST_PAUSE_S = 3600.0  # nothing that an endpoint or a clock says stops a lane for longer
PATIENCE_S = 60.0  # a longer pause is told to those who wait: the run comes back when it is over
MOST_AT_ONCE = 1_000_000
LOOK_S = 0.1  # how soon to ask again when others hold what is missing: their answers come at any time
LONGEST_LOOK_S = 1.0


class Quota(Record):
    """What an endpoint said it has left, of requests or of tokens: a bucket that is full again `full_in` seconds after `seen_at`."""

    limit: int
    remaining: int
    full_in: float
    seen_at: float = 0.0
    taken: int = 0  # granted since it was seen

    @property
    def rate(self) -> float:
        """How much comes back in a second; never more than the limit in a minute: `remaining` is rounded down, which would flatter it."""
        told = (self.limit - self.remaining) / self.full_in if self.full_in > 0 else inf
        return min(told, self.limit / 60)

    def room(self, now: float) -> float:
        """What is left now. What was seen says nothing any more once the bucket would be full again."""
        if now - self.seen_at >= max(self.full_in, 1.0):
            return inf
        back = (now - self.seen_at) * self.rate if self.limit > self.remaining and now > self.seen_at else 0.0
        return min(float(self.limit), self.remaining + back) - self.taken


class Sent(NamedTuple):
    """Calls of one site that were let go within one second."""

    at: float
    site: str
    requests: int
    tokens: int


class Lane(Record):
    """All that is known of one model at one endpoint."""

    sent: tuple[Sent, ...] = ()  # of the last minute, where a limit is counted by it
    served: Mapping[str, int] = Field(default_factory=dict)  # calls of each site that wants some, beyond those of the least served
    resume_at: float = 0.0  # nothing goes out before
    requests: Quota | None = None
    tokens: Quota | None = None
    answered_at: float = 0.0  # to about a second
    failures: int = 0  # in a row
    failing_since: float = 0.0
    failed_at: float = 0.0
    open_until: float = 0.0  # the circuit: open until then, and from then on one probe decides; 0: closed
    openings: int = 0  # in a row
    probe_until: float = 0.0

    @classmethod
    def of(cls, state: Mapping[str, object]) -> "Lane":
        """The lane as it was booked; a new one where another version of the code booked it in other words."""
        try:
            return cls.model_validate(state)
        except ValidationError:
            return cls()

    def is_open(self, now: float) -> bool:
        return self.open_until > now


@dataclass(frozen=True)
class Rules:
    """The settings' limits; None: none but the endpoint's own."""

    in_flight: int = 15
    rpm: int | None = None
    tpm: int | None = None


@dataclass(frozen=True)
class Report:
    """What one process saw on a lane since it last told. `oldest_s`: the endpoint had been failing for so long when it was noticed."""

    answered: int = 0
    failed: int = 0
    oldest_s: float = 0.0
    retry_after: float | None = None
    requests: Quota | None = None
    tokens: Quota | None = None

    @property
    def is_empty(self) -> bool:
        return self == Report()

    def then(self, later: "Report") -> "Report":
        """Both in one."""
        waits = [wait for wait in (self.retry_after, later.retry_after) if wait is not None]
        return Report(
            answered=self.answered + later.answered,
            failed=self.failed + later.failed,
            oldest_s=max(self.oldest_s, later.oldest_s),
            retry_after=max(waits, default=None),
            requests=later.requests or self.requests,
            tokens=later.tokens or self.tokens,
        )


@dataclass(frozen=True)
class Decision:
    """Calls that may go now, by site. `again_in`: seconds until asking again makes sense.

    Nobody need wait for the rest: the endpoint is down for `closed_for` seconds, after so many `failures`, or wants a pause of
    `paused_for` seconds.
    """

    granted: Mapping[str, int] = field(default_factory=dict)
    again_in: float = LONGEST_LOOK_S
    closed_for: float = 0.0
    failures: int = 0
    paused_for: float = 0.0


def record(lane: Lane, report: Report, now: float) -> Lane:
    """The lane with what a process saw. One answer closes the circuit; a failed probe, or a row of failures, opens it."""
    lane = _in_time(lane, now)
    news: dict[str, object] = {}
    if report.retry_after:
        news["resume_at"] = max(lane.resume_at, now + min(report.retry_after, LONGEST_PAUSE_S))
    for name in ("requests", "tokens"):
        if quota := getattr(report, name):
            news[name] = quota.model_copy(update={"full_in": min(quota.full_in, LONGEST_PAUSE_S), "seen_at": now, "taken": 0})
    if report.answered:
        news |= dict.fromkeys(("failures", "openings"), 0)
        news |= dict.fromkeys(("failing_since", "failed_at", "open_until", "probe_until"), 0.0)
        if now - lane.answered_at >= 1.0:
            news["answered_at"] = now
    elif report.failed and not lane.is_open(now):
        news |= _failing(lane, report, now)
    return lane.model_copy(update=news) if news else lane


def _failing(lane: Lane, report: Report, now: float) -> dict[str, object]:
    began = now - report.oldest_s
    goes_on = lane.failures > 0 and began - lane.failed_at <= ROW_S
    failures = report.failed + (lane.failures if goes_on else 0)
    # What was answered meanwhile was not failing.
    since = max(min(began, lane.failing_since) if goes_on else began, lane.answered_at)
    news: dict[str, object] = {"failures": failures, "failing_since": since, "failed_at": now}
    if lane.open_until or (failures >= FAILURES and now - since >= FAILING_FOR_S):
        pause = min(OPEN_S * 2 ** min(lane.openings, 10), LONGEST_OPEN_S)
        news |= {"open_until": now + pause, "openings": lane.openings + 1, "probe_until": 0.0}
    return news


def grant(lane: Lane, mine: Sequence["Demand"], others: Sequence["Demand"], rules: Rules, now: float) -> tuple[Lane, Decision]:
    """Who of `mine` may send now, and the lane with that booked.

    What is free is dealt out one call at a time, each to the site that has least in flight, or, where a limit is scarcer than the
    places in flight, to the one that was served least: what others wait for is left to them. A call that does not fit is waited for,
    so that no smaller one passes it for ever.
    """
    lane = _in_time(lane, now)
    if lane.is_open(now):
        return lane, Decision(closed_for=lane.open_until - now, failures=lane.failures)
    if lane.resume_at > now:
        pause = lane.resume_at - now
        return lane, Decision(again_in=_soon(pause), paused_for=pause if pause > PATIENCE_S else 0.0)
    in_flight = sum(demand.in_flight for demand in (*mine, *others))
    slots = rules.in_flight - in_flight
    if lane.open_until:  # one probe, whoever comes first; the next one when it is lost
        slots, others = int(lane.probe_until <= now or not in_flight), ()
    room, tokens = _room(lane, rules, now)
    served = _served(lane, (*mine, *others), rules.in_flight)
    largest = min(float(rules.tpm or inf), float(lane.tokens.limit) if lane.tokens else inf)
    granted, left = _dealt(mine, others, served, slots=slots, room=room, tokens=tokens, largest=largest)
    total = sum(granted.values())
    if lane.open_until and total:
        lane = lane.model_copy(update={"probe_until": now + PROBE_S})
    if total:
        lane = _booked(lane, mine, granted, served, rules, now)
    if left or slots <= total:
        again = LOOK_S if left or lane.open_until or any(demand.in_flight for demand in others) else LONGEST_LOOK_S
    else:
        again = _until_room(lane, rules, now)
    return lane, Decision(granted, again_in=_soon(again))


def open_circuits(states: Mapping[str, Mapping[str, object]], now: float) -> list[str]:
    """The lanes that are left alone now."""
    return [name for name, state in states.items() if Lane.of(state).is_open(now)]


def _in_time(lane: Lane, now: float) -> Lane:
    """The lane without what is over; times that lie too far ahead, because the clock was set back, are brought near."""
    latest = {"resume_at": LONGEST_PAUSE_S, "open_until": LONGEST_OPEN_S, "probe_until": PROBE_S}
    latest |= dict.fromkeys(("answered_at", "failing_since", "failed_at"), 0.0)
    near: dict[str, object] = {name: min(getattr(lane, name), now + most) for name, most in latest.items()}
    near["sent"] = tuple(each._replace(at=min(each.at, now)) for each in lane.sent if each.at > now - WINDOW_S)
    for name in ("requests", "tokens"):
        if (quota := getattr(lane, name)) and quota.seen_at > now:
            near[name] = quota.model_copy(update={"seen_at": now})
    return lane.model_copy(update=near)


def _room(lane: Lane, rules: Rules, now: float) -> tuple[int, float]:
    """Requests and tokens that the limits leave now."""
    requests = [lane.requests.room(now)] if lane.requests else [inf]
    tokens = [lane.tokens.room(now)] if lane.tokens else []
    if rules.rpm is not None:
        requests.append(rules.rpm - sum(each.requests for each in lane.sent))
    if rules.tpm is not None:
        tokens.append(rules.tpm - sum(each.tokens for each in lane.sent))
    return int(min(*requests, MOST_AT_ONCE)), min(tokens, default=inf)


def _served(lane: Lane, demands: Iterable["Demand"], most: int) -> dict[str, int]:
    """How far each site that wants something is ahead of the least served: a newcomer not at all, and nobody by more than `most` calls,
    so that nobody waits for long while another one catches up."""
    known = {demand.site: lane.served.get(demand.site) for demand in demands}
    counts = [count for count in known.values() if count is not None]
    low = max(min(counts, default=0), max(counts, default=0) - most)
    return {site: 0 if count is None else max(0, count - low) for site, count in known.items()}


def _dealt(
    mine: Sequence["Demand"],
    others: Sequence["Demand"],
    served: Mapping[str, int],
    *,
    slots: int,
    room: int,
    tokens: float,
    largest: float,
) -> tuple[dict[str, int], int]:
    """My part of the free places, of the requests and `tokens` that the limits leave, by site, and how many others have of it."""
    busy: Counter[str] = Counter()
    for demand in (*mine, *others):
        busy[demand.site] += demand.in_flight
    dealt: Counter[str] = Counter()

    def before(queue: _Queue) -> tuple[int, int, str]:
        had = served[queue.site] + dealt[queue.site]
        # Of two sites with the same right to a limit, the one with longer calls must not get less of it.
        return (had if room < slots else busy[queue.site] + dealt[queue.site], had, queue.site)

    queues = [_Queue(demand, is_mine=True) for demand in mine if demand.waiting]
    queues += [_Queue(demand, is_mine=False) for demand in others if demand.waiting]
    granted: Counter[str] = Counter()
    while queues and dealt.total() < min(slots, room):
        next_one = min(queues, key=before)
        cost = min(next_one.cost, largest)  # a call larger than the limit itself goes when the whole limit is free
        if cost > tokens:
            break
        tokens -= cost
        dealt[next_one.site] += 1
        granted[next_one.site] += next_one.is_mine
        next_one.taken += 1
        if next_one.taken == next_one.demand.waiting:
            queues.remove(next_one)
    return +granted, dealt.total() - granted.total()


@dataclass
class _Queue:
    demand: "Demand"
    is_mine: bool
    taken: int = 0

    @property
    def site(self) -> str:
        return self.demand.site

    @property
    def cost(self) -> int:
        return self.demand.cost(self.taken)


def _booked(lane: Lane, mine: Sequence["Demand"], granted: Mapping[str, int], served: Mapping[str, int], rules: Rules, now: float) -> Lane:
    spent = {demand.site: sum(demand.cost(number) for number in range(granted[demand.site])) for demand in mine if demand.site in granted}
    news: dict[str, object] = {"served": {site: count + granted.get(site, 0) for site, count in served.items()}}
    if lane.requests:
        news["requests"] = lane.requests.model_copy(update={"taken": lane.requests.taken + sum(granted.values())})
    if lane.tokens:
        news["tokens"] = lane.tokens.model_copy(update={"taken": lane.tokens.taken + sum(spent.values())})
    if rules.rpm is not None or rules.tpm is not None:
        news["sent"] = _with(lane.sent, [Sent(now, site, count, spent[site]) for site, count in granted.items()])
    return lane.model_copy(update=news)


def _with(sent: Sequence[Sent], fresh: Iterable[Sent]) -> tuple[Sent, ...]:
    """`sent` and `fresh` in order; what one site sent within the same second is one entry, timed by its last, so that it never ends too
    early."""
    merged = deque(sent)
    for each in fresh:
        if same := next((old for old in merged if old.site == each.site and floor(old.at) == floor(each.at)), None):
            merged.remove(same)
            each = Sent(each.at, each.site, same.requests + each.requests, same.tokens + each.tokens)
        merged.append(each)
    return tuple(merged)


def _until_room(lane: Lane, rules: Rules, now: float) -> float:
    """Seconds until a limit leaves something again."""
    waits = [quota_wait for quota in (lane.requests, lane.tokens) if quota for quota_wait in [_refill(quota, now)] if quota_wait > 0]
    if (rules.rpm is not None or rules.tpm is not None) and lane.sent:
        waits.append(lane.sent[0].at + WINDOW_S - now)
    return min(waits, default=LONGEST_LOOK_S)


def _refill(quota: Quota, now: float) -> float:
    missing = 1 - quota.room(now)
    return missing / quota.rate if missing > 0 and quota.rate > 0 else 0.0


def _soon(seconds: float) -> float:
    return min(max(seconds, 0.02), LONGEST_LOOK_S)
