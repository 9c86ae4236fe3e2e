"""A video's compliance report: made from what the database knows of it, and left in the object store."""

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from sqlalchemy.orm import Session

from pressroom.compliance.desk import VideoDesk
from pressroom.compliance.source import STAGES, open_media
from pressroom.errors import Permanent, PressroomError
from pressroom.records import Frame, Video
from pressroom.reports.mail import announce, report_ready
from pressroom.reports.screening import (
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
from pressroom.reports.screening_render import render_screening_html, render_screening_json, render_screening_vtt
from pressroom.review.tasks import open_task
from pressroom.store.costs import paid_by
from pressroom.store.review import pending_verdicts
from pressroom.store.tables import DetectionRow
from pressroom.store.videos import (
    coverages_of,
    detections_of,
    end_video,
    media_of,
    reports_of,
    save_report,
    screening_of,
    signals_of,
    video_by_key,
)

# Without a policy nothing was judged: a video that was refused, or whose first upload's report stands.
NO_POLICY = "none"
FOLDER = "report/"  # in that of the video


@dataclass(frozen=True)
class Made:
    """A report and the keys of its files."""

    report: ScreeningReport
    html_key: str
    json_key: str
    vtt_key: str


def make_video_report(desk: VideoDesk) -> Made:
    """The report of the newest judgement of a video; of one that was refused or is a duplicate, why there is none.

    The pictures that it shows are kept beside it for good. Raises Permanent for a video that no policy has judged.
    """
    report = desk.store.retrying(lambda session: _report(session, desk))
    pictures = _keep_evidence(desk, report, f"{desk.video.folder}{FOLDER}")
    keys = {kind: _key(desk.video, kind) for kind in ("html", "json", "vtt")}
    html = render_screening_html(report, thumbnail=lambda frame: pictures.get(frame.number))
    for kind, text in (("html", html), ("json", render_screening_json(report)), ("vtt", render_screening_vtt(report))):
        desk.objects.write(keys[kind], text.encode())
    document, policy = report.model_dump(mode="json"), report.policy.version if report.policy else NO_POLICY
    saved = {f"{kind}_key": key for kind, key in keys.items()}
    desk.write(
        lambda session: save_report(session, desk.video, policy, report.outcome or report.state, document, run_id=desk.run_id, **saved)
    )
    return Made(report, **saved)


def hand_over(session: Session, desk: VideoDesk, report: ScreeningReport, where: str) -> None:
    """Gives a screened video to a person, and tells of its report, in one transaction. Done again it is done once.

    A video that was decided on under this very policy stays completed.
    """
    if desk.is_screened and report.policy:
        task = open_task(session, desk.video.id, report.policy.version)
        is_completed = task.state == "decided" and not pending_verdicts(session, video_id=desk.video.id)
        end_video(session, desk.video, "completed" if is_completed else "verification")
    announce(session, desk.video, report_ready(report, where))


def _report(session: Session, desk: VideoDesk) -> ScreeningReport:
    video = desk.video
    media = media_of(session, video) or {}
    detections = detections_of(session, video)
    taken: dict[str, float] = media.get("seconds", {})
    timings = {stage: taken[stage] for stage in STAGES if stage in taken} | {row.detector: row.seconds for row in detections if row.seconds}
    return screening_report(
        SiteName(slug=desk.site.slug, name=desk.site.name),
        video_report(video),
        _state(session, video, media, detections),
        near=[_copy(session, near.key, alike=near.share) for near in video.near],
        cost=_cost(session, detections),
        timings=timings,
    )


def _state(session: Session, video: Video, media: dict[str, object], detections: list[DetectionRow]) -> Findings | Refusal | Duplicate:
    if video.state == "refused":
        return Refusal(video.reason or "it could not be read")
    if video.state == "duplicate" and video.duplicate_of:
        return Duplicate(_copy(session, video.duplicate_of))
    judged = screening_of(session, video)
    if judged is None:
        raise Permanent(f"video {video.key}: no policy has judged it yet: materialise compliance/risk_triggers first")
    verdict, triggers = judged
    name = verdict.policy.rpartition("-")[0]
    gap = media.get("largest_gap_ms")
    frames = media.get("frames", [])
    assert isinstance(frames, list)
    return Findings(
        verdict=verdict,
        policy=PolicyUsed(name=name, version=verdict.policy),
        coverages=coverages_of(session, video),
        triggers=triggers,
        signals=Counter(signal.detector for signal in signals_of(session, video)),
        frames=[Frame.model_validate(frame) for frame in frames],
        largest_gap_s=gap / 1000 if isinstance(gap, int) else None,
        models=[
            ModelUsed(detector=row.detector, name=row.version, version=row.version, hosted=row.calls > 0)
            for row in detections
            if row.version
        ],
    )


def video_report(video: Video) -> VideoReport:
    """The video as its report names it."""
    upload = video.upload
    return VideoReport(
        key=video.key, name=upload.name, uploaded_at=upload.uploaded_at, size=upload.size, sha256=video.sha256, probe=video.probe
    )


def _cost(session: Session, detections: list[DetectionRow]) -> Cost:
    calls, replayed = sum(row.calls for row in detections), sum(row.replayed for row in detections)
    paid = {run_id: paid_by(session, run_id) for run_id in {row.run_id for row in detections if row.run_id}}
    return Cost(
        usd=sum((row.cost_usd for row in detections), Decimal(0)),
        paid_usd=sum((paid[row.run_id].get(f"compliance/{row.detector}", Decimal(0)) for row in detections if row.run_id), Decimal(0)),
        paid=calls - replayed,
        replayed=replayed,
    )


def _key(video: Video, kind: str) -> str:
    return f"{video.folder}{FOLDER}report.{kind}"


def _copy(session: Session, key: str, alike: float | None = None) -> Copy:
    other, _ = video_by_key(session, key)
    outcome, html_key = reports_of(session, other)
    # A video that came together with its copy may not have its report yet: it will be there.
    return Copy(key=key, name=other.upload.name, report=html_key or _key(other, "html"), outcome=outcome, alike=alike)


def _keep_evidence(desk: VideoDesk, report: ScreeningReport, folder: str) -> dict[int, bytes]:
    """The thumbnails of the frames that the triggers stand on, by the frame's number; each is kept beside the report."""
    if not report.frames:
        return {}
    found: dict[int, bytes] = {}
    kept = {stored.key for stored in desk.objects.list(folder)}
    try:
        media: Path | None = open_media(desk).folder
    except PressroomError:  # retention has deleted the frames: those of an earlier report are still there
        media = None
    for frame in report.frames:
        key = f"{folder}frames/{frame.key}"
        if key in kept:
            found[frame.number] = desk.objects.read(key)
        elif media:
            found[frame.number] = (media / "thumb" / frame.key).read_bytes()
            desk.objects.write(key, found[frame.number])
            desk.objects.write(f"{folder}frames/large/{frame.key}", (media / "large" / frame.key).read_bytes())
    return found
