"""Judges a video's stored signals by a policy, and books the judgement."""

from collections.abc import Sequence
from dataclasses import dataclass

from pressroom.compliance.desk import VideoDesk
from pressroom.errors import Permanent
from pressroom.records import Trigger, Verdict, version_of
from pressroom.safety.judging import judge, shortfalls
from pressroom.safety.policy import Policy
from pressroom.store.videos import coverages_of, save_screening, signals_of


@dataclass(frozen=True)
class Judged:
    """Triggers and outcome, and in one line each what the policy requires and did not get."""

    verdict: Verdict
    triggers: Sequence[Trigger]
    lacking: Sequence[str]
    duration_ms: int

    @property
    def version(self) -> str:
        return version_of((self.verdict, *self.triggers))

    def is_inside(self, trigger: Trigger) -> bool:
        return 0 <= trigger.start_ms < trigger.end_ms <= max(1, self.duration_ms)


def judge_video(desk: VideoDesk, rules: Policy) -> Judged:
    """Asks no detector. Raises Permanent for a video of which nothing is known."""
    if desk.video.probe is None:
        raise Permanent(f"video {desk.video.key}: nothing was taken from it yet: materialise compliance/source_video first")
    with desk.store.transaction() as session:
        signals, coverages = signals_of(session, desk.video), coverages_of(session, desk.video)
    duration_ms = desk.video.probe.duration_ms
    triggers, verdict = judge(signals, coverages, rules, duration_ms)
    judged = Judged(verdict, triggers, shortfalls(coverages, rules), duration_ms)
    desk.write(lambda session: save_screening(session, desk.video, verdict, triggers, version=judged.version, run_id=desk.run_id))
    return judged
