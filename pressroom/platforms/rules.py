"""The platforms' rules as data: platforms.yaml, one block per platform, read into the types that the platform's module names."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import yaml
from pydantic import Field, JsonValue, StrictInt, StringConstraints, ValidationError, model_validator

from pressroom.errors import BadInput
from pressroom.records import Record, Severity, Violation
from pressroom.wording import first_problem

FILE = Path(__file__).with_name("platforms.yaml")

Text = Annotated[str, StringConstraints(min_length=1)]
Count = Annotated[StrictInt, Field(ge=0)]
Words = Annotated[tuple[Text, ...], Field(min_length=1)]


class Span(Record):
    """From `least` to `most`, both allowed."""

    least: Count
    most: Count

    @model_validator(mode="after")
    def _in_order(self) -> "Span":
        if self.least > self.most:
            raise ValueError(f"least ({self.least}) is more than most ({self.most})")
        return self

    def __contains__(self, measured: float) -> bool:
        return self.least <= measured <= self.most


V = TypeVar("V", bound=int | Span | tuple[str, ...])
B = TypeVar("B", bound="RuleBook")


class Rule(Record, Generic[V]):
    """One rule. `severity` is None for a convention that other rules count by and nothing can break."""

    code: str
    value: V
    severity: Severity | None
    source: Text
    checked: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}$")]
    sentence: Text

    @model_validator(mode="after")
    def _sentence_can_be_filled(self) -> "Rule[V]":
        try:
            self.say()
        except (AttributeError, IndexError, KeyError, ValueError) as error:
            raise ValueError(f"the sentence has a placeholder that its value does not fill: {error}") from None
        return self

    def say(self) -> str:
        """The rule as a sentence, with its value in it."""
        value = ", ".join(self.value) if isinstance(self.value, tuple) else self.value
        return self.sentence.format(value=value)

    @property
    def limit(self) -> JsonValue:
        """The value as JSON: a number, or a list of [least, most], or the list of words."""
        if isinstance(self.value, Span):
            return [self.value.least, self.value.most]
        return list(self.value) if isinstance(self.value, tuple) else self.value

    def broken(self, measured: JsonValue, message: str, *, part: str | None = None, limit: JsonValue = None) -> Violation:
        """The violation of this rule; `limit` stands in for the value where the value is not what was measured against."""
        if self.severity is None:
            raise TypeError(f"{self.code} is a convention and cannot be broken")
        against = self.limit if limit is None else limit
        return Violation(code=self.code, severity=self.severity, measured=measured, limit=against, message=message, part=part)


class RuleBook(Record):
    """The rules of one platform: each field is one rule, and the field's name is the rule's code."""

    @model_validator(mode="before")
    @classmethod
    def _name_the_rules(cls, block: Any) -> Any:
        if not isinstance(block, Mapping):
            raise ValueError("expected a mapping of rule codes to rules")
        return {code: {"code": code, **rule} if isinstance(rule, Mapping) else rule for code, rule in block.items()}

    def sentences(self) -> list[str]:
        """The rules for the prompt, in the order of the fields."""
        return [getattr(self, code).say() for code in type(self).model_fields]


def load_rules(platform: str, book: type[B], path: Path = FILE) -> B:
    """The rules of `platform`. Raises BadInput with one line that names the file, the rule and what was expected."""
    blocks = _blocks(path)
    if platform not in blocks:
        raise BadInput(f"{path.name}: no block for the platform {platform!r}; it has {', '.join(blocks) or 'none'}")
    try:
        return book.model_validate(blocks[platform])
    except ValidationError as error:
        raise BadInput(f"{path.name}: {platform}.{first_problem(error)}") from None


def order(path: Path = FILE) -> list[str]:
    """The platforms in the order of their blocks."""
    return list(_blocks(path))


@cache
def _blocks(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path.name}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise BadInput(f"{path.name}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict) or not all(isinstance(name, str) for name in document):
        raise BadInput(f"{path.name}: expected a mapping of platforms to rules")
    return document
