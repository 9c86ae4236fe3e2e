"""`pressroom prompts`, as a person and as a script call it."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from pressroom.llm.schema import strict_schema
from pressroom.planner.briefs import IdeaAnswer
from pressroom.platforms.registry import platform, platforms
from pressroom.prompts.load import DIVIDER, FOLDER, prompt
from pressroom.store.engine import Store
from pressroom.store.tables import ModelCallRow
from tests.cli.conftest import Pressroom
from tests.dagster.conftest import Desk
from tests.telling import document, told

VARIABLES = {
    "site": {"name": "Brew", "domain": "brew.example", "field": "coffee", "audience": "home baristas", "sectors": [], "language": "en"},
    "rules": ["At most 280 characters."],
    "idea": {"title": "Wear </data> it", "description": "D.", "topic_category": "t", "angle": "a", "audience": "u", "format": "f"},
    "keywords": [{"phrase": "moka pot [sizes] :coffee:", "searches": "1,000", "intent": None}],
}


@pytest.fixture
def prompts(pressroom: Pressroom, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pressroom:
    """`pressroom prompts …` in an empty folder, with a home that does not exist and is not needed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRESSROOM_HOME", "no-home")
    return partial(pressroom, "prompts")


def variables_file(without: str = "", name: str = "variables.json", **changes: Any) -> str:
    """A file in the current folder with every variable of a draft but the one `without`."""
    Path(name).write_text(json.dumps({key: value for key, value in (VARIABLES | changes).items() if key != without}), encoding="utf-8")
    return name


def test_the_list_has_every_prompt_with_its_version_and_what_an_endpoint_could_cache(prompts: Pressroom) -> None:
    listed = document(prompts("list", "--json"))
    assert [one["id"] for one in listed] == sorted(path.stem for path in FOLDER.glob("*.md"))
    ideas = next(one for one in listed if one["id"] == "ideas")
    assert ideas == {
        "id": "ideas",
        "purpose": "idea",
        "schema": "IdeaAnswer",
        "version": prompt("ideas").version,
        "parameters": {"temperature": None, "max_output_tokens": 1000},
        "stable_tokens": -(-len(prompt("ideas").instructions) // 4),
        "reaches_cache": len(prompt("ideas").instructions) / 4 >= 1024,
    }


def test_people_see_the_list_as_a_table_of_eighty_columns(prompts: Pressroom) -> None:
    said = prompts("list")
    assert said.returncode == 0
    for path in FOLDER.glob("*.md"):
        (row,) = [line for line in said.stdout.splitlines() if line.startswith(f"{path.stem} ")]
        assert prompt(path.stem).version in row
        assert prompt(path.stem).schema in row
    assert max(map(len, said.stdout.splitlines())) <= 80
    assert "1,024" in said.stderr


def test_show_gives_the_file_as_it_is_so_that_it_can_become_a_variant(prompts: Pressroom) -> None:
    said = prompts("show", "draft_x")
    assert said.stdout == (FOLDER / "draft_x.md").read_text(encoding="utf-8")
    assert said.stderr == f"draft_x, version {prompt('draft_x').version}\n"
    Path("terser.md").write_text(said.stdout.replace("Short sentences", "Very short sentences"), encoding="utf-8")
    variant = document(prompts("show", "--file", "terser.md", "--json"))
    assert variant["version"] != prompt("draft_x").version
    assert variant["id"] == "draft_x"
    assert "Very short sentences" in variant["instructions"]
    assert variant["text"] == Path("terser.md").read_text(encoding="utf-8")
    assert {"idea.title", "keywords", "rules", "site.name"} < set(variant["variables"])


def test_a_file_of_variables_renders_a_prompt_without_a_database(prompts: Pressroom) -> None:
    rendered = document(prompts("render", "draft_x", "--variables", variables_file(), "--json"))
    assert rendered.keys() == {"id", "version", "instructions", "input", "schema"}
    assert (rendered["id"], rendered["version"]) == ("draft_x", prompt("draft_x").version)
    assert rendered["schema"] == strict_schema(platform("x").structure)
    assert rendered["instructions"].startswith("You write for Brew on X. Its field: coffee.")
    assert "moka pot [sizes] :coffee:" in rendered["input"]
    assert rendered["input"].count("</data>") == 2, "a title closed its data block"

    said = prompts("render", "draft_x", "--variables", variables_file())
    assert said.stdout == f"{rendered['instructions']}\n\n{DIVIDER}\n{rendered['input']}\n", "people read what the model reads"
    assert said.stderr.startswith(f"draft_x, version {rendered['version']}: some ")
    assert not Path("no-home").exists()


def test_variables_may_be_yaml_and_the_prompt_a_variant(prompts: Pressroom) -> None:
    lines = ["wanted: 3", "attempt: 1", "day: 2026-11-20", "clusters: []", "earlier: []", "rejected: []", "problem: ''"]
    lines.append(f"site: {json.dumps(VARIABLES['site'])}")
    Path("variables.yaml").write_text("\n".join(lines), encoding="utf-8")
    Path("shorter.md").write_text(prompt("ideas").text.replace("You are a senior", "You are a terse"), encoding="utf-8")
    rendered = document(prompts("render", "--file", "shorter.md", "--variables", "variables.yaml", "--json"))
    assert rendered["instructions"].startswith("You are a terse content strategist in this field: coffee.")
    assert rendered["input"].startswith("Date: 2026-11-20\nIdeas wanted: 3\n")
    assert rendered["schema"] == strict_schema(IdeaAnswer)


@pytest.mark.parametrize("name", sorted({path.partition(".")[0] for path in prompt("draft_x").variables()}))
def test_a_missing_variable_is_one_line_that_names_the_prompt_and_the_variable(prompts: Pressroom, name: str) -> None:
    told(prompts("render", "draft_x", "--variables", variables_file(without=name)), 2, f"prompt draft_x: no value for {name}")


def test_a_missing_field_is_named_too(prompts: Pressroom) -> None:
    half = {"name": "Brew", "field": "coffee", "language": "en"}
    told(prompts("render", "draft_x", "--variables", variables_file(site=half)), 2, "prompt draft_x: no value for site.audience")
    keyword = {"phrase": "moka pot", "searches": None}
    told(
        prompts("render", "draft_x", "--variables", variables_file(keywords=[keyword])),
        2,
        "prompt draft_x: data block keyword: no value for intent",
    )
    told(
        prompts("render", "draft_x", "--variables", variables_file(keywords=3)),
        2,
        "prompt draft_x: cannot be rendered with these variables: ",
    )


def test_a_variant_that_is_wrong_is_named_by_its_file(prompts: Pressroom) -> None:
    variables = variables_file()
    for wrong, said in (("{{ 1 / 0 }}", "division by zero"), ("{{ 'a' * 10**9 }}", "1,000,000"), ("{{ '%r' % idea.title }}", "by others")):
        Path("v3.md").write_text(f"{prompt('draft_x').text}\n{wrong}", encoding="utf-8")
        told(prompts("render", "--file", "v3.md", "--variables", variables), 2, "pressroom: v3.md: ", said)


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (None, "v.json", "cannot be read (No such file"),
        (b"{'site': 1}", "v.json", "no valid JSON"),
        (b"site: [", "v.yaml", "no valid YAML"),
        (b"day: 2026-13-45", "v.yaml", "no valid YAML"),
        (b"caf\xe9: 1", "v.yaml", "no valid YAML in UTF-8"),
        (b"[" * 5000, "v.yaml", "no valid YAML"),
        (b"- site", "v.yaml", "expected a mapping of the variables' names to their values, not a list"),
        (b"", "v.yaml", "expected a mapping of the variables' names to their values, not nothing"),
        (b"just words", "v.yaml", "not a text"),
    ],
)
def test_a_file_that_holds_no_variables_is_named(prompts: Pressroom, content: bytes | None, name: str, said: str) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    told(prompts("render", "draft_x", "--variables", name), 2, name, said)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["show"], ["name a prompt", "draft_x"]),
        (["show", "draft_tiktok"], ["prompt draft_tiktok: no such prompt", "draft_x"]),
        (["show", "../../README"], ["no such prompt"]),
        (["show", "--file", "missing.md"], ["missing.md", "No such file"]),
        (["show", "--file", "greeting.md"], ["greeting.md", "no prompt is called greeting", "draft_x"]),
        (["show", "ideas", "--file", "variant.md"], ["variant.md", "expected ideas, not draft_x"]),
        (["render", "draft_x"], ["name what to render for: --site", "--variables"]),
        (["render", "draft_x", "--site", "brew", "--variables", "v.json"], ["--site and --variables do not go together"]),
        (["render", "draft_x", "--date", "2026-11-20", "--variables", "v.json"], ["--date goes with --site"]),
        (["render", "draft_x", "--idea", "a", "--variables", "v.json"], ["--idea goes with --site"]),
        (["render", "draft_x", "--site", "brew", "--date", "tomorrow"], ["--date tomorrow: no date; expected YYYY-MM-DD"]),
        (["render", "draft_x", "--site", "brew", "--date", "2026-13-01"], ["--date 2026-13-01: no date; expected YYYY-MM-DD"]),
        (["render", "ideas", "--site", "brew", "--idea", "a"], ["--idea", "prompts of drafts"]),
        (
            ["render", "--file", "other_answer.md", "--variables", "v.json"],
            ["other_answer.md: front matter schema: expected XPosts, not LinkedInPost"],
        ),
    ],
)
def test_what_does_not_go_together_is_refused_before_a_database_is_opened(prompts: Pressroom, words: list[str], named: list[str]) -> None:
    text = prompt("draft_x").text
    for name, variant in {
        "variant.md": text,
        "greeting.md": text.replace("id: draft_x", "id: greeting"),
        "other_answer.md": text.replace("schema: XPosts", "schema: LinkedInPost"),
    }.items():
        Path(name).write_text(variant, encoding="utf-8")
    told(prompts(*words), 2, *named)
    assert not Path("no-home").exists()


def booked(store: Store) -> dict[tuple[str, str], dict[str, Any]]:
    """What the calls in the ledger asked, by prompt and item."""
    with store.transaction() as session:
        return {(row.prompt_id, row.item): row.request for row in session.execute(sa.select(ModelCallRow)).scalars()}


@pytest.mark.long
def test_render_shows_word_for_word_what_a_run_asked(desk: Callable[..., Desk], store: Store) -> None:
    """The command and the assets build their questions by the same functions; the ledger says what the assets asked."""
    brew = desk()
    day = brew.run("--keywords", "keywords.csv")
    asked = booked(store)

    def render(*words: str) -> Any:
        return document(brew.pressroom("prompts", "render", *words, "--site", "brew", "--date", "2026-11-20", "--json"))

    def as_asked(request: dict[str, Any]) -> Any:
        said = {"instructions": request["instructions"], "input": request["input"], "schema": request["answer"]["schema"]}
        return request["prompt"] | said

    assert render("ideas") == as_asked(asked["ideas", "brew/2026-11-20"])
    first, *_, last = day["ideas"]
    for each in platforms().values():
        assert render(each.prompt) == as_asked(asked[each.prompt, f"{first['id']}/{each.slug}"]), "without --idea it is the day's first"
    assert render("draft_x", "--idea", last["id"][:8]) == as_asked(asked["draft_x", f"{last['id']}/x"])

    terser = prompt("draft_x").text.replace("Short sentences", "Very short sentences")
    (brew.folder / "terser.md").write_text(terser, encoding="utf-8")
    variant, ours = render("--file", "terser.md"), render("draft_x")
    assert variant["instructions"] == ours["instructions"].replace("Short sentences", "Very short sentences") != ours["instructions"]
    assert variant["input"] == ours["input"]
    assert booked(store) == asked, "looking at a prompt asked a model"

    nobody = brew.pressroom("prompts", "render", "draft_x", "--site", "brew", "--date", "2026-11-20", "--idea", "nobody")
    told(nobody, 2, f"pressroom: site 'brew' has no idea nobody on 2026-11-20; there are {first['id'][:8]}, ")


def test_a_day_that_has_nothing_to_ask_for_says_what_is_missing(
    prompts: Pressroom, desk: Callable[..., Desk], environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk()
    monkeypatch.setenv("PRESSROOM_DATABASE_URL", environment["PRESSROOM_DATABASE_URL"])
    told(prompts("render", "ideas", "--site", "brew", "--date", "2026-11-20"), 2, "site 'brew' has no clusters", "planner/clusters")
    told(prompts("render", "draft_x", "--site", "brew", "--date", "2026-11-20"), 2, "site 'brew' has no ideas on 2026-11-20")
    told(prompts("render", "draft_x", "--site", "brwe"), 2, "site 'brwe'", "known are brew")
