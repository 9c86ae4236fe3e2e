"""The compliance report as a document: what it says is not analysed, what its version hangs on, and the schema that is published."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pressroom.records import Coverage
from pressroom.reports.screening import (
    DETECTOR_NAMES,
    DETECTORS,
    Copy,
    Cost,
    Duplicate,
    Findings,
    PolicyUsed,
    Refusal,
    ScreeningReport,
    clock,
    not_analysed,
    screening_report,
)
from pressroom.reports.screening_render import render_screening_json
from pressroom.reports.screening_schema import report_schema, schema_text
from pressroom.safety.judging import judge
from pressroom.safety.policy import policy
from tests.reports.sample_screenings import (
    NO_MODEL,
    REPORTS,
    SITE,
    clean,
    coverages,
    duplicate,
    findings,
    five,
    nothing,
    refused,
    trigger,
    video,
)

SCHEMA = Path(__file__).parents[2] / "docs" / "compliance-report.schema.json"


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_validates_against_the_published_schema(name: str) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(json.loads(render_screening_json(REPORTS[name]())))


def test_the_published_schema_is_current_and_a_schema() -> None:
    said = "write it again: python -m pressroom.reports.screening_schema > docs/compliance-report.schema.json"
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), said
    jsonschema.Draft202012Validator.check_schema(report_schema())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda report: report.pop("not_analysed"),
        lambda report: report.update(outcome="clean"),
        lambda report: report.update(schema_version=2),
        lambda report: report["triggers"][0].update(severity=4),
        lambda report: report["coverage"][0].pop("state"),
        lambda report: report["signals"].update(smell=1),
    ],
)
def test_the_schema_refuses_what_is_no_report(spoil: Any) -> None:
    report = json.loads(render_screening_json(five()))
    spoil(report)
    assert not jsonschema.Draft202012Validator(report_schema()).is_valid(report)


def test_a_reader_of_the_schema_takes_a_report_with_more_fields() -> None:
    report = json.loads(render_screening_json(five())) | {"mood": "fine"}
    report["video"]["colour"] = "green"
    jsonschema.Draft202012Validator(report_schema()).validate(report)


@pytest.mark.parametrize("name", REPORTS)
def test_json_gives_the_report_back(name: str) -> None:
    report = REPORTS[name]()
    assert ScreeningReport.model_validate_json(render_screening_json(report)) == report


def test_the_top_level_is_what_the_command_promises() -> None:
    promised = {"schema_version", "video", "outcome", "why", "not_analysed", "coverage", "triggers", "signals", "models", "policy"}
    assert promised | {"duplicates", "cost", "timings"} <= json.loads(render_screening_json(five())).keys()


@pytest.mark.parametrize("name", REPORTS)
def test_every_detector_stands_once_in_the_coverage(name: str) -> None:
    assert tuple(one.detector for one in REPORTS[name]().coverage) == DETECTORS


def test_a_detector_that_nobody_reported_on_is_not_analysed() -> None:
    heard = Coverage(detector="transcript", state="analysed", seconds=10, of_s=10)
    report = screening_report(SITE, video("a.mp4", 10_000), findings("review", "why", 10_000, coverages=[heard]))
    assert len(report.not_analysed) == len(DETECTORS) - 1
    assert "Violence: not analysed. It did not run." in report.not_analysed


@pytest.mark.parametrize(
    ("coverage", "sentence"),
    [
        (Coverage(detector="nudity", state="analysed", seconds=60, of_s=60), ""),
        (Coverage(detector="nudity", state="analysed", seconds=59.96, of_s=60), "Nudity: 0:00.1 of 1:00 not analysed."),
        (Coverage(detector="nudity", state="analysed", seconds=45, of_s=60, reason="Late."), "Nudity: 0:15 of 1:00 not analysed. Late."),
        (Coverage(detector="nudity", state="failed"), "Nudity: not analysed, the detector failed."),
        (Coverage(detector="sound", state="skipped", reason="No sound."), "Silence and loudness: not analysed. No sound."),
        (Coverage(detector="sound", state="analysed"), "Silence and loudness: not analysed."),
        (
            Coverage(detector="flagged_terms", state="unsupported", seconds=60, of_s=60, reason="no dictionary of 'pt' for gambling"),
            "Flagged words: analysed in part. No dictionary of 'pt' for gambling.",
        ),
    ],
)
def test_what_was_not_analysed_is_said_in_one_sentence(coverage: Coverage, sentence: str) -> None:
    assert not_analysed(coverage) == sentence


def test_what_the_policy_says_beside_the_coverage_is_kept_and_nothing_is_said_twice() -> None:
    lines = (
        "violence: unsupported (no model is set)",
        "violence: 3 findings without a score, which the policy does not count",
        "nudity: 12 findings without a score, which the policy does not count",
        "no detector looked for VIO.GORE, HATE.SYMBOL",
    )
    found = findings("incomplete", "why", 10_000, coverages=coverages(10_000, missing=("violence",)))
    report = screening_report(
        SITE, video("a.mp4", 10_000), replace(found, verdict=found.verdict.model_copy(update={"not_analysed": lines}))
    )
    assert report.not_analysed == (
        f"Violence: not analysed. {NO_MODEL}",
        "Violence: 3 findings without a score, which the policy does not count.",
        "Nudity: 12 findings without a score, which the policy does not count.",
        "No detector looked for VIO.GORE, HATE.SYMBOL.",
    )


def test_what_the_shipped_policy_says_is_told_once_for_each_detector() -> None:
    rules = policy()
    heard = Coverage(detector="transcript", state="analysed", seconds=20, of_s=30, reason="the sound stopped at 0:20")
    looked = [heard, Coverage(detector="nudity", state="unsupported", reason="no model is set")]
    triggers, verdict = judge((), looked, rules, 30_000)
    found = Findings(verdict, PolicyUsed(name=rules.name, version=rules.version), looked, triggers)
    told = screening_report(SITE, video("a.mp4", 30_000), found).not_analysed
    assert told[0] == "Speech: 0:10 of 0:30 not analysed. The sound stopped at 0:20."
    assert all(sum(line.startswith(f"{name}: ") for line in told) == 1 for name in DETECTOR_NAMES.values())
    assert told[len(DETECTORS) :][0].startswith("No detector looked for ")


def test_a_video_that_was_wholly_looked_at_has_nothing_left_to_say() -> None:
    assert clean().not_analysed == ()


@pytest.mark.parametrize("make", [refused, duplicate])
def test_an_upload_that_was_not_screened_has_no_outcome_and_no_coverage(make: Any) -> None:
    report = make()
    assert report.outcome is None
    assert report.policy is None
    assert not [one for one in report.coverage if one.state == "analysed"]
    assert len(report.not_analysed) == len(DETECTORS)


def test_a_refusal_says_why_and_a_duplicate_leads_to_the_first() -> None:
    assert refused().why.startswith("The file holds a JPEG picture")
    first = duplicate().duplicates.of
    assert first is not None
    assert (first.key, first.outcome) == ("2026-11-13.harbour-coffee.market-day.12cd", "block")
    assert "market day.mp4" in duplicate().why


def test_frames_are_only_those_that_a_trigger_stands_on() -> None:
    report = five()
    shown = {evidence.frame for one in report.triggers for evidence in one.evidence if evidence.frame is not None}
    assert {frame.number for frame in report.frames} == shown
    assert report.sampling is not None
    assert report.sampling.frames == 61


def test_triggers_stand_in_the_order_of_the_video() -> None:
    later, earlier = trigger(1, "VIO.WEAPON", 9_000, 500, 0.9), trigger(2, "VIO.WEAPON", 1_000, 500, 0.9)
    report = screening_report(SITE, video("a.mp4", 10_000), findings("review", "why", 10_000, triggers=[later, earlier]))
    assert [one.number for one in report.triggers] == [2, 1]


def test_the_version_stays_when_a_second_run_finds_the_same_for_less_money() -> None:
    found = findings("clear", "why", 10_000)
    paid = screening_report(SITE, video("a.mp4", 10_000), found, cost=Cost(paid=9), timings={"detectors": 20.0})
    replayed = screening_report(SITE, video("a.mp4", 10_000), found, cost=Cost(replayed=9), timings={"detectors": 0.1})
    other = screening_report(SITE, video("a.mp4", 10_000), findings("review", "why", 10_000))
    assert paid.version == replayed.version != other.version


def test_a_file_name_that_is_no_text_is_still_reported() -> None:
    report = screening_report(SITE, video("caf\udce9.mp4"), Refusal("It is empty."))
    assert report.video.name == "caf?.mp4"
    render_screening_json(report).encode()


def test_a_duplicate_of_a_nameless_upload_names_its_key() -> None:
    report = screening_report(SITE, video("a.mp4"), Duplicate(Copy(key="first-key")))
    assert "uploaded before as first-key" in report.why


def test_nothing_analysed_is_said_of_all_eight() -> None:
    assert len(nothing().not_analysed) == 8


@pytest.mark.parametrize(
    ("ms", "shown"), [(0, "0:00"), (-5, "0:00"), (12_399, "0:12.3"), (61_000, "1:01"), (3_723_400, "1:02:03.4"), (7_200_000, "2:00:00")]
)
def test_a_time_is_shown_as_players_show_it(ms: int, shown: str) -> None:
    assert clock(ms) == shown
