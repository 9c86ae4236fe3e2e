"""Prompt files: Markdown with front matter. The hash of a file is its version.

A file has the front matter `id`, `purpose`, `schema` (the name of the model of its answer) and `parameters`, and a Jinja body that the
line `<!-- input -->` divides: above it the instructions, the stable text that an endpoint can cache; below it the input.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, Field, ValidationError

from pressroom.errors import BadInput
from pressroom.llm.types import Request
from pressroom.prompts.foreign import LONGEST, OURS, as_variables, environment
from pressroom.records import Record
from pressroom.wording import first_problem, keys_of

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
# What Python writes for a generator, a function or another object that has no text, also when a filter went over it.
ADDRESS = re.compile(r"(?:<|&lt;)([^<>&]*) at\W+0x[0-9a-f]+", re.IGNORECASE)


class Parameters(Record):
    """What a prompt sets for its calls. What it leaves open, the table of models fills in by purpose."""

    temperature: float | None = Field(default=None, ge=0, le=2)
    max_output_tokens: int | None = Field(default=None, ge=1, le=1_000_000)  # no model writes more in one answer


class FrontMatter(Record):
    """What the head of a prompt file may say."""

    id: str = Field(pattern=r"^[a-z0-9]+(_[a-z0-9]+)*$")
    purpose: PromptPurpose
    answer: str = Field(alias="schema", pattern=r"^[A-Z][A-Za-z0-9]*$")  # a Pydantic model has a method called schema
    parameters: Parameters = Parameters()


@dataclass(frozen=True)
class Prompt:
    """One prompt file. `version` is the first 12 hex digits of the SHA-256 of its `text`; `schema` is the name of its answer's model."""

    path: Path
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
            raise BadInput(f"{self._named}: front matter schema: expected {answer.__name__}, not {self.schema}")

    def warm_up(self) -> None:
        """Compiles the templates, which takes some 80 ms, so that the first request need not."""
        for half in (self.instructions, self.input):
            _template(half)
            _used(half)

    def render(self, variables: Mapping[str, Any]) -> tuple[str, str]:
        """Instructions and input with `variables` filled in; what others wrote gets there by data blocks of the input only.

        Raises BadInput that names the variable or field that is missing or stands where it may not, or says what does not fit.
        """
        from jinja2 import TemplateError

        # Held before rendering, so that a variable in a branch not taken is missed too.
        if missing := [path for path in self.variables() if _is_missing(path, variables)]:
            raise BadInput(f"{self._named}: no value for {', '.join(missing)}")
        if foreign := sorted(name for name in _used(self.instructions) - OURS if "." not in name):
            raise BadInput(f"{self._named}: the instructions use {', '.join(foreign)}: what others wrote belongs below the line {DIVIDER}")
        given = as_variables(variables)
        try:
            return _rendered(self.instructions, given), _rendered(self.input, given)
        except TemplateError as error:
            raise BadInput(f"{self._named}: {error.message}") from None
        except Exception as error:  # noqa: BLE001 - a template is a program: it divides by zero, calls itself, compares a text with a number
            raise BadInput(f"{self._named}: cannot be rendered with these variables: {str(error) or type(error).__name__}") from None

    @property
    def _named(self) -> str:
        """The prompt as messages call it: one of the house's by its id, a variant by its file."""
        return f"prompt {self.id}" if self.path.parent == FOLDER else str(self.path)

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

    text = _text(path)
    try:
        head, body = frontmatter.parse(text)
        front = FrontMatter.model_validate(head)
    except ValidationError as error:
        raise BadInput(f"{path}: front matter {first_problem(error, expected=EXPECTED, known=keys_of(FrontMatter))}") from None
    except (yaml.YAMLError, ValueError, RecursionError):  # ValueError: a date or a number that YAML's grammar takes and Python does not
        raise BadInput(f"{path}: the front matter is not YAML") from None
    halves = re.split(rf"^{re.escape(DIVIDER)}[ \t]*$", body, flags=re.MULTILINE)
    if len(halves) != 2:
        raise BadInput(f"{path}: expected one line {DIVIDER} between instructions and input, found {len(halves) - 1}")
    instructions, input = (half.strip() for half in halves)
    for half in (instructions, input):
        _check_template(half, path, text[: text.find(half)].count("\n"))
    return Prompt(
        path=path,
        id=front.id,
        purpose=front.purpose,
        schema=front.answer,
        parameters=front.parameters,
        version=_version(text),
        text=text,
        instructions=instructions,
        input=input,
    )


def _check_template(half: str, path: Path, above: int) -> None:
    """Raises BadInput for a half, `above` lines down in the file, that is no template, or reads other files."""
    from jinja2 import TemplateSyntaxError, nodes

    readers = (nodes.Include, nodes.Extends, nodes.Import, nodes.FromImport)
    try:
        _template(half)
        elsewhere = [node for node in _environment().parse(half).find_all(nodes.Stmt) if isinstance(node, readers)]
    except TemplateSyntaxError as error:
        raise BadInput(f"{path}, line {above + error.lineno}: not a Jinja template: {error.message}") from None
    except Exception as error:  # noqa: BLE001 - Python compiles it in the end, and has limits: 20 loops in one another, 1,000 brackets
        raise BadInput(f"{path}: not a Jinja template: {str(error).partition(' (')[0]}") from None
    if elsewhere:
        raise BadInput(f"{path}, line {above + elsewhere[0].lineno}: reads another template, and a prompt is one file")


@cache
def _environment() -> "SandboxedEnvironment":
    return environment()


@cache
def _template(half: str) -> "Template":
    return _environment().from_string(half)


def _rendered(half: str, given: Mapping[str, Any]) -> str:
    """The text of a half. Raises TemplateRuntimeError when it is too long or shows an object's address, and what the template does."""
    from jinja2 import TemplateRuntimeError

    pieces, length = [], 0
    for piece in _template(half).generate(given):
        length += len(piece)
        if length > LONGEST:
            raise TemplateRuntimeError(f"its text has more than {LONGEST:,} characters")
        pieces.append(piece)
    text = "".join(pieces).strip()
    if found := ADDRESS.search(text):  # no data block holds one: these signs are escapes there
        raise TemplateRuntimeError(f"<{found[1].split()[0]} …> is an object that has no text; the filter list or join may be missing")
    return text


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
