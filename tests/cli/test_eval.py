"""`pressroom eval` as an author of prompts and a CI meet it: the real gateway and ledger before the simulated endpoint."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from rich.cells import cell_len
from rich.console import Console

from cli import eval as command
from pressroom.evaluation.golden import FOLDER
from pressroom.prompts.load import prompt
from pressroom.records import stable_id
from pressroom.store.engine import Store
from pressroom.store.tables import AccountRow, ModelCallRow
from simulators.openai import OpenAISimulator
from simulators.openai_wire import Asked
from tests.answers import answers
from tests.cli.conftest import Pressroom
from tests.telling import Done, document, told

Ask = Callable[..., Done]
SLOPPY = "Write at length and take your time."
LONG = " and so on" * 40


def author(asked: Asked) -> dict[str, Any]:
    """A capable model that does as it is told: told to write at length it writes too long a post, and mends it when that comes back."""
    said = answers(asked)
    if SLOPPY in asked.instructions and "This is attempt" not in asked.input:
        said["posts"][0] += LONG
    return {"posts": [f"{post.replace('$', '')} {asked.seed[:9]}" for post in said["posts"]]} if "posts" in said else said


@pytest.fixture
def endpoint() -> Iterator[OpenAISimulator]:
    with OpenAISimulator(answers=author) as simulator:
        yield simulator


@pytest.fixture
def ask(here: None, pressroom: Pressroom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """`pressroom eval` with these words in an empty folder, on a terminal of `width` columns; offline without an `endpoint`."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str, endpoint: OpenAISimulator | None = None, group: str = "eval", width: int = 80) -> Done:
        hosted = {"PRESSROOM_LLM": "openai", "OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": endpoint.base_url} if endpoint else {}
        for name, value in hosted.items():
            monkeypatch.setenv(name, value)
        return pressroom(group, *words, width=width)

    return call


@pytest.fixture
def sloppy(tmp_path: Path) -> str:
    """A variant of the prompt for X that asks for what its rules forbid."""
    worded = prompt("draft_x").text.replace("Voice:", f"{SLOPPY}\n\nVoice:")
    (tmp_path / "sloppy.md").write_text(worded, encoding="utf-8")
    return "sloppy.md"


def versions(done: Done) -> Any:
    (only,) = document(done)["prompts"]
    return only["versions"]


def rows(table: str) -> dict[str, list[str]]:
    """The cells of a table's lines by their label."""
    split = ([cell.strip() for cell in line.split("  ") if cell.strip()] for line in table.splitlines())
    return {cells[0]: cells[1:] for cells in split if cells}


def test_a_worse_variant_stands_beside_the_houses_prompt_with_the_difference(ask: Ask, endpoint: OpenAISimulator, sloppy: str) -> None:
    """The story of the command: somebody changes a prompt, and sees before it is in use what it does to the drafts."""
    done = ask("draft_x", "--against", sloppy, endpoint=endpoint)
    assert (done.returncode, done.stderr) == (0, "")
    table = rows(done.stdout)
    assert table["draft_x: 12 cases of the golden set"] == []
    assert table["first answer within rules"] == ["100.0%", "0.0%", "−100.0%", "worse"]
    assert table["within rules at the end"] == ["100.0%", "100.0%", "0.0%", "same"]
    assert table["refinements a case"] == ["0.00", "1.00", "+1.00", "worse"]
    assert table["none / 1 / 2 / 3"] == ["12 / 0 / 0 / 0", "0 / 12 / 0 / 0"]
    assert table["calls paid / replayed"] == ["12 / 0", "24 / 0"]
    assert float(table["length as X counts it"][0]) <= float(table["length, older counters"][0]), "a code of a rule explains nothing"
    assert "better: none\nworse: " in done.stdout
    assert "One case is 8.3%" in done.stdout
    assert "Asked 36 times for 0.0" in done.stdout


def test_a_script_reads_everything_of_every_case(ask: Ask, endpoint: OpenAISimulator, sloppy: str) -> None:
    (found,) = document(ask("--against", sloppy, "--cases", "2", "--json", endpoint=endpoint))["prompts"]
    assert found.keys() == {"prompt", "versions", "difference"}
    house, variant = found["versions"]
    assert (house["version"], variant["models"], variant["cases"]) == (prompt("draft_x").version, ["gpt-4.1-mini"], 2)
    assert (house["first_pass_rate"], variant["first_pass_rate"], variant["refinements"]) == (1, 0, {"1": 2})
    assert variant["rules"] == [{"code": "weighted_length", "severity": "error", "answers": 2}]
    assert (variant["paid"], variant["replayed"], variant["unpriced"]) == (4, 0, 0)
    assert variant["cost_usd"] == variant["spent_usd"] > house["cost_usd"] > 0
    assert variant["usage"]["input"] > house["usage"]["input"] > 0
    assert variant["seconds"] > 0
    assert found["difference"]["first_pass_rate"] == {"before": 1, "after": 0, "change": -1, "verdict": "worse"}
    assert found["difference"]["rules.weighted_length"]["verdict"] == "worse"
    first, second = variant["results"][0]["answers"]
    assert (first["violations"][0]["part"], second["violations"]) == ("posts[0]", [])
    assert variant["results"][0] | {"passes": True, "passes_first": False, "refinements": 1} == variant["results"][0]
    assert variant["results"][0]["parts"]["posts"]
    assert variant["results"][0]["why"]
    assert len({answer["call"] for result in (*house["results"], *variant["results"]) for answer in result["answers"]}) == 6


def test_a_second_evaluation_is_free_and_a_fresh_one_asks_anew(ask: Ask, store: Store, endpoint: OpenAISimulator) -> None:
    (first,) = versions(ask("draft_x", "--json", endpoint=endpoint))
    (again,) = versions(ask("draft_x", "--json", endpoint=endpoint))
    assert endpoint.count == 12
    assert (again["paid"], again["replayed"], again["spent_usd"], again["seconds"]) == (0, 12, 0, None)
    assert (again["cost_usd"], again["results"][0]["parts"]) == (first["cost_usd"], first["results"][0]["parts"])
    (fresh,) = versions(ask("draft_x", "--fresh", "--json", endpoint=endpoint))
    assert (fresh["paid"], endpoint.count) == (12, 24)

    with store.transaction() as session:
        calls = session.execute(sa.select(ModelCallRow)).scalars().all()
        assert session.scalar(sa.select(AccountRow.slug)) == "default", "the first call of an account makes its row"
    assert len(calls) == 24
    assert {(call.account_id, call.site_id, call.asset) for call in calls} == {(stable_id("account", "default"), None, "eval")}
    assert len({call.generation for call in calls}) == 2
    costs = json.loads(ask("--by", "site", "--json", group="costs").stdout)
    assert [row["key"] for row in costs["rows"]] == ["(house)"]
    assert costs["total"]["cost_usd"] == pytest.approx(first["cost_usd"] + fresh["cost_usd"])


def test_an_unchanged_copy_pays_for_nothing_of_its_own(ask: Ask, endpoint: OpenAISimulator, tmp_path: Path) -> None:
    (tmp_path / "same.md").write_text(prompt("draft_x").text, encoding="utf-8")
    house, copy = versions(ask("--against", "same.md", "--cases", "3", "--json", endpoint=endpoint))
    assert (endpoint.count, house["paid"] + copy["paid"], house["replayed"] + copy["replayed"]) == (3, 3, 3)
    assert [result["parts"] for result in house["results"]] == [result["parts"] for result in copy["results"]]


def test_a_difference_that_the_figures_do_not_show_is_none_and_a_replay_is_told_from_what_it_cost_once(
    ask: Ask, endpoint: OpenAISimulator, tmp_path: Path
) -> None:
    """A word more is a millionth of a dollar: worse for a script, which can weigh it, and 0.0000 for people."""
    (tmp_path / "longer.md").write_text(prompt("draft_x").text.replace("Voice:", "The voice is this:"), encoding="utf-8")
    words = ("--against", "longer.md", "--cases", "1")
    (found,) = document(ask(*words, "--json", endpoint=endpoint))["prompts"]
    cost = found["difference"]["cost_usd"]
    assert (0 < cost["change"] < 0.00005, cost["verdict"]) == (True, "worse")
    said = ask(*words, endpoint=endpoint).stdout
    assert rows(said)["cost when paid, USD"][2:] == ["0.0000", "same"]
    assert "Nothing was asked or paid: 2 answers replayed, for free." in said
    assert "Asked" not in said


def test_without_a_name_every_prompt_is_evaluated(ask: Ask) -> None:
    done = ask("--json")
    assert done.returncode == 0
    found = json.loads(done.stdout)["prompts"]
    assert [each["prompt"] for each in found] == ["ideas", "draft_linkedin", "draft_x", "draft_instagram"]
    for each in found:
        (only,) = each["versions"]
        assert (only["models"], only["first_pass_rate"], each["difference"]) == (["offline"], 1.0, None)
    assert done.stderr.splitlines() == [
        "PRESSROOM_LLM is offline: the offline writer reads no prompt, so that every version of one comes out the same"
    ]


def test_repeats_of_ideas_and_cases_that_do_not_pass_are_named(ask: Ask, endpoint: OpenAISimulator) -> None:
    """The scripted model has a few titles only, and two clusters for four ideas."""
    done = ask("ideas", endpoint=endpoint)
    table = rows(done.stdout)
    assert float(table["proposals that repeat"][0].rstrip("%")) > 0
    assert int(table["idea similar"][0]) > 0
    assert "shipnotes does not pass: " in done.stdout


def test_answers_of_no_use_are_counted_by_their_outcome(ask: Ask, endpoint: OpenAISimulator) -> None:
    endpoint.fail("refusal", times=None, containing="setup.py, requirements.txt")
    endpoint.fail("incomplete", containing="Bitter")
    done = ask("draft_x", endpoint=endpoint)
    table = rows(done.stdout)
    assert (table["refusal"], table["incomplete"]) == (["4"], ["1"])
    assert table["within rules at the end"] == ["91.7%"]
    assert "shipnotes 1 does not pass: " in done.stdout


def test_another_model_can_be_asked(ask: Ask, endpoint: OpenAISimulator) -> None:
    (only,) = versions(ask("draft_x", "--model", "gpt-5-nano", "--cases", "1", "--json", endpoint=endpoint))
    assert only["models"] == ["gpt-5-nano"]
    assert [asked.model for asked in endpoint.requests] == ["gpt-5-nano"]


def test_a_model_that_the_endpoint_does_not_have_is_to_be_looked_for_where_it_was_named(
    ask: Ask, endpoint: OpenAISimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint.fail("404", times=None)
    told(ask("draft_x", "--cases", "1", "--model", "nope", endpoint=endpoint), 3, "check --model, PRESSROOM_LLM_API or OPENAI_BASE_URL")
    told(ask("draft_x", "--cases", "1", endpoint=endpoint), 3, "check PRESSROOM_LLM_MODEL, PRESSROOM_LLM_API or OPENAI_BASE_URL")
    (tmp_path / "models.yaml").write_text("purposes: {draft: {model: nope}}", encoding="utf-8")
    monkeypatch.setenv("PRESSROOM_MODELS", "models.yaml")
    told(ask("draft_x", "--cases", "1", endpoint=endpoint), 3, "check PRESSROOM_MODELS, PRESSROOM_LLM_API or OPENAI_BASE_URL")


def test_a_model_that_stands_in_answers_for_no_other(
    ask: Ask, endpoint: OpenAISimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures of two models under the name of one would be those of neither."""
    (tmp_path / "models.yaml").write_text("purposes: {draft: {model: gpt-4.1, fallback: [{model: gpt-4o}]}}", encoding="utf-8")
    monkeypatch.setenv("PRESSROOM_MODELS", "models.yaml")
    endpoint.fail("400", times=None)
    told(ask("draft_x", "--cases", "1", endpoint=endpoint), 3)
    assert {asked.model for asked in endpoint.requests} == {"gpt-4.1"}


def test_a_ci_fails_when_too_few_cases_end_within_the_rules(ask: Ask, endpoint: OpenAISimulator, sloppy: str) -> None:
    endpoint.fail("refusal", times=None, containing=SLOPPY)
    strict = ask("draft_x", "--cases", "2", "--fail-under", "0.5", "--json", endpoint=endpoint)
    assert (strict.returncode, strict.stderr) == (0, "")
    both = ask("draft_x", "--against", sloppy, "--cases", "2", "--fail-under", "0.5", "--json", endpoint=endpoint)
    assert (both.returncode, both.stderr) == (1, "below --fail-under 0.5: draft_x 0.0%\n")
    assert json.loads(both.stdout)["prompts"], "the figures are there all the same"


def test_a_limit_in_money_ends_it_and_what_was_paid_is_kept(ask: Ask, endpoint: OpenAISimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESSROOM_RUN_LIMIT_USD", "0.002")
    monkeypatch.setenv("PRESSROOM_LLM_MAX_IN_FLIGHT", "1")
    told(ask("draft_x", endpoint=endpoint), 4, "the run's limit of 0.002 USD would be passed")
    assert 0 < endpoint.count < 12
    monkeypatch.delenv("PRESSROOM_RUN_LIMIT_USD")
    (only,) = versions(ask("draft_x", "--json", endpoint=endpoint))
    assert only["replayed"] > 0
    assert endpoint.paid_twice == 0


def test_the_bound_of_an_item_holds_for_each_version(
    ask: Ask, endpoint: OpenAISimulator, sloppy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both versions are asked for the same items, which the gateway adds up."""
    (alone,) = versions(ask("--cases", "1", "draft_x", "--json", endpoint=endpoint))
    monkeypatch.setenv("PRESSROOM_ITEM_LIMIT_USD", str(round(alone["cost_usd"] * 4, 6)))
    assert len(versions(ask("--against", sloppy, "--cases", "1", "--fresh", "--json", endpoint=endpoint))) == 2


def test_one_answer_that_costs_too_much_is_its_own_cases_affair_in_this_and_every_later_evaluation(
    ask: Ask, endpoint: OpenAISimulator
) -> None:
    """A runaway answer of 10 MB: some 4 USD, where an item may cost 0.50. It is booked, and replayed from then on."""
    endpoint.fail("huge", containing="Bitter")
    first = ask("draft_x", endpoint=endpoint)
    table = rows(first.stdout)
    assert (table["cases that cost too much"], table["within rules at the end"]) == (["1"], ["91.7%"])
    assert " does not pass: its answers cost " in first.stdout
    assert "and the limit for one item is 0.5 (PRESSROOM_ITEM_LIMIT_USD)" in first.stdout
    (again,) = versions(ask("draft_x", "--json", endpoint=endpoint))
    assert (again["refused"], again["cases"], again["paid"], endpoint.count) == (1, 12, 0, 12)
    assert [result["passes"] for result in again["results"] if result["refused"]] == [False]


@pytest.mark.parametrize("width", [80, 120])
def test_a_table_is_never_wider_than_the_terminal(ask: Ask, endpoint: OpenAISimulator, sloppy: str, width: int) -> None:
    endpoint.fail("refusal", times=3, containing=SLOPPY)
    done = ask("draft_x", "--against", sloppy, "--model", "gpt-4.1-mini-2025-04-14", endpoint=endpoint, width=width)
    table = done.stdout.split("better:")[0]
    assert max(cell_len(line) for line in table.splitlines()) <= width
    wide = ask("draft_instagram", endpoint=endpoint, width=width).stdout
    assert max(cell_len(line) for line in wide.splitlines()[:30]) <= width
    assert "call to action seconds" in wide


def test_a_terminal_shows_how_far_it_is(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "err", Console(stderr=True, force_terminal=True, force_interactive=True))
    shown = ask("draft_x", "--cases", "2").stderr
    assert "cases" in shown
    assert "2/2" in shown


def test_a_golden_set_of_ones_own_can_be_asked(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.yaml").write_text((FOLDER / "atelier-velo.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    done = ask("--golden", "mine", "--json")
    (only,) = json.loads(done.stdout)["prompts"]
    assert (only["prompt"], only["versions"][0]["cases"]) == ("ideas", 1), "it has no idea to write drafts of"
    told(ask("draft_x", "--golden", "mine"), 2, "prompt draft_x: the golden set has no case of it")
    whole = (tmp_path / "mine" / "a.yaml").read_text(encoding="utf-8")
    (tmp_path / "mine" / "a.yaml").write_text(whole.split("calendar:")[0], encoding="utf-8")
    told(ask("--golden", "mine"), 2, "prompt any: the golden set has no case of it")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("drafts",), ("prompt drafts: no such prompt", "draft_x")),
        (("ideas", "--against", "variant.md"), ("variant.md: front matter id: expected ideas, not draft_x",)),
        (("--against", "stranger.md"), ("stranger.md: front matter id: no prompt is called greeting",)),
        (("--against", "missing.md"), ("missing.md: cannot be read",)),
        (("--against", "unfilled.md"), ("unfilled.md: no value for brand",)),
        (("--against", "other-answer.md"), ("other-answer.md: front matter schema: expected XPosts, not LinkedInPost",)),
        (("--golden", "broken"), ("broken/site.yaml: calender: unknown key; known are site, clusters, calendar, ideas",)),
        (("--golden", "nowhere"), ("nowhere: holds no golden set",)),
        (("--cases", "0"), ("--cases",)),
        (("--fail-under", "80"), ("--fail-under",)),
        (("--model", "gpt-5"), ("--model gpt-5", "offline", "OPENAI_API_KEY")),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2_before_anything_is_asked(
    ask: Ask, store: Store, words: tuple[str, ...], named: tuple[str, ...]
) -> None:
    text = prompt("draft_x").text
    for name, variant in {
        "variant.md": text,
        "stranger.md": text.replace("id: draft_x", "id: greeting"),
        "unfilled.md": text.replace("Voice:", "{{ brand }} Voice:"),
        "other-answer.md": text.replace("schema: XPosts", "schema: LinkedInPost"),
    }.items():
        Path(name).write_text(variant, encoding="utf-8")
    Path("broken").mkdir()
    Path("broken/site.yaml").write_text((FOLDER / "grindstone.yaml").read_text(encoding="utf-8").replace("calendar:", "calender:"))
    for more in ((), ("--json",)):
        assert told(ask(*words, *more), 2, *named) is None
    with store.transaction() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(ModelCallRow)) == 0


def test_an_outage_is_one_line_and_what_came_is_kept(ask: Ask, endpoint: OpenAISimulator) -> None:
    endpoint.fail("401", times=None, containing="Bitter")
    told(ask("draft_x", endpoint=endpoint), 3)
    endpoint.failures.clear()
    (only,) = versions(ask("draft_x", "--json", endpoint=endpoint))
    assert only["cases"] == only["paid"] + only["replayed"] == 12
    assert endpoint.paid_twice == 0
