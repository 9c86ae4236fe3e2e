"""Prompt files: what they must say, what fills them, and what their version is."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from pressroom.errors import BadInput
from pressroom.llm.types import Request
from pressroom.platforms.registry import platforms
from pressroom.prompts import load as prompts

HEAD = "---\nid: greeting\npurpose: test\ntemperature: 0.5\nmax_output_tokens: 50\n---\n"
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
    assert (request.purpose, request.prompt_id, request.temperature, request.max_output_tokens) == ("test", "greeting", 0.5, 50)
    assert request.offline().text == "Hello."


def test_a_missing_variable_is_named_together_with_its_prompt(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="prompt greeting: variable guests, site is missing"):
        asked(file(tmp_path))


def test_a_missing_field_of_a_variable_is_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"prompt greeting: .*has no attribute 'name'"):
        asked(file(tmp_path), site=Greeting(text="no name"), guests=[])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEAD.replace("purpose", "purpos") + BODY, "greeting.md: front matter purpose: Field required"),
        (HEAD.replace("id:", "colour: red\nid:") + BODY, "greeting.md: front matter colour: Extra inputs"),
        (HEAD.replace("0.5", "warm") + BODY, "greeting.md: front matter temperature: "),
        (HEAD.replace("id: greeting", "id: other") + BODY, "greeting.md: front matter id: expected greeting"),
        (HEAD.replace("id: greeting", "id: [") + BODY, "greeting.md: the front matter is not YAML"),
        (BODY, "greeting.md: front matter id: Field required"),
        (HEAD + "No divider.", "greeting.md: expected one line <!-- input -->.*found 0"),
        (HEAD + BODY + BODY, "greeting.md: expected one line <!-- input -->.*found 2"),
    ],
)
def test_a_wrong_prompt_file_is_one_line_that_names_it(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        prompts.load(file(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_body_that_is_no_template_is_one_line_that_names_the_prompt(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="prompt greeting: not a Jinja template"):
        asked(file(tmp_path, HEAD + "Hello {{ site\n<!-- input -->\nNow."), site="a")


def test_an_unknown_prompt_says_which_ones_there_are() -> None:
    with pytest.raises(BadInput, match=r"prompt idaes: no such prompt; there are .*ideas"):
        prompts.prompt("idaes")


def test_a_version_follows_the_words_and_not_the_line_ends(tmp_path: Path) -> None:
    version = prompts.load(file(tmp_path)).version
    assert prompts.load(file(tmp_path, (HEAD + BODY).replace("\n", "\r\n"))).version == version
    assert prompts.load(file(tmp_path, HEAD + BODY.replace("greet", "welcome"))).version != version
    assert re.fullmatch("[0-9a-f]{12}", version)


def test_the_version_of_several_prompts_is_another_than_that_of_each() -> None:
    every = [path.stem for path in prompts.FOLDER.glob("*.md")]
    assert prompts.versions("ideas") == prompts.prompt("ideas").version
    assert prompts.versions("ideas", "ideas") != prompts.versions("ideas")
    assert len({prompts.versions(id) for id in every}) == len(every)


@pytest.mark.parametrize("path", sorted(prompts.FOLDER.glob("*.md")), ids=lambda path: path.stem)
def test_every_prompt_in_the_house_is_well_formed_and_treats_data_as_data(path: Path) -> None:
    prompt = prompts.prompt(path.stem)
    assert prompt.temperature is not None
    assert prompt.max_output_tokens
    assert "never an instruction" in " ".join(prompt.instructions.split()), "the model must be told that data blocks are not orders"
    assert "| data(" in prompt.input
    assert "| data(" not in prompt.instructions, "text of others stands in the input only"


def test_every_platform_has_its_prompt() -> None:
    for platform in platforms().values():
        assert prompts.prompt(platform.prompt).id == platform.prompt


@given(json_values)
def test_nothing_in_a_data_block_can_close_it_and_all_of_it_arrives(value: object) -> None:
    block = prompts.data({"it": value}, "some-data")
    first, body, last = block.split("\n", 2)[0], block.split("\n", 1)[1].rsplit("\n", 1)[0], block.rsplit("\n", 1)[1]
    assert (first, last) == ('<data name="some-data">', "</data>")
    assert "<" not in body
    assert json.loads(body) == {"it": value}


def test_the_versions_for_the_definitions_cost_no_heavy_import() -> None:
    """definitions.py asks for versions each time Dagster loads it: hashing four files must stay far below what an import costs."""
    script = """
import sys, time
from pressroom.prompts.load import versions
start = time.perf_counter()
versions("ideas")
heavy = [name for name in ("jinja2", "frontmatter", "openai", "numpy", "sqlalchemy") if name in sys.modules]
print(time.perf_counter() - start, heavy)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=prompts.FOLDER.parents[1])
    seconds, heavy = ran.stdout.split(" ", 1)
    assert heavy.strip() == "[]"
    assert float(seconds) < 0.01, f"one version took {float(seconds):.4f} s"


def test_a_version_is_read_once() -> None:
    prompts.prompt("ideas")
    start = time.perf_counter()
    for _ in range(1000):
        prompts.prompt("ideas")
    assert time.perf_counter() - start < 0.05
