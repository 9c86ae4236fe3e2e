"""Risks, policies and dictionaries are files that people edit: each mistake is one line that says where."""

from pathlib import Path

import pytest

from pressroom import inference
from pressroom.safety.dictionaries import dictionaries, read_dictionary
from pressroom.safety.policy import policy, shipped_policies
from pressroom.safety.reading import Mistakes, read_mapping
from pressroom.safety.risks import SHIPPED, risks, unknown_labels

FACTS = """SEX.EXPLICIT SEX.SUGGESTIVE VIO.PHYSICAL VIO.GORE VIO.WEAPON VIO.SELFHARM DIST.DEATH SUB.DRUGS SUB.TOBACCO SUB.ALCOHOL
HATE.SYMBOL HATE.SPEECH LANG.PROFANITY GEST.RUDE GAMB TERROR MISINFO SPAM.SCAM PIRACY
CLAIM.HEALTH CLAIM.FINANCE PII.ONSCREEN CHILD.SAFETY"""


def written(folder: Path, text: str, name: str = "own.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_every_code_of_the_catalogue_is_there_and_every_word_counts_for_one() -> None:
    assert list(risks().by_code()) == FACTS.split()
    assert unknown_labels(risks(), dictionaries()) == ()
    assert {risk.code for risk in risks().risks if not risk.detectors} == {"MISINFO"}
    for name in shipped_policies():
        assert policy(name).action_of(risks().by_code()["CHILD.SAFETY"]) == "escalate"


def test_what_the_hosted_models_find_is_asked_for() -> None:
    """A label that no risk names counts for nothing: here are those that are meant to."""
    hosted = read_mapping(Path(inference.__file__).with_name("models.yaml"))["detectors"]
    found = {(detector, label) for detector, entry in hosted.items() for label in (entry.get("labels") or {}).values() if label}
    asked = {(one.id, one.label) for risk in risks().risks for one in risk.detectors}
    unasked = {"crime", "defamation", "specialised_advice", "elections", "code_abuse"}
    assert found - asked == {("violence", label) for label in unasked}


def test_a_file_of_ones_own_changes_what_it_names(tmp_path: Path) -> None:
    new = "{code: BRAND.RIVAL, title: A rival, severity: 1, modality: text, default_action: review}"
    own = risks(written(tmp_path, f"risks:\n  - {{code: VIO.GORE, severity: 2}}\n  - {new}\n"))
    assert own.by_code()["VIO.GORE"] == risks().by_code()["VIO.GORE"].model_copy(update={"severity": 2})
    assert [risk.code for risk in own.risks][-1] == "BRAND.RIVAL"
    assert own.version != risks().version


def test_a_comment_changes_no_version_and_a_threshold_does(tmp_path: Path) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    assert risks(written(tmp_path, "# my copy\n" + text)).version == risks().version
    assert policy(own_risks=written(tmp_path, text.replace("threshold: 0.8", "threshold: 0.7", 1), "b.yaml")).version != policy().version


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ("{code: VIO.GORE, severity: 4}", "VIO.GORE: severity: expected 3 or less, not '4'"),
        ("{code: VIO.GORE, severty: 2}", "VIO.GORE: severty: unknown field 'severty'"),
        ("{code: VIO.GORE, default_action: stop}", "VIO.GORE: default_action: expected pass, review, block or escalate, not 'stop'"),
        ("{code: VIO.GORE, detectors: [{id: object, label: a, threshold: 0.5}]}", "VIO.GORE: detectors[1].id: expected transcript, "),
        (
            "{code: VIO.GORE, detectors: [{id: objects, label: a, threshold: 1.5}]}",
            "VIO.GORE: detectors[1].threshold: expected 1 or less, not '1.5'",
        ),
        (
            "{code: VIO.GORE, detectors: [{id: objects, label: a, threshold: 1}, {id: objects, label: A, threshold: 1}]}",
            "VIO.GORE: detectors: objects 'a' stands twice",
        ),
        ("{code: NEW, title: New, severity: 1, modality: text}", "NEW: default_action: is missing"),
        ("{code: CHILD.SAFETY, default_action: block}", "CHILD.SAFETY: default_action: CHILD.SAFETY is never decided by a machine"),
        ("{code: lower, title: New}", "lower: code: "),
        ("{severity: 2}", "entry 1: code: is missing"),
        ("{code: GAMB}\n  - {code: GAMB}", "GAMB: code: stands twice"),
        ("{code: GAMB, severity: 1, severity: 2}", "no valid YAML (the key 'severity' stands twice)"),
        ("{code: GAMB, [severity]: 1}", "no valid YAML (found unhashable key)"),
    ],
)
def test_a_mistake_in_a_risk_is_one_line_with_file_code_and_field(tmp_path: Path, entry: str, line: str) -> None:
    path = written(tmp_path, f"risks:\n  - {entry}\n")
    with pytest.raises(Mistakes) as found:
        risks(path)
    assert any(one.startswith(str(path)) and line in one for one in found.value.lines), found.value.lines


def test_all_mistakes_of_a_risk_come_in_one_go(tmp_path: Path) -> None:
    twice = "[{id: objects, label: a, threshold: 1}, {id: objects, label: A, threshold: 1}]"
    path = written(tmp_path, f"risks:\n  - {{code: CHILD.SAFETY, default_action: pass, severity: 9, colour: red, detectors: {twice}}}\n")
    with pytest.raises(Mistakes) as found:
        risks(path)
    fields = {line.removeprefix(f"{path}: CHILD.SAFETY: ").partition(":")[0] for line in found.value.lines}
    assert fields == {"default_action", "severity", "colour", "detectors"}


def test_each_mistake_has_a_line_of_its_own(tmp_path: Path) -> None:
    path = written(tmp_path, "risks:\n  - {code: GAMB, severity: 9, modality: smell}\n  - {code: TERROR, merge_gap_s: -1}\n")
    with pytest.raises(Mistakes) as found:
        risks(path)
    assert len(found.value.lines) == 3
    assert str(found.value).endswith("(and 2 more)")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("extends: default\nrequired: [{detector: objects}]", "required (objects): min_coverage: is missing"),
        ("extends: default\nrequired: [{detector: smell, min_coverage: 1}]", "required (smell): detector: expected transcript, "),
        ("extends: default\nactions: {VIO.GOR: block}", "actions: VIO.GOR is no code of the risks"),
        ("extends: default\nactions: {CHILD.SAFETY: pass}", "actions: CHILD.SAFETY is never decided by a machine"),
        ("extends: default\nactions: {GAMB: stop}", "actions: GAMB: expected pass, review, block or escalate, not 'stop'"),
        ("people_only: {GAMB: owner}", "people_only: CHILD.SAFETY is missing"),
        ("extends: defualt", "extends: expected default, strict or a file beside it, not 'defualt'"),
        ("extends: own.yaml", "extends: own.yaml extends this file again"),
        ("extends: default\ntrsut: []", "trsut: unknown field 'trsut'"),
        ("- a", "expected a mapping"),
        ("extends: [", "line "),
    ],
)
def test_a_mistake_in_a_policy_is_one_line_with_file_and_field(tmp_path: Path, text: str, line: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(Mistakes) as found:
        policy(path)
    assert len(found.value.lines) == 1
    assert found.value.lines[0].startswith(str(path))
    assert line in found.value.lines[0]


def test_all_mistakes_of_a_policy_come_in_one_go(tmp_path: Path) -> None:
    text = "extends: default\nseverity: 9\nactions: {CHILD.SAFETY: pass, VIO.GOR: block, GAMB: stop}\nthresholds: {GAMBLE: 0.5}\n"
    path = written(tmp_path, text)
    with pytest.raises(Mistakes) as found:
        policy(path)
    assert len(found.value.lines) == 5
    for part in (
        "severity: unknown field 'severity'",
        "actions: CHILD.SAFETY is never decided by a machine",
        "actions: VIO.GOR is no code of the risks",
        "actions: GAMB: expected pass",
        "thresholds: GAMBLE is no code of the risks",
    ):
        assert any(line.startswith(f"{path}: {part}") for line in found.value.lines), part


def test_a_policy_that_extends_another_changes_keys_of_its_mappings(tmp_path: Path) -> None:
    own = policy(written(tmp_path, "extends: strict\nactions: {GAMB: block}\nescalate_to: admin\n"))
    assert own.actions == policy("strict").actions | {"GAMB": "block"}
    assert own.required == policy("strict").required
    assert own.people_only == {"CHILD.SAFETY": "owner"}
    assert own.role_of("TERROR") == "admin"


@pytest.mark.parametrize(
    ("terms", "line"),
    [
        ("[ok]", "term 1 (ok): 'ok' is too short"),
        ("[{term: bingo, wieght: 1}]", "term 1 (bingo): wieght: unknown field 'wieght'"),
        ("[bingo, Bingo]", "'Bingo' stands twice"),
        ("[{term: bingo, weight: 2}]", "term 1 (bingo): weight: expected 1 or less, not '2'"),
        ("[]", "terms: "),
    ],
)
def test_a_mistake_in_a_dictionary_names_the_term(tmp_path: Path, terms: str, line: str) -> None:
    path = written(tmp_path, f"language: en\ncode: GAMB\nlabel: gambling\nterms: {terms}\n")
    with pytest.raises(Mistakes) as found:
        read_dictionary(path)
    assert line in found.value.lines[0]


def test_yaml_keeps_words_that_look_like_something_else(tmp_path: Path) -> None:
    """Norwegian is `no`, and no falsehood."""
    path = written(tmp_path, "language: no\ncode: GAMB\nlabel: gambling\nterms: [yes please, 1:20, nulltreff]\n")
    assert [one.term for one in read_dictionary(path).terms] == ["yes please", "1:20", "nulltreff"]
    assert read_dictionary(path).language == "no"


def test_a_folder_of_ones_own_replaces_and_adds_by_name(tmp_path: Path) -> None:
    written(tmp_path, "language: en\ncode: GAMB\nlabel: gambling\nterms: [bingo]\n", "gambling.en.yaml")
    written(tmp_path, "language: fr\ncode: GAMB\nlabel: gambling\nterms: [loterie]\n", "gambling.fr.yaml")
    own = dictionaries(tmp_path)
    assert [term.term for one in own.of("en") if one.label == "gambling" for term in one.terms] == ["bingo"]
    assert own.labels("fr-CA") == {"gambling": "GAMB"}
    assert own.version != dictionaries().version
    (tmp_path / "empty").mkdir()
    with pytest.raises(Mistakes, match="no dictionaries"):
        dictionaries(tmp_path / "empty")


def test_a_label_that_no_risk_asks_for_is_said(tmp_path: Path) -> None:
    written(tmp_path, "language: en\ncode: GAMB\nlabel: bingo\nterms: [bingo]\n", "bingo.en.yaml")
    assert unknown_labels(risks(), dictionaries(tmp_path))[0].startswith("GAMB: detectors: no entry for flagged_terms 'bingo'")
