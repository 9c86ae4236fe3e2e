"""Prompt files: Markdown with front matter, one per purpose. The hash of a file is its version.

A file has the front matter `id`, `purpose`, `temperature` and `max_output_tokens`, and a Jinja body that the line
`<!-- input -->` divides: above it the instructions, the stable text that an endpoint can cache; below it the input.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from pressroom.errors import BadInput
from pressroom.llm.blocks import data
from pressroom.llm.types import Request
from pressroom.records import Record

# jinja2, frontmatter and yaml are imported where a prompt is used: definitions ask only for versions, to say their code_version.
if TYPE_CHECKING:
    from jinja2 import Environment

T = TypeVar("T", bound=BaseModel)

FOLDER = Path(__file__).parent
DIVIDER = "<!-- input -->"


class FrontMatter(Record):
    """What the head of a prompt file may say."""

    id: str = Field(pattern=r"^[a-z0-9]+(_[a-z0-9]+)*$")
    purpose: str = Field(min_length=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_output_tokens: int | None = Field(default=None, ge=1)


@dataclass(frozen=True)
class Prompt:
    """One prompt file. `version` is the first 12 hex digits of the SHA-256 of its text."""

    id: str
    purpose: str
    temperature: float | None
    max_output_tokens: int | None
    version: str
    instructions: str
    input: str

    def request(self, *, item: str, variables: Mapping[str, Any], answer: type[T], offline: Callable[[], T]) -> Request[T]:
        """The request that asks this prompt for `item`. Raises BadInput when a variable that the prompt uses is missing."""
        from jinja2 import TemplateError, UndefinedError, meta

        jinja = _environment()
        try:
            # Held before rendering, so that a variable in a branch not taken is missed too.
            used = meta.find_undeclared_variables(jinja.parse(self.instructions)) | meta.find_undeclared_variables(jinja.parse(self.input))
            if missing := sorted(used - variables.keys()):
                raise BadInput(f"prompt {self.id}: variable {', '.join(missing)} is missing")
            instructions, input = (jinja.from_string(half).render(variables).strip() for half in (self.instructions, self.input))
        except UndefinedError as error:
            raise BadInput(f"prompt {self.id}: {error.message}") from None
        except TemplateError as error:
            raise BadInput(f"prompt {self.id}: not a Jinja template: {error.message}") from None
        return Request(
            purpose=self.purpose,
            item=item,
            prompt_id=self.id,
            prompt_version=self.version,
            instructions=instructions,
            input=input,
            answer=answer,
            offline=offline,
            temperature=self.temperature,
            max_output_tokens=self.max_output_tokens,
        )


@cache
def prompt(id: str) -> Prompt:
    """The prompt of that id. Raises BadInput when there is none, or its file is wrong."""
    return load(_path(id))


def versions(*ids: str) -> str:
    """One version for all of these prompts, for an asset's code_version; of a single prompt it is its own version."""
    each = [_version(_text(_path(id))) for id in ids]
    return each[0] if len(each) == 1 else _version("\n".join(f"{id} {version}" for id, version in zip(ids, each, strict=True)))


def load(path: Path) -> Prompt:
    """Reads one prompt file. Raises BadInput, naming the file, for an unknown or malformed key or a missing divider."""
    import frontmatter
    import yaml

    text = _text(path)
    try:
        head, body = frontmatter.parse(text)
        front = FrontMatter.model_validate(head)
    except yaml.YAMLError:
        raise BadInput(f"{path}: the front matter is not YAML") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise BadInput(f"{path}: front matter {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if front.id != path.stem:
        raise BadInput(f"{path}: front matter id: expected {path.stem}, the file's name, not {front.id}")
    halves = re.split(rf"^{re.escape(DIVIDER)}[ \t]*$", body, flags=re.MULTILINE)
    if len(halves) != 2:
        raise BadInput(f"{path}: expected one line {DIVIDER} between instructions and input, found {len(halves) - 1}")
    return Prompt(**front.model_dump(), version=_version(text), instructions=halves[0].strip(), input=halves[1].strip())


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True)
    environment.filters["data"] = data
    return environment


def _path(id: str) -> Path:
    path = FOLDER / f"{id}.md"
    if not path.is_file():
        raise BadInput(f"prompt {id}: no such prompt; there are {', '.join(sorted(file.stem for file in FOLDER.glob('*.md')))}")
    return path


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig")  # universal newlines: a checkout on Windows has the same versions


def _version(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
