"""Seven videos as compliance reports: clean, with triggers in three modalities, not analysed, refused, a duplicate, two hours long, and
one of hostile texts."""

import datetime as dt
import io
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import cache
from typing import Any

from pressroom.records import Coverage, Detector, Evidence, Frame, Modality, Outcome, Probe, RiskAction, Trigger, Verdict
from pressroom.reports.screening import (
    DETECTORS,
    Copy,
    Cost,
    Duplicate,
    Findings,
    ModelUsed,
    PolicyUsed,
    Refusal,
    ScreeningReport,
    SiteName,
    VideoReport,
    screening_report,
)

SITE = SiteName(slug="harbour-coffee", name="Harbour Coffee")
UPLOADED = dt.datetime(2026, 11, 20, 8, 14, 3, tzinfo=dt.UTC)
POLICY = PolicyUsed(name="house", version="house-7c1d90e2ab34")
SCRIPT = "</style></script><script>alert('x')</script><img src=x onerror=alert(1)>"
ARABIC = "القهوة الباردة: نسبة الماء إلى البن (1:8)"
TURNED = "invoice\u202e4pm.exe"
# code: title, severity, modality, action, what finds it, rule, crosswalk
RISKS: dict[str, tuple[str, int, Modality, RiskAction, Detector, str, dict[str, str]]] = {
    "VIO.WEAPON": (
        "Weapon in the picture",
        2,
        "visual",
        "review",
        "objects",
        "objects: gun or knife at 0.60 or more, 0.5 s or longer",
        {"rekognition": "Weapons", "garm": "Arms and ammunition", "youtube": "Firearms"},
    ),
    "SEX.EXPLICIT": (
        "Explicit nudity",
        3,
        "visual",
        "block",
        "nudity",
        "nudity: explicit at 0.80 or more, 1 s or longer",
        {"rekognition": "Explicit", "garm": "Adult", "youtube": "Adult content"},
    ),
    "VIO.PHYSICAL": (
        "Physical violence",
        2,
        "visual",
        "review",
        "violence",
        "violence: fight at 0.70 or more, 1 s or longer",
        {"garm": "Crime and harmful acts", "youtube": "Violence"},
    ),
    "LANG.PROFANITY": (
        "Strong language",
        1,
        "speech",
        "review",
        "flagged_terms",
        "flagged words: profanity-en, any match in speech",
        {"garm": "Obscenity and profanity", "youtube": "Inappropriate language"},
    ),
    "PII.ONSCREEN": (
        "Personal data on screen",
        1,
        "text",
        "review",
        "screen_text",
        "flagged words: e-mail address or telephone number in text on screen",
        {},
    ),
    "CLAIM.HEALTH": (
        "Health claim",
        2,
        "text",
        "review",
        "flagged_terms",
        "flagged words: health-claims-en, any match",
        {"youtube": "Unreliable content"},
    ),
}
WORDS = {
    "LANG.PROFANITY": ("what the hell is this grinder doing", "that is a damn good cup", "bloody kettle"),
    "PII.ONSCREEN": ("maria.sanchez@harbourcoffee.example", "call +49 30 5550 0199"),
    "CLAIM.HEALTH": ("CURES MIGRAINE IN 3 DAYS", "doctors hate this bean"),
}
NO_MODEL = "No hosted model is set: add REPLICATE_API_TOKEN, or an ONNX file of yours."


def probe(duration_ms: int, **changes: Any) -> Probe:
    given = {
        "container": "mov,mp4,m4a,3gp,3g2,mj2",
        "size": 18_402_118,
        "duration_ms": duration_ms,
        "video_codec": "h264",
        "pixel_format": "yuv420p",
        "width": 1280,
        "height": 720,
        "fps": 29.97,
        "video_packets": round(duration_ms * 0.02997),
        "keyframes": round(duration_ms / 2002),
        "largest_keyframe_gap_ms": 2002,
        "audio_codec": "aac",
        "sample_rate": 48_000,
        "channels": 2,
    }
    return Probe.model_validate(given | changes)


def video(name: str, duration_ms: int | None = None, **changes: Any) -> VideoReport:
    given = {
        "key": f"2026-11-20.harbour-coffee.{name.rsplit('.')[0][:40]}.9f3a",
        "name": name,
        "uploaded_at": UPLOADED,
        "size": 18_402_118,
        "sha256": "5b1f0c7e" * 8,
        "probe": probe(duration_ms) if duration_ms else None,
    }
    return VideoReport.model_validate(given | changes)


def frames(duration_ms: int, every_ms: int = 2000) -> tuple[Frame, ...]:
    return tuple(
        Frame(number=number, at_ms=at, key=f"{at:09}.jpg", hash=f"{number * 7919:016x}", sharpness=212.5)
        for number, at in enumerate(range(0, duration_ms, every_ms))
    )


def coverages(duration_ms: int, *, missing: tuple[Detector, ...] = (), **changes: Coverage) -> tuple[Coverage, ...]:
    seconds, found = duration_ms / 1000, []
    for detector in DETECTORS:
        if detector in missing:
            found.append(Coverage(detector=detector, state="unsupported", reason=NO_MODEL))
        elif detector in changes:
            found.append(changes[detector])
        else:
            looks = 0 if detector in ("transcript", "sound", "flagged_terms") else round(seconds / 2)
            gap = 2.0 if looks else None
            one = Coverage(
                detector=detector, state="analysed", version=f"{detector}@3.10", seconds=seconds, of_s=seconds, largest_gap_s=gap
            )
            found.append(one.model_copy(update={"looks": looks, "stood_for": looks // 3 if detector in ("nudity", "violence") else 0}))
    return tuple(found)


def trigger(number: int, risk: str, start_ms: int, length_ms: int, peak: float | None, **changes: Any) -> Trigger:
    title, severity, modality, action, detector, rule, crosswalk = RISKS[risk]
    words = WORDS.get(risk, ())
    hits = 1 + number % 3
    evidence = [
        Evidence(
            detector=detector,
            signal=number * 10 + hit,
            at_ms=start_ms + hit * length_ms // hits,
            label=risk.lower(),
            score=None if peak is None else round(peak - hit * 0.05, 2),
            frame=(start_ms + hit * length_ms // hits) // 2000 if modality != "speech" else None,
            text=words[(number + hit) % len(words)] if words else None,
        )
        for hit in range(hits)
    ]
    given = {
        "number": number,
        "code": risk,
        "title": title,
        "severity": severity,
        "modality": modality,
        "action": action,
        "start_ms": start_ms,
        "end_ms": start_ms + length_ms,
        "peak": peak,
        "detectors": (detector, "flagged_terms") if detector == "screen_text" else (detector,),
        "evidence": tuple(evidence),
        "rule": rule,
        "crosswalk": crosswalk,
    }
    return Trigger.model_validate(given | changes)


MODELS = (
    ModelUsed(detector="transcript", name="pocketsphinx", version="5.1, en-us"),
    ModelUsed(detector="screen_text", name="rapidocr PP-OCRv6", version="3.10"),
    ModelUsed(detector="objects", name="zsxkib/yolo-world", version="d0fd3f7f5c4c0c5d", hosted=True),
    ModelUsed(detector="nudity", name="falcons-ai/nsfw_image_detection", version="97d62a14bf11c3b8", hosted=True),
    ModelUsed(detector="violence", name="house/violence", version="1f7a0c9b44d2e831", hosted=True),
    ModelUsed(detector="flagged_terms", name="dictionaries", version="profanity-en 4, health-claims-en 2"),
)
TIMINGS = {"download and probe": 1.42, "frames and sound": 3.91, "detectors": 24.6, "triggers": 0.03}


def findings(outcome: Outcome, why: str, duration_ms: int, **changes: Any) -> Findings:
    given = {
        "verdict": Verdict(outcome=outcome, why=why, policy=POLICY.version),
        "policy": POLICY,
        "coverages": coverages(duration_ms),
        "signals": {"transcript": 41, "screen_text": 17, "objects": 96, "picture": 2, "sound": 3},
        "frames": frames(duration_ms),
        "largest_gap_s": 2.0,
        "models": MODELS,
    }
    return Findings(**(given | changes))


def clean() -> ScreeningReport:
    """Everything was looked at, and nothing was found."""
    why = "No trigger was found, and every detector that the policy requires reached its coverage."
    cost = Cost(usd=Decimal("0.0384"), paid=124, replayed=4)
    return screening_report(SITE, video("pour-over-basics.mp4", 94_500), findings("clear", why, 94_500), cost=cost, timings=TIMINGS)


def five() -> ScreeningReport:
    """Five triggers in three modalities; speech was heard in part, violence was not looked at; one earlier video looks like it."""
    triggers = (
        trigger(1, "LANG.PROFANITY", 4_200, 1_300, None),
        trigger(2, "VIO.WEAPON", 21_400, 6_200, 0.91),
        trigger(3, "PII.ONSCREEN", 40_000, 4_000, 0.98),
        trigger(4, "CLAIM.HEALTH", 61_000, 5_500, 0.97),
        trigger(5, "SEX.EXPLICIT", 88_000, 3_000, 0.93),
    )
    heard = Coverage(
        detector="transcript",
        state="analysed",
        version="pocketsphinx 5.1",
        seconds=71.5,
        of_s=121.0,
        reason="The sound stopped decoding at 1:11.5.",
    )
    found = findings(
        "block",
        "Explicit nudity (SEX.EXPLICIT) from 1:28 to 1:31 scores 0.93; the policy blocks it at 0.80.",
        121_000,
        coverages=coverages(121_000, missing=("violence",), transcript=heard),
        triggers=triggers,
    )
    near = Copy(
        key="2026-11-12.harbour-coffee.market-day.77aa",
        name="market day (old cut).mp4",
        report="../2026-11-12.harbour-coffee.market-day.77aa/report.html",
        outcome="review",
        alike=0.83,
    )
    return screening_report(
        SITE,
        video("market day.mp4", 121_000, title="A day at the market", description="Three stalls, two grinders and one very long queue."),
        found,
        near=[near],
        cost=Cost(usd=Decimal("0.0212"), paid=61, replayed=12),
        timings=TIMINGS,
    )


def nothing() -> ScreeningReport:
    """No detector could look at it."""
    broken = {
        "transcript": Coverage(detector="transcript", state="skipped", reason="The video has no sound."),
        "screen_text": Coverage(detector="screen_text", state="failed", reason="Reading took longer than its 120 s."),
        "flagged_terms": Coverage(detector="flagged_terms", state="skipped", reason="There is neither speech nor text to look through."),
        "picture": Coverage(detector="picture", state="failed", reason="No frame could be decoded."),
        "sound": Coverage(detector="sound", state="skipped", reason="The video has no sound."),
    }
    found = findings(
        "incomplete",
        "No detector that the policy requires could look at the video.",
        63_000,
        coverages=coverages(63_000, missing=("objects", "nudity", "violence"), **broken),
        signals={},
        frames=(),
        largest_gap_s=None,
        models=(),
    )
    silent = probe(63_000, audio_codec=None, sample_rate=None, channels=None, video_codec="av1", pixel_format="yuv420p10le", rotation=90)
    return screening_report(SITE, video("night shift.webm", 63_000, probe=silent), found, timings={"download and probe": 0.8})


def refused() -> ScreeningReport:
    """A picture under the name of a video."""
    reason = "The file holds a JPEG picture, not a video: upload it as mp4, mov, mkv, webm or avi."
    return screening_report(SITE, video("holiday.mp4", size=482_113), Refusal(reason), timings={"download and probe": 0.2})


def duplicate() -> ScreeningReport:
    """The same bytes were uploaded a week before."""
    first = Copy(
        key="2026-11-13.harbour-coffee.market-day.12cd",
        name="market day.mp4",
        report="../2026-11-13.harbour-coffee.market-day.12cd/report.html",
        outcome="block",
    )
    return screening_report(SITE, video("market day (1).mp4", 121_000), Duplicate(first), timings={"download and probe": 1.1})


def two_hours() -> ScreeningReport:
    """Three hundred triggers in two hours: some stand alone, many stand close together."""
    codes, triggers = list(RISKS), []
    for number in range(1, 301):
        code = codes[number * number % 7 % len(codes)]
        burst = number // 12 * 288_000 % 7_100_000
        start = burst + number % 12 * 5_900 if number % 3 else number * 23_700 % 7_150_000
        triggers.append(trigger(number, code, start, 400 + number % 9 * 900, None if code == "LANG.PROFANITY" else 0.6 + number % 37 / 100))
    severe = sum(one.action == "block" for one in triggers)
    return screening_report(
        SITE,
        video("town hall, full recording.mkv", 7_200_000, size=1_911_402_118),
        findings(
            "block",
            f"{severe} triggers of SEX.EXPLICIT block under the policy; the first is at {triggers[0].start_ms // 1000} s.",
            7_200_000,
            triggers=triggers,
        ),
        cost=Cost(usd=Decimal("2.16"), paid=7_204, replayed=0),
        timings={"download and probe": 31.5, "frames and sound": 88.0, "detectors": 1_204.7, "triggers": 0.4},
    )


def hostile() -> ScreeningReport:
    """Texts that try to be markup, that turn the reading direction, that never break; times outside the video; links that run."""
    long = "W" * 400
    triggers = (
        trigger(1, "LANG.PROFANITY", -500, 400, None, title=SCRIPT, rule=f"{SCRIPT} --> {TURNED}", crosswalk={SCRIPT: TURNED}),
        trigger(
            2,
            "PII.ONSCREEN",
            9_000,
            99_000,
            0.5,
            code=f"{long}|`x`",
            evidence=tuple(
                Evidence(detector="screen_text", signal=place, at_ms=9_000 + place, label=SCRIPT, text=text, frame=1)
                for place, text in enumerate((SCRIPT, ARABIC, f"{TURNED}\n\n00:00 --> 00:01\r\n\x00\x1b[31m", long, "&lt;b&gt; & \" '"))
            ),
        ),
        trigger(3, "VIO.WEAPON", 2_000, 0, 1.0, modality="sound", severity=0, action="pass"),
        trigger(4, "SEX.EXPLICIT", 4_000, 100, 0.9, code="CHILD.SAFETY", title="Child safety", action="escalate"),
    )
    found = findings("review", f"{SCRIPT} {ARABIC}", 10_000, triggers=triggers)
    verdict = found.verdict.model_copy(update={"priority": True, "role": "safety<lead>"})
    found = replace(found, verdict=verdict, models=(ModelUsed(detector="objects", name=SCRIPT, version=TURNED),))
    near = [Copy(key=SCRIPT, name=ARABIC, report="javascript:alert(1)", alike=0.999), Copy(key="k", report="https://x.example/?a=1&b=2")]
    name = f"\"quoted' {ARABIC} {TURNED} {SCRIPT} \udce9 {long}.mp4"
    return screening_report(SiteName(slug="a", name=SCRIPT), video(name, 10_000, key=f"k {SCRIPT}"), found, near=near, cost=Cost(usd=None))


REPORTS: dict[str, Callable[[], ScreeningReport]] = {
    "clean": clean,
    "five": five,
    "nothing": nothing,
    "refused": refused,
    "duplicate": duplicate,
    "two hours": two_hours,
    "hostile": hostile,
}


@cache
def _picture(shade: int) -> bytes:
    from PIL import Image, ImageDraw

    picture = Image.effect_noise((320, 180), 60).convert("RGB")
    canvas = ImageDraw.Draw(picture)
    canvas.rectangle((20 + shade * 4, 40, 120 + shade * 4, 140), fill=(shade * 9 % 255, 120, 200 - shade * 5))
    canvas.ellipse((180, 30, 290, 150), fill=(220, shade * 7 % 255, 60))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=80)
    return out.getvalue()


def thumbnail(frame: Frame) -> bytes | None:
    """A picture for the frame: about 20 KB of JPEG, as grainy footage has."""
    return _picture(frame.number % 24)
