"""Prompt files: Markdown with front matter. The hash of a file is its version.

A file has the front matter `id`, `purpose`, `schema` (the name of the model of its answer) and `parameters`, and a Jinja body that the
line `<!-- input -->` divides: above it the instructions, the stable text that an endpoint can cache; below it the input.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, Field, ValidationError

from pressroom.errors import BadInput
from pressroom.llm.types import Request
from pressroom.prompts.foreign import as_variables, environment
from pressroom.records import Record
from pressroom.wording import Place, first_problem

# jinja2, frontmatter and yaml are imported where a prompt is used: definitions ask only for versions, to say their code_version.
if TYPE_CHECKING:
    from jinja2 import Template
    from jinja2.sandbox import SandboxedEnvironment

T = TypeVar("T", bound=BaseModel)
PromptPurpose = Literal["idea", "draft", "review", "seo", "naming"]  # those of the models' purposes that are asked in words

FOLDER = Path(__file__).parent
EXPECTED = {
    "id": "lower case words, joined by _",
    "purpose": f"one of {', '.join(get_args(PromptPurpose))}",
    "schema": "the name of a model, such as IdeaAnswer",
    "temperature": "a number, 0 to 2",
}  # of the front matter
DIVIDER = "<!-- input -->"


class Parameters(Record):
    """What a prompt sets for its calls. What it leaves open, the table of models fills in by purpose."""

    temperature: float | None = Field(default=None, ge=0, le=2)
    max_output_tokens: int | None = Field(default=None, ge=1)


class FrontMatter(Record):
    """What the head of a prompt file may say."""

    id: str = Field(pattern=r"^[a-z0-9]+(_[a-z0-9]+)*$")
    purpose: PromptPurpose
    answer: str = Field(alias="schema", pattern=r"^[A-Z][A-Za-z0-9]*$")  # a Pydantic model has a method called schema
    parameters: Parameters = Parameters()


@dataclass(frozen=True)
class Prompt:
    """One prompt file. `version` is the first 12 hex digits of the SHA-256 of its `text`; `schema` is the name of its answer's model."""

    id: str
    purpose: PromptPurpose
    schema: str
    parameters: Parameters
    version: str
    text: str
    instructions: str
    input: str

    def request(self, *, item: str, variables: Mapping[str, Any], answer: type[T], offline: Callable[[], T]) -> Request[T]:
        """The request that asks this prompt for `item`.

        Raises BadInput when `answer` is another model than the prompt's schema names, and what `render` raises.
        """
        self.check_schema(answer)
        instructions, input = self.render(variables)
        return Request(
            purpose=self.purpose,
            item=item,
            prompt_id=self.id,
            prompt_version=self.version,
            instructions=instructions,
            input=input,
            answer=answer,
            offline=offline,
            temperature=self.parameters.temperature,
            max_output_tokens=self.parameters.max_output_tokens,
        )

    def check_schema(self, answer: type[BaseModel]) -> None:
        """Raises BadInput when the prompt describes the fields of another answer."""
        if answer.__name__ != self.schema:
            raise BadInput(f"prompt {self.id}: its schema is {self.schema}, and it is asked for {answer.__name__}")

    def warm_up(self) -> None:
        """Compiles the templates, which takes some 80 ms, so that the first request need not."""
        for half in (self.instructions, self.input):
            _template(half)
            _used(half)

    def render(self, variables: Mapping[str, Any]) -> tuple[str, str]:
        """Instructions and input with `variables` filled in; what others wrote gets there by data blocks only.

        Raises BadInput that names the variable or field that is missing or stands outside of a block, or says what does not fit.
        """
        from jinja2 import TemplateError

        try:
            # Held before rendering, so that a variable in a branch not taken is missed too.
            if missing := [path for path in self.variables() if _is_missing(path, variables)]:
                raise BadInput(f"prompt {self.id}: variable {', '.join(missing)} is missing")
            given = as_variables(variables)
            instructions, input = (_template(half).render(given).strip() for half in (self.instructions, self.input))
        except TemplateError as error:
            raise BadInput(f"prompt {self.id}: {error.message}") from None
        except (TypeError, ValueError) as error:  # a text where a number is compared, an object that JSON does not have
            raise BadInput(f"prompt {self.id}: a variable does not fit: {error}") from None
        return instructions, input

    def variables(self) -> list[str]:
        """What the prompt uses, by name; a field of a variable as `site.name`."""
        return sorted(_used(self.instructions) | _used(self.input))


@cache
def prompt(id: str) -> Prompt:
    """The prompt of that id. Raises BadInput when there is none, or its file is wrong."""
    path = _path(id)
    found = load(path)
    if found.id != id:
        raise BadInput(f"{path}: front matter id: expected {id}, the file's name, not {found.id}")
    return found


def ids() -> list[str]:
    """The ids of all prompts."""
    return sorted(path.stem for path in FOLDER.glob("*.md"))


def variant(path: Path) -> Prompt:
    """The prompt in a file of any name that words one of the house's in another way. Raises BadInput when its id is that of none."""
    found = load(path)
    if found.id not in ids():
        raise BadInput(f"{path}: front matter id: no prompt is called {found.id}; there are {', '.join(ids())}")
    return found


def versions(*ids: str) -> str:
    """One version for all of these prompts, for an asset's code_version; of a single prompt it is its own version."""
    each = [_version(_text(_path(id))) for id in ids]
    return each[0] if len(each) == 1 else _version("\n".join(f"{id} {version}" for id, version in zip(ids, each, strict=True)))


def load(path: Path) -> Prompt:
    """Reads one prompt file.

    Raises BadInput that names the file, and the key that is unknown, missing or malformed, or the line that is not Jinja.
    """
    import frontmatter
    import yaml
    from jinja2 import TemplateSyntaxError

    text = _text(path)
    try:
        head, body = frontmatter.parse(text)
        front = FrontMatter.model_validate(head)
    except ValidationError as error:
        raise BadInput(f"{path}: front matter {first_problem(error, expected=EXPECTED, known=_known)}") from None
    except (yaml.YAMLError, ValueError):  # ValueError: a date or a number that YAML's grammar takes and Python does not
        raise BadInput(f"{path}: the front matter is not YAML") from None
    halves = re.split(rf"^{re.escape(DIVIDER)}[ \t]*$", body, flags=re.MULTILINE)
    if len(halves) != 2:
        raise BadInput(f"{path}: expected one line {DIVIDER} between instructions and input, found {len(halves) - 1}")
    instructions, input = (half.strip() for half in halves)
    for half in (instructions, input):
        try:
            _template(half)
        except TemplateSyntaxError as error:
            line = text[: text.find(half)].count("\n") + error.lineno
            raise BadInput(f"{path}, line {line}: not a Jinja template: {error.message}") from None
    return Prompt(
        id=front.id,
        purpose=front.purpose,
        schema=front.answer,
        parameters=front.parameters,
        version=_version(text),
        text=text,
        instructions=instructions,
        input=input,
    )


def _known(place: Place) -> Collection[str]:
    return Parameters.model_fields if len(place) > 1 else ("id", "purpose", "schema", "parameters")


@cache
def _environment() -> "SandboxedEnvironment":
    return environment()


@cache
def _template(half: str) -> "Template":
    return _environment().from_string(half)


@cache
def _used(half: str) -> frozenset[str]:
    from jinja2 import meta, nodes

    tree = _environment().parse(half)
    names = meta.find_undeclared_variables(tree)
    fields = ((field.node, field.attr) for field in tree.find_all(nodes.Getattr))
    return frozenset(names | {f"{of.name}.{field}" for of, field in fields if isinstance(of, nodes.Name) and of.name in names})


def _is_missing(path: str, variables: Mapping[str, Any]) -> bool:
    """Whether `variables` lack the name or the field. A field of a name that is missing, or None, is not looked for."""
    from jinja2 import Undefined

    name, _, field = path.partition(".")
    if not field:
        return name not in variables
    return variables.get(name) is not None and isinstance(_environment().getattr(variables[name], field), Undefined)


def _path(id: str) -> Path:
    if id not in ids():
        raise BadInput(f"prompt {id}: no such prompt; there are {', '.join(ids())}")
    return FOLDER / f"{id}.md"


def _text(path: Path) -> str:
    """The file's text, without a byte order mark and with "\\n" for every line end: a checkout on Windows has the same versions."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})") from None


def _version(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
