"""The pace, without a clock or a database: processes that share a lane in simulated time, and laws that hold whatever comes."""

import itertools
import json
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import inf

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pressroom.llm.pace import (
    FAILING_FOR_S,
    FAILURES,
    LONGEST_LOOK_S,
    LONGEST_OPEN_S,
    LONGEST_PAUSE_S,
    OPEN_S,
    PATIENCE_S,
    PROBE_S,
    ROW_S,
    WINDOW_S,
    Lane,
    Quota,
    Report,
    Rules,
    grant,
    record,
)
from pressroom.store.lanes import Demand

NIGHT = 1_795_000_000.0  # seconds, as the database's clock counts them
HOUR = 3600.0


@dataclass
class Call:
    """A call that takes `seconds`, and what is seen of it at its end: an answer, unless told otherwise."""

    site: str
    tokens: int = 100
    seconds: float = 1.0
    seen: Report = field(default_factory=lambda: Report(answered=1))


@dataclass
class Process:
    """What a process has: calls that wait, calls that are out (with the time of their end), and what it has not told yet."""

    waiting: list[Call] = field(default_factory=list)
    out: list[tuple[float, Call]] = field(default_factory=list)
    report: Report = field(default_factory=Report)
    asks_at: float = 0.0

    def demands(self) -> list[Demand]:
        """What it tells: by site, in flight, waiting, and the tokens of those that wait."""
        sites = {call.site for call in self.waiting} | {call.site for _, call in self.out}
        tokens = {site: [call.tokens for call in self.waiting if call.site == site] for site in sites}
        busy = Counter(call.site for _, call in self.out)
        return [Demand(site, busy[site], len(tokens[site]), tokens[site]) for site in sorted(sites)]


class World:
    """Processes with one lane between them, which goes through JSON. `skew` is what the database's clock is wrong by."""

    def __init__(self, rules: Rules, *queues: Iterable[Call]) -> None:
        self.rules = rules
        self.processes = [Process(list(queue)) for queue in queues]
        self.lane = Lane()
        self.now = 0.0
        self.skew = 0.0
        self.sent: list[tuple[float, Call]] = []
        self.most_in_flight = 0
        self.longest_idle = 0.0
        self._idle_since: float | None = None
        self.events: list[tuple[float, Callable[[], None]]] = []

    def at(self, seconds: float, what: Callable[[], None]) -> None:
        """Something that happens at that time."""
        self.events = sorted([*self.events, (seconds, what)], key=lambda event: event[0])

    def run(self, *, until: float = inf, each: Callable[[], None] = lambda: None) -> "World":
        """Lets time pass until nobody wants anything, or `until`; `each` looks on after every turn."""
        while (moment := self._next()) < inf and moment <= until:
            self._settle(moment)
            for process in self.processes:
                if process.asks_at <= moment and (process.waiting or process.report != Report()):
                    self.turn(process)
                    each()
            self._look()
        return self

    def turn(self, process: Process) -> None:
        clock = NIGHT + self.now + self.skew
        wants = process.demands()
        others = [replace(want, tokens=want.tokens[:1]) for other in self.processes if other is not process for want in other.demands()]
        lane, decision = grant(record(self.lane, process.report, clock), wants, others, self.rules, clock)
        if decision.granted or not process.report.is_empty:
            lane = through_json(lane)
        self.lane, process.report = lane, Report()
        process.asks_at = self.now + decision.again_in
        for site, count in decision.granted.items():
            for call in [call for call in process.waiting if call.site == site][:count]:
                process.waiting.remove(call)
                process.out.append((self.now + call.seconds, call))
                self.sent.append((self.now, call))
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    @property
    def in_flight(self) -> int:
        return sum(len(process.out) for process in self.processes)

    @property
    def is_idle(self) -> bool:
        """Somebody waits, and there is a place."""
        return any(process.waiting for process in self.processes) and self.in_flight < self.rules.in_flight

    def busy(self, site: str) -> int:
        return sum(call.site == site for process in self.processes for _, call in process.out)

    def most_in_window(self, cost: Callable[[Call], int]) -> int:
        """The most that went out within any window; a clock of ten digits is exact to a microsecond."""
        span = WINDOW_S - 1e-6
        return max((sum(cost(call) for at, call in self.sent if start <= at < start + span) for start, _ in self.sent), default=0)

    def _next(self) -> float:
        ends = [at for process in self.processes for at, _ in process.out]
        asks = [process.asks_at for process in self.processes if process.waiting or process.report != Report()]
        return max(self.now, min([*ends, *asks, *(at for at, _ in self.events[:1])], default=inf))

    def _settle(self, moment: float) -> None:
        """What has come to pass by then: events, and calls that end; their process asks at once."""
        self.now = moment
        while self.events and self.events[0][0] <= moment:
            self.events.pop(0)[1]()
        for process in self.processes:
            for ended in [each for each in process.out if each[0] <= moment]:
                process.out.remove(ended)
                process.report = process.report.then(ended[1].seen)
                process.asks_at = moment

    def _look(self) -> None:
        """Notes for how long a place has been free that somebody waits for."""
        if self._idle_since is None or not self.is_idle or (self.sent and self.sent[-1][0] == self.now):
            self._idle_since = self.now if self.is_idle else None
        elif self.is_idle:
            self.longest_idle = max(self.longest_idle, self.now - self._idle_since)


def calls(site: str, number: int, *, seconds: float = 1.0, tokens: int = 100) -> list[Call]:
    return [Call(site, tokens, seconds) for _ in range(number)]


def through_json(lane: Lane) -> Lane:
    """As the database keeps it."""
    return Lane.model_validate(json.loads(json.dumps(lane.model_dump(mode="json", exclude_defaults=True), allow_nan=False)))


LAW = settings(max_examples=25, deadline=None)
SITES = st.sampled_from(["bike-shop", "harbour", "pier"])
CALLS = st.builds(Call, SITES, st.integers(0, 900), st.floats(0.01, 40))
QUEUES = st.lists(st.lists(CALLS, max_size=12), min_size=1, max_size=3)
LIMITS = st.none() | st.integers(1, 30)
RULES = st.builds(Rules, st.integers(1, 8), LIMITS, st.none() | st.integers(100, 3000))
QUOTAS = st.none() | st.builds(
    lambda limit, used, full_in: Quota(limit=limit, remaining=max(0, limit - used), full_in=full_in),
    st.integers(1, 10_000),
    st.integers(0, 20_000),
    st.floats(0, 90) | st.just(1e9),
)
WAITS = st.none() | st.floats(0, 90) | st.just(1e9)
REPORTS = st.one_of(
    st.builds(Report, answered=st.integers(0, 3), failed=st.integers(0, 3), oldest_s=st.floats(0, 300)),
    st.builds(Report, retry_after=WAITS),
    st.builds(Report, answered=st.just(1), requests=QUOTAS, tokens=QUOTAS),
)


@LAW
@given(RULES, QUEUES)
def test_no_limit_is_ever_passed_and_every_call_goes(rules: Rules, queues: list[list[Call]]) -> None:
    world = World(rules, *queues).run(until=6 * HOUR)
    assert len(world.sent) == sum(map(len, queues)), "a call never went"
    assert world.most_in_flight <= rules.in_flight
    if rules.rpm is not None:
        assert world.most_in_window(lambda call: 1) <= rules.rpm
    if rules.tpm is not None:
        tpm = rules.tpm
        assert world.most_in_window(lambda call: min(call.tokens, tpm)) <= tpm


@LAW
@given(st.integers(1, 8), QUEUES)
def test_a_free_place_and_a_call_that_waits_find_each_other_within_a_second(in_flight: int, queues: list[list[Call]]) -> None:
    world = World(Rules(in_flight), *queues).run()
    assert len(world.sent) == sum(map(len, queues))
    assert world.longest_idle <= LONGEST_LOOK_S


@LAW
@given(st.integers(1, 60), st.integers(1, 5), st.floats(0.05, 5), st.integers(1, 150))
@example(60, 1, 0.7, 150)
def test_a_limit_per_minute_is_used_up(rpm: int, in_flight: int, seconds: float, number: int) -> None:
    """Also by calls that come one by one: each makes room again a minute after it went, not after the last of them."""
    world = World(Rules(in_flight, rpm), calls("harbour", number, seconds=seconds)).run()
    ideal: list[float] = []
    for each in range(number):
        by_limit = ideal[each - rpm] + WINDOW_S if each >= rpm else 0.0
        by_place = ideal[each - in_flight] + seconds if each >= in_flight else 0.0
        ideal.append(max(by_limit, by_place))
    # What went within one second counts as one until the last of it is over, and a look is a second away at most.
    late = [at - best - 2.0 * (each // rpm + 1) for each, ((at, _), best) in enumerate(zip(world.sent, ideal, strict=True))]
    assert max(late) <= 0


def test_a_call_larger_than_the_limit_of_tokens_goes_alone_and_is_not_passed_for_ever() -> None:
    queue = [*calls("harbour", 3, tokens=400), Call("harbour", tokens=5000), *calls("harbour", 3, tokens=400)]
    world = World(Rules(tpm=1000), queue).run()
    assert [call.tokens for _, call in world.sent] == [400, 400, 400, 5000, 400, 400, 400], "the calls of one site keep their order"
    large = next(at for at, call in world.sent if call.tokens == 5000)
    assert not [call for at, call in world.sent if 0 < abs(at - large) < WINDOW_S], "the large call did not have the window to itself"


@LAW
@given(st.integers(1, 9), st.lists(st.floats(0.1, 10), min_size=8, max_size=8))
def test_two_sites_that_want_much_have_as_many_calls_in_flight(in_flight: int, seconds: list[float]) -> None:
    queues = [[Call(site, seconds=lasts) for lasts in itertools.islice(itertools.cycle(seconds), 20)] for site in ("harbour", "pier")]
    world = World(Rules(in_flight), *queues)

    def look() -> None:
        if world.in_flight == in_flight and all(process.waiting for process in world.processes):
            assert abs(world.busy("harbour") - world.busy("pier")) <= 1

    world.turn(world.processes[0])  # the first has all places before the second comes
    late = [call for _, call in world.processes[0].out]
    world.run(until=max(call.seconds for call in late) + LONGEST_LOOK_S).run(each=look)


@pytest.mark.parametrize("shared", [False, True])
def test_one_place_goes_round(shared: bool) -> None:
    """With one call in flight at a time every site waits for its turn, and none for another's whole night. Calls longer than a minute
    are no exception."""
    sites = ("bike-shop", "harbour", "pier")
    queues = [calls(site, 4, seconds=70) for site in sites]
    world = World(Rules(1), *([list(itertools.chain(*queues))] if shared else queues)).run()
    order = [call.site for _, call in world.sent]
    assert all(set(order[start : start + 3]) == set(sites) for start in range(0, 12, 3)), f"not by turns: {order}"


@LAW
@given(st.integers(2, 30), st.floats(0.1, 200), st.floats(0.1, 200))
@example(10, 0.1, 170)
def test_two_sites_get_the_same_part_of_a_limit_however_long_their_calls_are(rpm: int, one: float, other: float) -> None:
    """The limit is what is scarce here: there is a place in flight for every call."""
    world = World(Rules(1000, rpm), calls("harbour", 5 * rpm, seconds=one), calls("pier", 5 * rpm, seconds=other))
    world.run(until=3.5 * WINDOW_S)
    sent = Counter(call.site for _, call in world.sent)
    assert sent.total() >= 3 * rpm
    assert abs(sent["harbour"] - sent["pier"]) <= 2


def test_nobody_waits_for_long_while_another_one_catches_up() -> None:
    """While places were scarce, short calls went by the hundred beside long ones. Now a limit is, and both want it."""
    lane, order = Lane(served={"harbour": 500, "pier": 3}), []
    demands = {site: Demand(site, 0, 99, [10]) for site in ("harbour", "pier")}
    for second in range(40):
        quota = Report(answered=1, requests=Quota(limit=60, remaining=1, full_in=59))
        for site, rival in (("harbour", "pier"), ("pier", "harbour")):
            told = record(lane, quota, NIGHT + second)
            lane, decision = grant(told, [demands[site]], [demands[rival]], Rules(4), NIGHT + second)
            order += decision.granted
    assert order.index("harbour") <= 4
    assert abs(order.count("harbour") - order.count("pier")) <= 4


def test_two_sites_get_the_same_part_of_what_the_endpoint_says_is_left() -> None:
    """The endpoint counts: ten are left, and one more comes back every six seconds."""
    told = [Report(answered=1, requests=Quota(limit=10, remaining=0, full_in=60)) for _ in range(2)]
    queues = [[Call(site, seconds=0.2, seen=seen) for _ in range(40)] for site, seen in zip(("harbour", "pier"), told, strict=True)]
    world = World(Rules(2), *queues).run(until=300)
    sent = Counter(call.site for _, call in world.sent)
    assert 40 <= sent.total() <= 52
    assert abs(sent["harbour"] - sent["pier"]) <= 2, f"not the same part: {sent}"


def test_a_site_with_three_calls_is_not_stuck_behind_one_with_sixty() -> None:
    world = World(Rules(4), calls("harbour", 60, seconds=2))
    world.at(5.0, lambda: world.processes.append(Process(calls("pier", 3, seconds=2), asks_at=5.0)))
    world.run()
    of = {site: [at for at, call in world.sent if call.site == site] for site in ("harbour", "pier")}
    assert of["pier"][-1] <= 5 + 2 * 2 + LONGEST_LOOK_S, "it got no share of the places that came free"
    assert of["harbour"][-1] >= 28


def test_what_waits_for_another_process_is_left_to_it() -> None:
    lane, mine = Lane(), [Demand("harbour", 0, 9, [100])]
    _, decision = grant(lane, mine, [Demand("pier", 0, 2, [100])], Rules(4), NIGHT)
    assert decision.granted == {"harbour": 2}
    assert decision.again_in < LONGEST_LOOK_S, "what the other leaves is looked for soon"


# --- what the endpoint says ---


@LAW
@given(st.floats(0.001, 90), st.integers(1, 20))
@example(1e12, 3)
def test_retry_after_stops_everybody_for_so_long_and_for_an_hour_at_most(retry_after: float, number: int) -> None:
    told = Report(retry_after=retry_after)
    world = World(Rules(3), [Call("harbour", seconds=1, seen=told)], [Call("pier", seconds=5)])
    world.at(1.5, lambda: world.processes.append(Process(calls("bike-shop", number), asks_at=1.5)))
    world.run()
    pause = min(retry_after, LONGEST_PAUSE_S)
    late = [at for at, call in world.sent if call.site == "bike-shop"]
    assert len(late) == number
    assert max(1.5, 1 + pause) - 1e-6 <= late[0] <= max(1.5, 1 + pause) + LONGEST_LOOK_S


def test_a_longer_pause_than_a_minute_is_told_to_those_who_wait() -> None:
    lane = record(Lane(), Report(retry_after=600), NIGHT)
    decisions = [grant(lane, [Demand("harbour", 0, 1)], (), Rules(), NIGHT + later)[1] for later in (1, 600 - PATIENCE_S + 1, 601)]
    assert [decision.paused_for for decision in decisions] == [599, 0, 0]
    assert [decision.granted for decision in decisions] == [{}, {}, {"harbour": 1}]


def test_what_the_endpoint_has_left_is_not_passed() -> None:
    seen = Report(answered=1, requests=Quota(limit=100, remaining=3, full_in=58.2), tokens=Quota(limit=1000, remaining=500, full_in=30))
    lane = record(Lane(), seen, NIGHT)
    granted = []
    for second in range(12):
        lane, decision = grant(lane, [Demand("harbour", 0, 99, [150])], (), Rules(99), NIGHT + second)
        granted.append(decision.granted.get("harbour", 0))
    assert granted[0] == 3, "three are left, by requests and by tokens"
    assert sum(granted) <= 3 + 12 * 1000 / 60 / 150, "more tokens went than come back"
    assert sum(granted) >= 4


@LAW
@given(REPORTS, st.floats(0, 7200))
def test_whatever_an_endpoint_says_the_lane_is_open_again_after_an_hour(report: Report, waited: float) -> None:
    lane = record(Lane(), report, NIGHT)
    lane, _ = grant(lane, [Demand("harbour", 0, 1, [10])], (), Rules(), NIGHT + waited)
    lane, decision = grant(lane, [Demand("harbour", 0, 1, [10])], (), Rules(), NIGHT + waited + LONGEST_PAUSE_S + LONGEST_OPEN_S)
    assert decision.granted == {"harbour": 1}


# --- the circuit ---


@LAW
@given(st.lists(st.tuples(st.floats(0, 40), st.sampled_from(["answer", "failure", "timeout"])), max_size=30))
@example([(0.0, "answer"), (2.0, "failure"), (3.1, "timeout"), *[(0.0, "timeout")] * 4])
def test_the_circuit_opens_only_after_five_failures_in_a_row_over_five_seconds(events: list[tuple[float, str]]) -> None:
    """A failure speaks for the moment, a timeout for the three seconds before it, and neither for a time with answers in it."""
    lane, now, row, answered_at = Lane(), NIGHT, list[float](), 0.0
    for wait, event in events:
        now += wait
        began = now - 3.0 if event == "timeout" else now
        if event == "answer":
            lane, row, answered_at = record(lane, Report(answered=1), now), [], now
            assert not lane.open_until, "one answer closes the circuit"
            continue
        was_open, lane = lane.open_until, record(lane, Report(failed=1, oldest_s=now - began), now)
        row.append(max(began, answered_at))
        if lane.open_until and not was_open:
            assert len(row) >= FAILURES
            assert now - min(row) >= FAILING_FOR_S - 1, "answers are noted to the second"


def test_five_failures_at_once_are_a_hiccup_and_over_five_seconds_an_outage() -> None:
    at_once = record(Lane(), Report(failed=15), NIGHT)
    assert not at_once.open_until
    assert record(at_once, Report(failed=1), NIGHT + FAILING_FOR_S).is_open(NIGHT + FAILING_FOR_S)


def test_last_nights_failures_say_nothing_this_morning() -> None:
    lane = record(Lane(), Report(failed=FAILURES - 1), NIGHT)
    assert not record(lane, Report(failed=1), NIGHT + 8 * HOUR).open_until
    # Calls that take minutes to fail are a row all the same: what counts is when they were sent.
    slow = record(lane, Report(failed=1, oldest_s=180), NIGHT + 180 + ROW_S)
    assert slow.is_open(NIGHT + 180 + ROW_S)


def test_slow_calls_that_time_out_beside_answered_ones_are_no_outage() -> None:
    lane = record(Lane(), Report(answered=1), NIGHT)
    assert not record(lane, Report(failed=FAILURES, oldest_s=30), NIGHT + 3).open_until


def opened(now: float = NIGHT) -> Lane:
    return record(record(Lane(), Report(failed=FAILURES), now - FAILING_FOR_S), Report(failed=1), now)


WANT = [Demand("harbour", 0, 3, [100])]


def test_while_it_is_open_nothing_goes_then_one_probe_and_one_answer_closes_it() -> None:
    lane = opened()
    for later in (0.0, 7.0, OPEN_S - 0.1):
        lane, decision = grant(lane, WANT, (), Rules(), NIGHT + later)
        assert (decision.granted, decision.closed_for) == ({}, pytest.approx(OPEN_S - later))
        assert decision.failures == FAILURES + 1
    lane, decision = grant(lane, WANT, (), Rules(), NIGHT + OPEN_S)
    assert decision.granted == {"harbour": 1}, "one probe"
    lane, decision = grant(lane, [Demand("pier", 0, 9)], [Demand("harbour", 1, 2)], Rules(), NIGHT + OPEN_S + 1)
    assert decision.granted == {}, "a second probe while the first is out"
    lane = record(lane, Report(answered=1), NIGHT + OPEN_S + 2)
    _, decision = grant(lane, [Demand("pier", 0, 9)], [Demand("harbour", 0, 2)], Rules(), NIGHT + OPEN_S + 2)
    assert decision.granted == {"pier": 9}


def test_calls_that_fail_while_it_is_open_were_sent_before_and_say_nothing_new() -> None:
    late = record(opened(), Report(failed=9, oldest_s=30), NIGHT + OPEN_S - 1)
    assert (late.open_until, late.openings) == (NIGHT + OPEN_S, 1)


def test_a_lost_probe_is_followed_by_another_one() -> None:
    """Its process was killed, its asker went, or it was refused for a reason of its own: nobody will tell what became of it."""
    lane, _ = grant(opened(), WANT, (), Rules(), NIGHT + OPEN_S)
    assert grant(lane, WANT, (), Rules(), NIGHT + OPEN_S + 1)[1].granted == {"harbour": 1}, "nothing is in flight: it is lost"
    hung = [Demand("harbour", 1, 2)]
    assert grant(lane, hung, (), Rules(), NIGHT + OPEN_S + PROBE_S - 1)[1].granted == {}
    assert grant(lane, hung, (), Rules(), NIGHT + OPEN_S + PROBE_S)[1].granted == {"harbour": 1}


def test_each_failed_probe_doubles_the_time_up_to_five_minutes_for_as_long_as_it_takes() -> None:
    lane, now, pauses = opened(), NIGHT, []
    for _ in range(2000):
        pauses.append(lane.open_until - now)
        now = lane.open_until
        lane, decision = grant(lane, WANT, (), Rules(), now)
        assert decision.granted == {"harbour": 1}
        now += 0.5
        lane = record(lane, Report(failed=1), now)
    assert [round(pause) for pause in pauses[:7]] == [15, 30, 60, 120, 240, 300, 300]
    assert max(pauses) == pytest.approx(LONGEST_OPEN_S)
    assert record(lane, Report(answered=1), now).openings == 0


def test_an_outage_costs_few_requests_and_ends_by_itself() -> None:
    """Three thousand calls, an hour of refused connections: some find the outage, then there is a probe every five minutes."""
    world = World(Rules(15))
    outage = HOUR

    def asker(number: int) -> Process:
        return Process([Call("harbour", seconds=0.05, seen=Report(failed=1)) for _ in range(1000)], asks_at=number * 0.3)

    world.processes = [asker(number) for number in range(3)]

    def recover() -> None:
        for process in world.processes:
            for call in process.waiting:
                call.seen = Report(answered=1)

    world.at(outage, recover)
    world.run(until=outage + LONGEST_OPEN_S + 2 * LONGEST_LOOK_S)
    in_vain = [at for at, _ in world.sent if FAILING_FOR_S + 1 < at < outage]
    assert len(in_vain) <= outage / LONGEST_OPEN_S + 6
    assert any(at > outage for at, _ in world.sent)
    assert world.lane.open_until == 0


# --- whatever comes ---


@pytest.mark.long
@LAW
@given(
    rules=RULES,
    queues=QUEUES,
    seen=st.lists(REPORTS, min_size=1, max_size=6),
    jumps=st.lists(st.tuples(st.floats(0, 200), st.floats(-5 * HOUR, 5 * HOUR)), max_size=3),
    kills=st.lists(st.floats(0, 100), max_size=2),
)
def test_a_lane_never_deadlocks(
    rules: Rules, queues: list[list[Call]], seen: list[Report], jumps: list[tuple[float, float]], kills: Sequence[float]
) -> None:
    """Any reports and quotas, a clock that is set by hours, processes that die in the middle: whoever is left gets all calls out."""
    reports = itertools.cycle(seen)
    world = World(rules, *([replace(call, seen=next(reports)) for call in queue] for queue in queues))
    # From then on the endpoint is in order.
    world.at(250.0, lambda: [setattr(call, "seen", Report(answered=1)) for process in world.processes for call in process.waiting] and None)
    for at, by in jumps:
        world.at(at, lambda by=by: setattr(world, "skew", world.skew + by))
    survivors: deque[Process] = deque(world.processes)

    def kill() -> None:
        if len(survivors) > 1:
            world.processes.remove(survivors.popleft())

    for at in kills:
        world.at(at, kill)
    world.run(until=24 * HOUR)
    assert not [call for process in world.processes for call in process.waiting], "calls wait for ever"
    assert world.most_in_flight <= rules.in_flight


FULL = Quota(limit=10, remaining=0, full_in=600)


@pytest.mark.parametrize("hours", [-9, 9])
@pytest.mark.parametrize(
    "state",
    [
        opened(),
        grant(opened(), WANT, (), Rules(), NIGHT + OPEN_S)[0],
        record(Lane(), Report(retry_after=1800), NIGHT),
        record(Lane(), Report(requests=FULL), NIGHT),
        record(Lane(), Report(tokens=FULL), NIGHT),
        grant(Lane(), [Demand("harbour", 0, 3, [900])], (), Rules(99, 3, 1000), NIGHT)[0],
    ],
    ids=["open", "probing", "paused", "no requests left", "no tokens left", "full minute"],
)
def test_a_clock_that_is_set_by_hours_stops_nothing_for_longer_than_an_hour(state: Lane, hours: float) -> None:
    now, want = NIGHT + hours * HOUR, [Demand("harbour", 1, 1, [100])]
    lane, decision = grant(state, want, (), Rules(99, 3, 1000), now)
    if not decision.granted:
        assert grant(lane, want, (), Rules(99, 3, 1000), now + LONGEST_PAUSE_S + 1)[1].granted == {"harbour": 1}


@LAW
@given(st.lists(st.tuples(REPORTS, st.floats(-HOUR, HOUR)), max_size=8), RULES, st.integers(0, 2**32))
def test_the_state_of_a_lane_survives_its_way_through_the_database(events: list[tuple[Report, float]], rules: Rules, seed: int) -> None:
    now, lane, chance = NIGHT, Lane(), random.Random(seed)
    for report, wait in events:
        now += wait
        mine = [Demand(site, chance.randrange(3), chance.randrange(4), [chance.randrange(900)]) for site in ("harbour", "")]
        lane, _ = grant(record(lane, report, now), mine, (), rules, now)
        assert through_json(lane) == lane
