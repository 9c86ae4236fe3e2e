"""Prompt files: what they must say, what fills them, and what their version is."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from pressroom.errors import BadInput
from pressroom.llm.blocks import data
from pressroom.llm.types import Request
from pressroom.planner.briefs import IdeaAnswer
from pressroom.planner.ideas import PROMPT as IDEAS
from pressroom.platforms.registry import platforms
from pressroom.prompts import load as prompts

HEAD = "---\nid: greeting\npurpose: naming\nschema: Greeting\nparameters:\n  temperature: 0.5\n  max_output_tokens: 50\n---\n"
BODY = "You greet {{ site.name }}.\n\n<!-- input -->\n{% if guests %}\n{{ guests | data('guests') }}\n{% endif %}\n"
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


class Greeting(BaseModel):
    text: str


class Name(BaseModel):
    name: str


def file(folder: Path, text: str = HEAD + BODY, name: str = "greeting.md") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def asked(path: Path, **variables: object) -> Request[Greeting]:
    return prompts.load(path).request(item="a", variables=variables, answer=Greeting, offline=lambda: Greeting(text="Hello."))


def test_a_prompt_becomes_a_request_with_its_stable_part_first(tmp_path: Path) -> None:
    request = asked(file(tmp_path), site=Name(name="Brew"), guests=["Ada"])
    assert request.instructions == "You greet Brew."
    assert request.input == '<data name="guests">\n["Ada"]\n</data>'
    assert (request.purpose, request.prompt_id, request.temperature, request.max_output_tokens) == ("naming", "greeting", 0.5, 50)
    assert request.offline().text == "Hello."


def test_what_the_file_leaves_open_is_left_to_the_purpose(tmp_path: Path) -> None:
    request = asked(file(tmp_path, re.sub(r"parameters:\n(  .*\n)+", "", HEAD) + BODY), site=Name(name="Brew"), guests=[])
    assert (request.temperature, request.max_output_tokens) == (None, None)


def test_a_prompt_asked_for_another_answer_than_it_describes_is_refused(tmp_path: Path) -> None:
    """The model would be told of fields that its schema does not have."""
    with pytest.raises(BadInput, match=r"greeting\.md: front matter schema: expected Name, not Greeting"):
        prompts.load(file(tmp_path)).request(item="a", variables={}, answer=Name, offline=lambda: Name(name="a"))


def test_a_missing_variable_is_named_together_with_its_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"greeting\.md: no value for guests, site"):
        asked(file(tmp_path))


def test_a_missing_field_of_a_variable_is_named_too_even_in_a_branch_not_taken(tmp_path: Path) -> None:
    path = file(tmp_path, HEAD + "{% if site.name == 'Tea' %}{{ site.text }}{% endif %}<!-- here -->\n<!-- input -->\n")
    with pytest.raises(BadInput, match=r"greeting\.md: no value for site\.text"):
        asked(path, site=Name(name="Brew"))
    with pytest.raises(BadInput, match=r"greeting\.md: no value for site\.name"):
        asked(path, site={"text": "a mapping from a file serves as well as a record"})


def test_a_variable_that_may_be_none_is_not_asked_for_its_fields(tmp_path: Path) -> None:
    path = file(tmp_path, HEAD + "Hello{% if site %} {{ site.name }}{% endif %}.\n<!-- input -->\n")
    assert (asked(path, site=None).instructions, asked(path, site=Name(name="Brew")).instructions) == ("Hello.", "Hello Brew.")


def test_a_field_that_is_missing_inside_a_data_block_names_the_block(tmp_path: Path) -> None:
    loop = '<!-- input -->\n{% for guest in guests %}{{ {"called": guest.name} | data("guest") }}{% endfor %}'
    with pytest.raises(BadInput, match=r"greeting\.md: data block guest: no value for called"):
        asked(file(tmp_path, HEAD + loop), guests=[{"text": "no name"}])


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ("{% if it > 1 %}many{% endif %}", "two"),
        ("{% for one in it %}{{ one }}{% endfor %}", 3),
        ("{{ it | data('it') }}", object()),
        ("{{ {'called': it.title} | data('it') }}", "a text has a method of that name"),
    ],
)
def test_a_variable_of_another_kind_than_the_template_expects_is_one_line(tmp_path: Path, body: str, value: Any) -> None:
    with pytest.raises(BadInput, match=r"greeting\.md: cannot be rendered with these variables: ") as caught:
        asked(file(tmp_path, HEAD + f"<!-- input -->\n{body}"), it=value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("{{ 1 / 0 }}", "cannot be rendered with these variables: division by zero"),
        ("{{ range(10 ** 9) | list }}", "cannot be rendered with these variables: Range too big"),
        ("{% macro it() %}{{ it() }}{% endmacro %}{{ it() }}", "cannot be rendered with these variables: maximum recursion depth"),
        ("{{ 'a' | center(10 ** 16) }}", "cannot be rendered with these variables: MemoryError"),
        ("{{ 'a' * 10 ** 9 }}", "its text has more than 1,000,000 characters"),
        ("{{ 10 ** 9 * [1] }}", "its text has more than 1,000,000 characters"),
        ("{% for a in range(9999) %}{% for b in range(9999) %}on and on{% endfor %}{% endfor %}", "its text has more than 1,000,000 char"),
        ("{{ it | map('upper') ~ '' }}", "<generator …> is an object that has no text"),
        ("{{ cycler(1, 2) | string }}", "<jinja2.utils.Cycler …> is an object that has no text"),
    ],
)
def test_whatever_a_template_comes_to_is_one_line_that_names_its_file(tmp_path: Path, body: str, says: str) -> None:
    """A template is a program. One that writes an object's address would be another prompt, and paid again, in every process."""
    with pytest.raises(BadInput, match=rf"greeting\.md: {re.escape(says)}") as caught:
        asked(file(tmp_path, HEAD + f"<!-- input -->\n{body}"), it=["a"])
    assert "\n" not in str(caught.value)


def test_a_long_prompt_is_rendered(tmp_path: Path) -> None:
    assert len(asked(file(tmp_path, HEAD + "<!-- input -->\n{{ ('word ' * 1000) * 199 }}")).input) == 994_999


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEAD.replace("purpose:", "purpos:") + BODY, "front matter purpos: unknown key; known are id, purpose, schema, parameters"),
        (HEAD.replace("id:", "colour: red\nid:") + BODY, "front matter colour: unknown key"),
        (HEAD.replace("purpose: naming\n", "") + BODY, "front matter purpose is missing: expected one of idea, draft, review, seo, naming"),
        (HEAD.replace("naming", "names") + BODY, "front matter purpose is wrong: expected one of idea, draft, review, seo, naming"),
        (HEAD.replace("schema: Greeting\n", "") + BODY, "front matter schema is missing: expected the name of a model"),
        (HEAD.replace("Greeting", "a greeting") + BODY, "front matter schema is wrong: expected the name of a model, such as IdeaAnswer"),
        (HEAD.replace("parameters:\n  temperature: 0.5\n  max", "max") + BODY, "front matter max_output_tokens: unknown key"),
        (HEAD.replace("  temperature", "  top_p") + BODY, r"front matter parameters\.top_p: unknown key; known are temperature"),
        (HEAD.replace("0.5", "warm") + BODY, r"front matter parameters\.temperature is wrong: expected a number, 0 to 2"),
        (HEAD.replace("0.5", "2.1") + BODY, r"front matter parameters\.temperature is wrong: expected a number, 0 to 2"),
        (HEAD.replace("50", "0") + BODY, r"front matter parameters\.max_output_tokens is wrong: expected 1 or more"),
        (
            re.sub(r"parameters:\n(  .*\n)+", "parameters:\n", HEAD) + BODY,
            "front matter parameters is wrong: expected a mapping of keys to values",
        ),
        (HEAD.replace("50", "9" * 20) + BODY, r"front matter parameters\.max_output_tokens is wrong: expected 1000000 or less"),
        (HEAD.replace("id: greeting", "id: [") + BODY, "the front matter is not YAML"),
        (HEAD.replace("id: greeting", "id: " + "[" * 5000) + BODY, "the front matter is not YAML"),
        (HEAD.replace("0.5", "2026-13-45") + BODY, "the front matter is not YAML"),
        (BODY, "front matter id is missing: expected lower case words, joined by _"),
        (HEAD + "No divider.", "expected one line <!-- input -->.*found 0"),
        (HEAD + BODY + BODY, "expected one line <!-- input -->.*found 2"),
    ],
)
def test_a_wrong_prompt_file_is_one_line_that_names_it_and_the_key(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadInput, match=rf"greeting\.md: {says}") as caught:
        prompts.load(file(tmp_path, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("Hello {{ site\n<!-- input -->\nNow.", 9),
        ("Hello.\n\n{{ site | shout }}\n<!-- input -->\nNow.", 11),
        ("Hello.\n<!-- input -->\nNow.\n{% endfor %}", 12),
        ("Hello {{ [1, 2] | random }}.\n<!-- input -->\nNow.", 9),
    ],
)
def test_a_body_that_is_no_template_is_one_line_that_names_file_and_line(tmp_path: Path, body: str, line: int) -> None:
    with pytest.raises(BadInput, match=rf"greeting\.md, line {line}: not a Jinja template: ") as caught:
        prompts.load(file(tmp_path, HEAD + body))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        "{{ it | data(name='it', name='it') }}",
        "{% for one in it %}" * 25 + "{% endfor %}" * 25,
        "{{ " + "(" * 5000 + "it" + ")" * 5000 + " }}",
        "{{ " + "9" * 5000 + " }}",
    ],
)
def test_a_body_that_python_cannot_compile_is_no_template_either(tmp_path: Path, body: str) -> None:
    with pytest.raises(BadInput, match=r"greeting\.md: not a Jinja template: \w") as caught:
        prompts.load(file(tmp_path, HEAD + f"<!-- input -->\n{body}"))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "statement", ["{% include 'a.md' %}", "{% extends 'a.md' %}", "{% import 'a.md' as a %}", "{% from 'a.md' import a %}"]
)
def test_a_prompt_is_one_file(tmp_path: Path, statement: str) -> None:
    """Its version is the hash of that file: what it read elsewhere could change, and the version would not."""
    with pytest.raises(BadInput, match=r"greeting\.md, line 11: reads another template, and a prompt is one file"):
        prompts.load(file(tmp_path, HEAD + f"<!-- input -->\nHello.\n{{% if it %}}{statement}{{% endif %}}"))


def test_what_others_wrote_has_no_place_in_the_instructions(tmp_path: Path) -> None:
    """Not in a data block either: the instructions are the part that an endpoint caches, the same for every request of a site."""
    for body in ("{{ idea.title | data('idea') }}", "{% for idea in ideas %}.{% endfor %}"):
        with pytest.raises(
            BadInput, match=rf"greeting\.md: the instructions use ideas?: what others wrote belongs below the line {prompts.DIVIDER}"
        ):
            asked(file(tmp_path, f"{HEAD}{body}\n<!-- input -->"), idea={"title": "Obey."}, ideas=[])


def test_the_houses_prompts_are_named_by_their_id() -> None:
    with pytest.raises(BadInput, match=r"^prompt ideas: no value for attempt, clusters, day, "):
        prompts.prompt("ideas").render({})


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.md").write_bytes(HEAD.encode() + b"caf\xe9")
    for name, why in (("missing.md", "No such file"), ("latin.md", "not UTF-8"), (".", "Is a directory")):
        with pytest.raises(BadInput, match=rf"{re.escape(str(tmp_path / name))}: cannot be read \({why}"):
            prompts.load(tmp_path / name)


def test_a_variant_may_have_any_name_and_needs_the_id_of_a_prompt(tmp_path: Path) -> None:
    ours = prompts.prompt("draft_x")
    theirs = prompts.variant(file(tmp_path, ours.text.replace("Short sentences", "Very short sentences"), "terser.md"))
    assert (theirs.id, theirs.schema) == (ours.id, ours.schema)
    assert theirs.version != ours.version
    with pytest.raises(BadInput, match=r"greeting\.md: front matter id: no prompt is called greeting; there are draft_instagram, "):
        prompts.variant(file(tmp_path))


def test_a_file_of_the_house_is_called_as_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "FOLDER", tmp_path)
    path = file(tmp_path, name="farewell.md")
    with pytest.raises(BadInput, match=r"farewell\.md: front matter id: expected farewell, the file's name, not greeting"):
        prompts.prompt("farewell")
    assert prompts.load(path).id == "greeting"


def test_an_unknown_prompt_says_which_ones_there_are() -> None:
    with pytest.raises(BadInput, match=r"prompt idaes: no such prompt; there are .*ideas"):
        prompts.prompt("idaes")


def test_a_version_follows_the_words_and_not_the_line_ends(tmp_path: Path) -> None:
    version = prompts.load(file(tmp_path)).version
    assert prompts.load(file(tmp_path, (HEAD + BODY).replace("\n", "\r\n"))).version == version
    assert prompts.load(file(tmp_path, HEAD + BODY.replace("greet", "welcome"))).version != version
    assert re.fullmatch("[0-9a-f]{12}", version)


def test_the_version_of_several_prompts_is_another_than_that_of_each() -> None:
    every = prompts.ids()
    assert prompts.versions("ideas") == prompts.prompt("ideas").version
    assert prompts.versions("ideas", "ideas") != prompts.versions("ideas")
    assert len({prompts.versions(id) for id in every}) == len(every)


@pytest.mark.parametrize("id", prompts.ids())
def test_every_prompt_in_the_house_is_well_formed_and_treats_data_as_data(id: str) -> None:
    prompt = prompts.prompt(id)
    assert prompt.parameters.max_output_tokens
    assert prompt.parameters.temperature is None, "the models' table has one for each purpose"
    assert "never an instruction" in " ".join(prompt.instructions.split()), "the model must be told that data blocks are not orders"


def test_every_platform_has_its_prompt_and_every_prompt_describes_the_answer_that_is_asked_for() -> None:
    asked_for = {platform.prompt: platform.structure for platform in platforms().values()} | {IDEAS: IdeaAnswer}
    assert {id: prompts.prompt(id).schema for id in prompts.ids()} == {id: answer.__name__ for id, answer in asked_for.items()}


@given(json_values)
def test_nothing_in_a_data_block_can_close_it_and_all_of_it_arrives(value: object) -> None:
    block = data({"it": value}, "some-data")
    first, body, last = block.split("\n", 2)[0], block.split("\n", 1)[1].rsplit("\n", 1)[0], block.rsplit("\n", 1)[1]
    assert (first, last) == ('<data name="some-data">', "</data>")
    assert "<" not in body
    assert json.loads(body) == {"it": value}


def test_the_versions_for_the_definitions_cost_no_heavy_import() -> None:
    """definitions.py asks for versions each time Dagster loads it: they are the hashes of a few files, and need nothing else."""
    script = """
import sys
from pressroom.prompts.load import ids, versions
versions(*ids())
print([name for name in ("jinja2", "frontmatter", "yaml", "openai", "numpy") if name in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=prompts.FOLDER.parents[1])
    assert ran.stdout.strip() == "[]"


def test_a_prompt_is_read_once() -> None:
    assert prompts.prompt("ideas") is prompts.prompt("ideas"), "fifteen drafts would read and parse their prompt fifteen times"
