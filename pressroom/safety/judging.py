"""From signals to triggers and the machine's outcome, under one policy. Pure: the same signals give the same triggers in any order."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

from pressroom.records import Coverage, Detector, Evidence, Modality, Outcome, RiskAction, Signal, Source, Trigger, Verdict
from pressroom.safety.flagged import origin_of
from pressroom.safety.policy import Policy, Required
from pressroom.safety.risks import Finding, Risk

# A trigger of a whole video can stand on thousands of frames. The best of them are shown; all are in the signals, by code and time.
EVIDENCE = 50


Judgement = tuple[tuple[Trigger, ...], Verdict]


@dataclass(frozen=True)
class _Hit:
    """A signal that counts for a risk, inside the video."""

    signal: Signal
    start: int
    end: int
    finding: Finding
    trusted: bool
    modality: Modality
    source: Source | None = None

    @property
    def order(self) -> tuple[object, ...]:
        signal = self.signal
        return self.start, self.end, signal.detector, signal.number, signal.label, self.score, signal.text or "", signal.frame or 0

    @property
    def score(self) -> float:
        return -1.0 if self.signal.score is None else self.signal.score


def judge(signals: Iterable[Signal], coverages: Iterable[Coverage], policy: Policy, duration_ms: int) -> Judgement:
    """The triggers of a video, by time, and the machine's outcome, under `policy`.

    Signals over their threshold that belong to one code are merged when closer than its merge_gap_s, whichever detectors they are from;
    what is then shorter than its min_duration_s (or than the video, where that is less) is dropped. Findings in title and description are
    triggers of their own, which span the video. Every trigger lies inside [0, duration_ms).
    """
    duration_ms = max(1, duration_ms)
    hits, unscored = _hits(signals, policy, duration_ms)
    by_code = policy.risks.by_code()
    found: list[Trigger] = []
    for (code, about), group in hits.items():
        risk, group = by_code[code], sorted(group, key=lambda hit: hit.order)
        shortest = 0 if about else min(round(risk.min_duration_s * 1000), duration_ms)
        for merged in _merged(group, risk, shortest):
            found.append(_trigger(merged, risk, policy, shortest))
    ordered = sorted(found, key=lambda one: (one.start_ms, -one.severity, one.end_ms, one.code, one.rule))
    triggers = tuple(one.model_copy(update={"number": number}) for number, one in enumerate(ordered, start=1))
    return triggers, _verdict(triggers, _worst(coverages), policy, unscored)


def _hits(signals: Iterable[Signal], policy: Policy, duration_ms: int) -> tuple[dict[tuple[str, bool], list[_Hit]], dict[Detector, int]]:
    """What counts, by code and by whether it is about the whole video; and how many findings did not, for want of a score."""
    rules_of = _rules(policy)
    trusts = cache(lambda detector, version: _trusts(policy, detector, version))
    hits: dict[tuple[str, bool], list[_Hit]] = defaultdict(list)
    unscored: dict[Detector, int] = defaultdict(int)
    for signal in signals:
        rules = rules_of(signal.detector, signal.label)
        if rules and signal.score is None and signal.detector not in policy.accept_unscored:
            unscored[signal.detector] += 1
            continue
        for risk, finding in rules:
            if signal.score is not None and signal.score < finding.threshold:
                continue
            start = min(max(0, signal.start_ms), duration_ms - 1)
            end = min(max(signal.end_ms, start + 1), duration_ms)
            origin = origin_of(signal.version) if signal.detector == "flagged_terms" else None
            trusted = signal.score is not None and trusts(signal.detector, signal.version)
            hit = _Hit(
                signal, start, end, finding, trusted, origin.modality if origin else risk.modality, origin.source if origin else None
            )
            hits[risk.code, bool(origin and origin.is_about)].append(hit)
    return hits, unscored


def _rules(policy: Policy) -> Callable[[Detector, str], Sequence[tuple[Risk, Finding]]]:
    """What a label of a detector speaks for: of each risk, the finding with the lowest threshold that fits."""

    @cache
    def rules_of(detector: Detector, label: str) -> Sequence[tuple[Risk, Finding]]:
        fitting = []
        for risk in policy.risks.risks:
            found = [one for one in risk.detectors if one.id == detector and fnmatchcase(label.casefold(), one.label)]
            if found:
                finding = min(found, key=lambda one: (one.threshold, one.label))
                fitting.append((risk, finding.model_copy(update={"threshold": policy.thresholds.get(risk.code, finding.threshold)})))
        return fitting

    return rules_of


def _trusts(policy: Policy, detector: Detector, version: str) -> bool:
    """Flagged words are trusted as far as the text that they were found in."""
    origin = origin_of(version) if detector == "flagged_terms" else None
    return policy.trusts(detector, version) and (origin is None or policy.trusts(origin.source, origin.version))


def _merged(hits: Sequence[_Hit], risk: Risk, shortest_ms: int) -> list[list[_Hit]]:
    """The hits, sorted by start, in groups without a gap of merge_gap_s or more, those that are too short left out."""
    gap_ms = round(risk.merge_gap_s * 1000)
    groups: list[list[_Hit]] = []
    end = 0
    for hit in hits:
        if groups and (hit.start <= end or hit.start - end < gap_ms):
            groups[-1].append(hit)
            end = max(end, hit.end)
        else:
            groups.append([hit])
            end = hit.end
    return [group for group in groups if max(hit.end for hit in group) - group[0].start >= shortest_ms]


def _trigger(hits: list[_Hit], risk: Risk, policy: Policy, shortest_ms: int) -> Trigger:
    action = policy.action_of(risk)
    # Findings of low trust must not carry a block, neither by their score nor by the time that they add.
    held_back = action == "block" and not _merged([hit for hit in hits if hit.trusted], risk, shortest_ms)
    best = sorted(hits, key=lambda hit: (-hit.score, *hit.order))
    first = {hit.signal.detector: hit for hit in reversed(best)}  # the best of each detector is shown whatever the others scored
    shown = [*first.values(), *(hit for hit in best[:EVIDENCE] if hit is not first[hit.signal.detector])][:EVIDENCE]
    return Trigger(
        number=0,
        code=risk.code,
        title=risk.title,
        severity=risk.severity,
        modality=best[0].modality,
        action="review" if held_back else action,
        start_ms=hits[0].start,
        end_ms=max(hit.end for hit in hits),
        peak=best[0].signal.score,
        detectors=tuple(sorted({hit.signal.detector for hit in hits})),
        evidence=tuple(_evidence(hit) for hit in sorted(shown, key=lambda hit: hit.order)),
        rule=_rule(hits, risk, shortest_ms, len(shown), held_back),
        crosswalk=dict(risk.crosswalk),
    )


def _evidence(hit: _Hit) -> Evidence:
    signal = hit.signal
    return Evidence(
        detector=signal.detector,
        signal=signal.number,
        at_ms=hit.start,
        label=signal.label,
        score=signal.score,
        frame=signal.frame,
        text=signal.text,
        source=hit.source,
    )


def _rule(hits: Sequence[_Hit], risk: Risk, shortest_ms: int, shown: int, held_back: bool) -> str:
    asked = {
        f"{hit.finding.id} '{hit.finding.label}' " + ("without a score" if hit.signal.score is None else f"from {hit.finding.threshold:g}")
        for hit in hits
    }
    parts = [" or ".join(sorted(asked))]
    if shortest_ms:
        parts.append(f"for {shortest_ms / 1000:g} s or longer")
    if len(hits) > 1:
        parts.append(
            f"{len(hits):,} findings less than {risk.merge_gap_s:g} s apart" + (f", the best {shown} shown" if shown < len(hits) else "")
        )
    if held_back:
        parts.append("not surely enough to block, so a person decides")
    return "; ".join(parts)


# ---- the outcome


def _worst(coverages: Iterable[Coverage]) -> dict[Detector, Coverage]:
    """The coverage by detector; of two, the one that saw less."""
    found: dict[Detector, Coverage] = {}
    for one in coverages:
        other = found.get(one.detector)
        if other is None or (one.state == "analysed", one.fraction) < (other.state == "analysed", other.fraction):
            found[one.detector] = one
    return found


def _verdict(triggers: Sequence[Trigger], coverages: dict[Detector, Coverage], policy: Policy, unscored: dict[Detector, int]) -> Verdict:
    short = [one.detector for one in policy.required if _shortfall(one, coverages.get(one.detector))]
    by_action: dict[RiskAction, list[Trigger]] = defaultdict(list)
    for trigger in triggers:
        by_action[trigger.action].append(trigger)
    escalated = by_action["escalate"]
    to_see = by_action["review"] + escalated
    outcome: Outcome
    if by_action["block"]:
        outcome, why = "block", f"{_said(by_action['block'])} {'calls' if len(by_action['block']) == 1 else 'call'} for a block."
    elif to_see:
        outcome, why = "review", f"A person must look at {_said(to_see)}."
    elif short:
        outcome, why = "incomplete", f"Nothing was found, but not enough was looked at by {_listed(short)}."
    else:
        outcome, why = "clear", "Nothing was found that calls for a person, and every required detector has looked at enough."
    return Verdict(
        outcome=outcome,
        why=why,
        policy=policy.version,
        priority=bool(escalated),
        role=_role(escalated, policy),
        not_analysed=_not_analysed(coverages, policy, unscored),
    )


def _role(escalated: Sequence[Trigger], policy: Policy) -> str | None:
    """Who may decide: the role of what is for people only comes before every other."""
    only = [policy.people_only[one.code] for one in escalated if one.code in policy.people_only]
    return min(only) if only else policy.escalate_to if escalated else None


def _said(triggers: Sequence[Trigger]) -> str:
    worst = sorted(triggers, key=lambda one: (-one.severity, one.start_ms, one.code))
    named = ", ".join(f"{one.code} at {_clock(one.start_ms)}" for one in worst[:3])
    more = f" and {len(worst) - 3} more" if len(worst) > 3 else ""
    return f"{len(worst)} trigger{'s' if len(worst) > 1 else ''} ({named}{more})"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _clock(ms: int) -> str:
    hours, seconds = divmod(ms // 1000, 3600)
    minutes, seconds = divmod(seconds, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def shortfalls(coverages: Iterable[Coverage], policy: Policy) -> tuple[str, ...]:
    """What the policy requires of its detectors and did not get, one line each."""
    known = _worst(coverages)
    return tuple(line for one in policy.required if (line := _shortfall(one, known.get(one.detector))))


def _shortfall(required: Required, coverage: Coverage | None) -> str | None:
    """What is missing to what the policy requires of a detector, or None."""
    name = required.detector
    if coverage is None:
        return f"{name} did not run"
    if coverage.state != "analysed":
        return f"{name} {_state(coverage)}"
    if coverage.fraction < required.min_coverage:
        return f"{name} looked at {_percent(coverage.fraction)} of the {_percent(required.min_coverage)} that the policy requires"
    if required.max_gap_s is not None and (coverage.largest_gap_s or 0) > required.max_gap_s:
        return f"{name} left a gap of {coverage.largest_gap_s:.1f} s where the policy allows {required.max_gap_s:g} s"
    return None


def _not_analysed(coverages: dict[Detector, Coverage], policy: Policy, unscored: dict[Detector, int]) -> tuple[str, ...]:
    """One line for each detector that did not look at all of the video, and one for the risks that nothing looked for."""
    lines = []
    for name in dict.fromkeys((*policy.detectors(), *sorted(coverages))):
        coverage = coverages.get(name)
        if coverage is None:
            lines.append(f"{name}: did not run")
        elif coverage.state != "analysed":
            lines.append(f"{name}: {_state(coverage)}")
        elif _percent(coverage.fraction) != "100 %":
            lines.append(f"{name}: {_percent(1 - coverage.fraction)} of the video" + (f" ({coverage.reason})" if coverage.reason else ""))
    lines += [f"{name}: {count:,} findings without a score, which the policy does not count" for name, count in sorted(unscored.items())]
    if unlooked := _unlooked(coverages, policy):
        lines.append(f"no detector looked for {', '.join(unlooked)}")
    return tuple(lines)


def _unlooked(coverages: dict[Detector, Coverage], policy: Policy) -> list[str]:
    # A detector that is unsupported in part (a language without some dictionaries) has looked, and its line says for what not.
    looked = {name for name, one in coverages.items() if one.state == "analysed" or (one.state == "unsupported" and one.seconds > 0)}
    return [risk.code for risk in policy.risks.risks if not any(finding.id in looked for finding in risk.detectors)]


def _state(coverage: Coverage) -> str:
    return coverage.state + (f" ({coverage.reason})" if coverage.reason else "")


def _percent(fraction: float) -> str:
    """Rounded down, so that 99.96 % are not called all."""
    return f"{int(fraction * 1000 + 1e-6) / 10:g} %"
