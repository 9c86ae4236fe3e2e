"""The media line: one video from the bucket to a compliance report, and the decision on it."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from functools import partial
from typing import Any

import dagster as dg

from content_assets.automation import BY_COMMAND, COMPLIANCE_OWNERS, COMPLIANCE_TAGS, OUTAGE_RETRIES, after_outage
from content_assets.partitions import videos
from content_assets.shell import check, for_good
from pressroom.compliance.desk import VideoDesk
from pressroom.compliance.detecting import DETECTORS, Looked, Words, look_at
from pressroom.compliance.judging import judge_video
from pressroom.compliance.source import Source, audio_error, open_media, rules_of, take_in
from pressroom.compliance.spending import check_estimate
from pressroom.compliance.tracks import keep_detection
from pressroom.errors import Blocked, Permanent, PressroomError, Transient
from pressroom.llm.opening import budget_of
from pressroom.records import Detector, Tally, VideoState, version_of, version_of_text
from pressroom.reports.decisions import make_decision
from pressroom.reports.screening_render import render_screening_markdown, told_cost
from pressroom.reports.videos import hand_over, make_video_report
from pressroom.safety.policy import policy
from pressroom.settings import load_settings
from pressroom.store.costs import paid_by
from pressroom.store.videos import coverages_of, signals_of
from resources.detectors import DetectorsResource
from resources.objects import ObjectsResource
from resources.store import TRIGGER_TAG, StoreResource


def _key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["compliance", name])


SOURCE, FRAMES, AUDIO = (_key(name) for name in ("source_video", "video_frames", "audio_track"))
TRIGGERS, REPORT, DECISION = (_key(name) for name in ("risk_triggers", "compliance_report", "final_decision"))

ALMOST_ALL = 0.99  # the span of a last frame is rounded
_SHARED: Any = {
    "partitions_def": videos,
    "group_name": "compliance",
    "owners": COMPLIANCE_OWNERS,
    "tags": COMPLIANCE_TAGS,
}
_LOOKS_FOR: dict[Detector, str] = {
    "transcript": "What is said in the video, with the time of every phrase.",
    "screen_text": "What stands on the screen, line by line, and for how long.",
    "objects": "Weapons, drugs and other things that the risks name.",
    "nudity": "Nudity in the frames, explicit and suggestive.",
    "violence": "Violence and blood in the frames, as the risks name it.",
    "flagged_terms": "Words of the dictionaries, and personal data, in what is said, shown and written beside the video.",
}


_LOOKS_AT = {"transcript": [AUDIO], "flagged_terms": [_key("transcript"), _key("screen_text")]}  # all others at the frames


@contextmanager
def video_work(context: dg.AssetExecutionContext, store: StoreResource, objects: ObjectsResource) -> Iterator[VideoDesk]:
    """The video of the run's partition. What fails for good is the video's state too; an outage asks for a retry of the step."""
    desk = None
    by_command = context.run.tags.get(TRIGGER_TAG) == BY_COMMAND
    try:
        desk = store.video(context, objects.open())
        yield desk
    except Transient as error:
        if by_command or context.retry_number >= OUTAGE_RETRIES:
            _end(context, desk, "failed", str(error))
        if by_command:
            raise for_good(error, "; run it again later: what is done stays done") from error
        raise after_outage(context.retry_number) from error
    except (Blocked, Permanent) as error:
        _end(context, desk, "blocked" if isinstance(error, Blocked) else "failed", str(error))
        raise for_good(error) from error
    except Exception as error:  # a bug of ours: the traceback is in the run's log
        _end(context, desk, "failed", f"an error in Pressroom itself ({type(error).__name__}); see run {context.run.run_id}")
        raise


def _end(context: dg.AssetExecutionContext, desk: VideoDesk | None, state: VideoState, reason: str) -> None:
    """Books what became of the video. What goes wrong after the report, the person's part, leaves the video's state as it is."""
    if desk is None or DECISION in context.selected_asset_keys:
        return
    with suppress(PressroomError):  # without a database the sensor lost_runs says it later
        desk.end(state, reason)


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            SOURCE,
            description="The upload: its bytes hashed, its content checked; refused, a duplicate, or taken apart.",
            kinds={"python", "mp4", "postgres"},
            code_version="1",
            **_SHARED,
        ),
        dg.AssetSpec(
            FRAMES,
            deps=[SOURCE],
            description="Frames of the video, no stretch longer than 2 s without one; black, frozen and flashing pictures.",
            kinds={"python", "jpeg"},
            code_version="1",
            **_SHARED,
        ),
        dg.AssetSpec(
            AUDIO,
            deps=[SOURCE],
            description="The sound at 16 kHz, and where somebody speaks.",
            kinds={"python"},
            code_version="1",
            **_SHARED,
        ),
    ],
    check_specs=[
        dg.AssetCheckSpec("screenable", asset=SOURCE, description="The upload is a video that can be screened."),
        dg.AssetCheckSpec(
            "gaps_within_limit", asset=FRAMES, description="No stretch of the video goes without a look for longer than the limit."
        ),
        dg.AssetCheckSpec("heard_to_the_end", asset=AUDIO, description="Whatever sound the video has was decoded."),
    ],
)
def source(context: dg.AssetExecutionContext, store: StoreResource, objects: ObjectsResource) -> Iterator[dg.MaterializeResult]:
    """One pass over the bytes: fetch, hash, check, and in a process of its own frames and sound."""
    rules = rules_of(load_settings())
    with video_work(context, store, objects) as desk:
        found = take_in(desk, rules)
    refused = found.video.state == "refused"
    yield dg.MaterializeResult(
        asset_key=SOURCE,
        metadata=_source_metadata(found),
        data_version=dg.DataVersion(found.video.sha256 or "none"),
        check_results=[check("screenable", SOURCE, not refused, warn=True, reason=found.video.reason or "-")],
    )
    taken = found.taken
    if taken is None:
        yield from _nothing_taken(found)
        return
    gap_s = taken.largest_gap_ms / 1000
    own = sum(frame.same_as is None for frame in taken.frames)
    yield dg.MaterializeResult(
        asset_key=FRAMES,
        metadata={"frames": len(taken.frames), "sent to detectors": own, "largest gap (s)": gap_s, "coverage": taken.picture.fraction},
        data_version=dg.DataVersion(version_of(taken.frames)),
        check_results=[check("gaps_within_limit", FRAMES, taken.complete and gap_s <= rules.max_gap_s, largest_gap_s=gap_s)],
    )
    spoken = sum(end - start for start, end in taken.speech) / 1000
    yield dg.MaterializeResult(
        asset_key=AUDIO,
        metadata={"has sound": taken.audio is not None, "speech (s)": spoken, "coverage": taken.sound.fraction},
        data_version=dg.DataVersion(version_of_text(f"{taken.speech} {taken.loudness}")),
        check_results=[check("heard_to_the_end", AUDIO, not audio_error(taken), warn=True, reason=taken.sound.reason or "-")],
    )


def _nothing_taken(found: Source) -> Iterator[dg.MaterializeResult]:
    nothing: dict[str, Any] = {
        "state": found.video.state,
        "reason": found.video.reason or f"the same bytes as {found.video.duplicate_of}",
    }
    for key, name in ((FRAMES, "gaps_within_limit"), (AUDIO, "heard_to_the_end")):
        yield dg.MaterializeResult(asset_key=key, metadata=nothing, check_results=[check(name, key, True, **nothing)])


def _source_metadata(found: Source) -> dict[str, Any]:
    video, probe = found.video, found.video.probe
    facts: dict[str, Any] = {"state": video.state, "object": video.upload.object_key, "bytes": video.upload.size}
    facts |= {"reason": video.reason} if video.reason else {}
    facts |= {"duplicate of": video.duplicate_of} if video.duplicate_of else {}
    facts |= {"looks like": ", ".join(f"{near.key} ({near.share:.0%})" for near in found.near)} if found.near else {}
    if probe:
        shape = f"{probe.container}, {probe.video_codec}, {probe.width}×{probe.height}, {probe.fps:g} frames a second"
        facts |= {"duration (s)": probe.duration_ms / 1000, "format": shape}
    return facts


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            _key(detector),
            deps=_LOOKS_AT.get(detector, [FRAMES]),
            description=_LOOKS_FOR[detector],
            kinds={"python", "replicate"} if detector in ("objects", "nudity", "violence") else {"python"},
            code_version="1",
            **_SHARED,
        )
        for detector in DETECTORS
    ],
    check_specs=[
        dg.AssetCheckSpec("looked_at_all", asset=_key(detector), description="The detector looked at the whole video.")
        for detector in DETECTORS
    ],
    can_subset=True,
)
def detectors(
    context: dg.AssetExecutionContext, store: StoreResource, objects: ObjectsResource, detectors: DetectorsResource
) -> Iterator[dg.MaterializeResult]:
    """The selected detectors, all at work together; one that fails is said in its coverage and does not fail the others."""
    wanted = [detector for detector in DETECTORS if _key(detector) in context.selected_asset_keys]
    with video_work(context, store, objects) as desk:
        looked = _look(context, desk, wanted, detectors) if desk.is_screened else []
        paid = desk.store.retrying(partial(paid_by, run_id=desk.run_id))
    by_detector = {each.detector: each for each in looked}
    for detector in wanted:
        yield _detected(detector, by_detector.get(detector), desk.video.state, paid.get(f"compliance/{detector}", Decimal(0)))


def _look(context: dg.AssetExecutionContext, desk: VideoDesk, wanted: Sequence[Detector], detectors: DetectorsResource) -> list[Looked]:
    media, tally = open_media(desk), Tally()
    with desk.store.transaction() as session:
        known = signals_of(session, desk.video, "transcript", "screen_text"), coverages_of(session, desk.video)
    words = Words(desk.video.title, desk.video.description, tuple(known[0]), tuple(known[1]))
    runners, limit = detectors.runners(desk, tally), budget_of(load_settings()).limit
    desk.store.retrying(lambda session: check_estimate(session, desk.site, media, runners, wanted, limit))

    def done(each: Looked) -> None:
        keep_detection(desk, each)
        context.log.info(f"{each.detector}: {each.detection.coverage.state}, {len(each.detection.signals)} signals in {each.seconds:.1f} s")

    return asyncio.run(look_at(media, runners, wanted, words, done))


def _detected(detector: Detector, looked: Looked | None, state: str, paid: Decimal) -> dg.MaterializeResult:
    if looked is None:
        skipped = {"coverage": "skipped", "reason": f"the video is {state}"}
        is_fine = check("looked_at_all", _key(detector), True, state=state)
        return dg.MaterializeResult(asset_key=_key(detector), metadata=skipped, check_results=[is_fine])
    detection, coverage = looked.detection, looked.detection.coverage
    is_whole = coverage.state == "analysed" and coverage.fraction > ALMOST_ALL
    asked: dict[str, Any] = {"calls paid": detection.calls - detection.replayed, "calls replayed": detection.replayed}
    asked |= {"cost in all (USD)": float(detection.cost_usd), "paid by this run (USD)": float(paid)}
    return dg.MaterializeResult(
        asset_key=_key(detector),
        metadata={
            "coverage": coverage.state,
            "analysed": round(coverage.fraction, 3),
            "signals": len(detection.signals),
            "model": coverage.version or "none",
            "reason": coverage.reason or "-",
            "seconds": round(looked.seconds, 2),
            **(asked if detection.calls else {}),
        },
        data_version=dg.DataVersion(version_of((coverage, *detection.signals))),
        check_results=[check("looked_at_all", _key(detector), is_whole, warn=True, reason=coverage.reason or "-")],
    )


@dg.asset(
    key=TRIGGERS,
    deps=[FRAMES, AUDIO, *(_key(detector) for detector in DETECTORS)],
    kinds={"python", "postgres"},
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec(
            "required_coverage", asset=TRIGGERS, description="Every detector that the policy requires looked at enough of it."
        ),
        dg.AssetCheckSpec("inside_the_video", asset=TRIGGERS, description="No trigger lies outside the video."),
    ],
    partitions_def=videos,
    group_name="compliance",
    owners=COMPLIANCE_OWNERS,
    tags=COMPLIANCE_TAGS,
)
def risk_triggers(context: dg.AssetExecutionContext, store: StoreResource, objects: ObjectsResource) -> dg.MaterializeResult:
    """The stored signals judged by the policy: triggers by risk code, and the machine's outcome. Asks no detector."""
    settings = load_settings()
    rules = policy(settings.policy or "default", settings.risks)
    with video_work(context, store, objects) as desk:
        if not desk.is_screened:
            fine = [check(name, TRIGGERS, True, state=desk.video.state) for name in ("required_coverage", "inside_the_video")]
            return dg.MaterializeResult(metadata={"triggers": 0, "state": desk.video.state}, check_results=fine)
        judged = judge_video(desk, rules)
    verdict, triggers = judged.verdict, judged.triggers
    outside = [f"{trigger.code} {trigger.start_ms}–{trigger.end_ms} ms" for trigger in triggers if not judged.is_inside(trigger)]
    return dg.MaterializeResult(
        metadata={
            "outcome": verdict.outcome,
            "why": verdict.why,
            "triggers": len(triggers),
            "policy": verdict.policy,
            "not analysed": list(verdict.not_analysed),
        },
        data_version=dg.DataVersion(judged.version),
        check_results=[
            check("required_coverage", TRIGGERS, not judged.lacking, warn=True, missing=list(judged.lacking)),
            check("inside_the_video", TRIGGERS, not outside, outside=outside),
        ],
    )


@dg.asset(
    key=REPORT,
    deps=[TRIGGERS],
    kinds={"python", "html"},
    code_version="1",
    check_specs=[dg.AssetCheckSpec("report_complete", asset=REPORT, description="The report says of every detector what it looked at.")],
    partitions_def=videos,
    group_name="compliance",
    owners=COMPLIANCE_OWNERS,
    tags=COMPLIANCE_TAGS,
)
def compliance_report(context: dg.AssetExecutionContext, store: StoreResource, objects: ObjectsResource) -> dg.MaterializeResult:
    """The compliance report in HTML, JSON and WebVTT, and the task of the person who verifies it."""
    with video_work(context, store, objects) as desk:
        made = make_video_report(desk)
        where = desk.objects.location(made.html_key)
        desk.write(partial(hand_over, desk=desk, report=made.report, where=where))
    report = made.report
    silent = [one.detector for one in report.coverage if one.state != "analysed" and not one.reason]
    return dg.MaterializeResult(
        metadata={
            "outcome": report.outcome or report.state,
            "why": report.why,
            "cost": told_cost(report.cost),
            "report": dg.MetadataValue.path(where),
            "preview": dg.MetadataValue.md(render_screening_markdown(report)),
        },
        data_version=dg.DataVersion(report.version),
        check_results=[check("report_complete", REPORT, not silent, warn=True, silent=silent)],
    )


@dg.asset(
    key=DECISION,
    partitions_def=videos,
    deps=[REPORT],
    group_name="compliance",
    kinds={"python", "json"},
    owners=COMPLIANCE_OWNERS,
    tags=COMPLIANCE_TAGS,
    code_version="1",
    check_specs=[dg.AssetCheckSpec("labelled", asset=DECISION, description="Every trigger of severity 2 or more has a person's label.")],
)
def final_decision(context: dg.AssetExecutionContext, store: StoreResource, objects: ObjectsResource) -> dg.MaterializeResult:
    """The person's verdict on the video, its reason and labels, beside the report; the video is completed."""
    with video_work(context, store, objects) as desk:
        decision, key = make_decision(desk)
        where = desk.objects.location(key)
    return dg.MaterializeResult(
        metadata={"verdict": decision.verdict, "summary": decision.summary, "decision": dg.MetadataValue.path(where)},
        data_version=dg.DataVersion(version_of((decision,))),
        check_results=[check("labelled", DECISION, not decision.unlabelled, unlabelled=list(decision.unlabelled))],
    )
