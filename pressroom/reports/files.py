"""A video file screened where it lies: the same steps as the assets', without bucket and partition."""

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from pressroom.compliance.detecting import DETECTORS, Looked, Words, look_at
from pressroom.compliance.sampling import Sampling
from pressroom.compliance.source import audio_error
from pressroom.compliance.taking import Taken, take_apart
from pressroom.errors import BadInput, Refused
from pressroom.inference.types import Media, Runner
from pressroom.records import Detector, Tally
from pressroom.reports.screening import (
    Cost,
    Findings,
    ModelUsed,
    PolicyUsed,
    Refusal,
    ScreeningReport,
    SiteName,
    VideoReport,
    screening_report,
)
from pressroom.safety.judging import judge
from pressroom.safety.policy import Policy
from pressroom.safety.replay import Screened

HERE = SiteName(slug="local", name="This machine")
# What is at work (a stage or a detector), what it has done and what there is to do.
Tick = Callable[[str, int, int], None]


def screen_file(
    path: Path,
    folder: Path,
    sampling: Sampling,
    runners: Mapping[Detector, Runner],
    rules: Policy,
    *,
    words: Words = Words(),
    language: str = "en",
    tick: Tick,
    afford: Callable[[Media], object] = lambda media: None,
    tally: Tally | None = None,
) -> tuple[ScreeningReport, Screened | None]:
    """The report of the video at `path` and what it was judged by; what is taken from it is left under `folder`. A refused video has a
    report too, and nothing else.

    `afford` is told what the detectors will look at, before they do; on `tally` the runners count what is paid. Raises BadInput where
    there is no file, Transient where the machine is in the way, Blocked where there is no money for hosted models.
    """
    try:
        facts = path.stat()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from None
    if not path.is_file():
        raise BadInput(f"{path}: is {'a folder' if path.is_dir() else 'no file'}")
    begin = time.perf_counter()
    sha256 = _sha256(path)
    timings = {"hash": time.perf_counter() - begin}
    video = VideoReport(
        key=path.name, name=path.name, uploaded_at=datetime.fromtimestamp(facts.st_mtime, UTC), size=facts.st_size, sha256=sha256
    )
    try:
        taken = take_apart(path, folder, sampling, lambda done, total: tick("frames", done, total))
    except Refused as refusal:
        return screening_report(HERE, video, Refusal(str(refusal)), timings=timings), None
    media = Media(
        item=f"video/{sha256}",
        duration_ms=taken.probe.duration_ms,
        frames=taken.frames,
        folder=folder,
        audio=taken.audio,
        speech=taken.speech,
        language=language.split("-")[0],
        audio_error=audio_error(taken),
        picture=taken.picture,
        sound=taken.sound,
    )
    afford(media)
    looked = asyncio.run(look_at(media, runners, DETECTORS, words, lambda each: None, tick))
    timings |= taken.seconds | {each.detector: each.seconds for each in looked}
    video = video.model_copy(update={"probe": taken.probe})
    screened = Screened(
        video.name,
        taken.probe.duration_ms,
        signals=(*taken.signals, *(signal for each in looked for signal in each.detection.signals)),
        coverages=(taken.picture, taken.sound, *(each.detection.coverage for each in looked)),
    )
    found = _findings(taken, looked, screened, rules)
    return screening_report(HERE, video, found, cost=_cost(looked, tally or Tally()), timings=timings), screened


def _findings(taken: Taken, looked: list[Looked], screened: Screened, rules: Policy) -> Findings:
    triggers, verdict = judge(screened.signals, screened.coverages, rules, screened.duration_ms)
    hosted = {each.detector for each in looked if each.detection.calls}
    return Findings(
        verdict=verdict,
        policy=PolicyUsed(name=rules.name, version=rules.version),
        coverages=screened.coverages,
        triggers=triggers,
        signals=Counter(signal.detector for signal in screened.signals),
        frames=taken.frames,
        largest_gap_s=taken.largest_gap_ms / 1000,
        models=[
            ModelUsed(detector=each.detector, name=each.version, version=each.version, hosted=each.detector in hosted)
            for each in screened.coverages
            if each.version
        ],
    )


def _cost(looked: list[Looked], tally: Tally) -> Cost:
    calls, replayed = sum(each.detection.calls for each in looked), sum(each.detection.replayed for each in looked)
    usd = sum((each.detection.cost_usd for each in looked), Decimal(0))
    return Cost(usd=usd, paid_usd=tally.cost_usd, paid=calls - replayed, replayed=replayed)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
