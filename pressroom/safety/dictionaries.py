"""The words that are looked for: dictionaries per language, those that come with Pressroom and one's own."""

import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from pressroom.records import Record, version_of
from pressroom.safety.reading import Mistakes, field_path, in_file, read_mapping, validated

FOLDER = Path(__file__).with_name("dictionaries")

Label = Annotated[str, Field(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$")]
Code = Annotated[str, Field(pattern=r"^[A-Z0-9]+(\.[A-Z0-9]+)*$", description="A risk code, such as VIO.WEAPON.")]
Weight = Annotated[float, Field(gt=0, le=1)]


class Term(Record):
    """One term and its other forms, with what it weighs. `unless` holds longer phrases in which it is harmless."""

    term: str
    also: tuple[str, ...] = ()
    weight: Weight | None = None
    label: Label | None = None
    code: Code | None = None
    unless: tuple[str, ...] = ()

    @field_validator("also", "unless", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _can_be_found(self) -> "Term":
        for form in (self.term, *self.also):
            letters = sum(character.isalnum() for character in unicodedata.normalize("NFKC", form))
            if letters < (3 if form.isascii() else 2):
                raise ValueError(f"'{form}' is too short: a term of fewer than 3 letters is found in leetspeak everywhere")
            if len(form) > 100:
                raise ValueError(f"'{form[:20]}…' is too long: at most 100 characters")
        return self

    @property
    def forms(self) -> tuple[str, ...]:
        return (self.term, *self.also)


class Dictionary(Record):
    """The terms of one subject in one language. `code`, `label` and `weight` are those of its terms that say nothing else."""

    language: str = Field(pattern=r"^[a-z]{2,3}$")
    code: Code
    label: Label
    weight: Weight = 0.8
    terms: Annotated[tuple[Term, ...], Field(min_length=1)]

    @field_validator("terms", mode="before")
    @classmethod
    def _plain_words(cls, value: Any) -> Any:
        return [{"term": one} if isinstance(one, str) else one for one in value] if isinstance(value, list) else value

    @model_validator(mode="after")
    def _each_once(self) -> "Dictionary":
        seen: set[str] = set()
        for term in self.terms:
            for form in term.forms:
                if form.casefold() in seen:
                    raise ValueError(f"'{form}' stands twice")
                seen.add(form.casefold())
        return self

    def labels(self) -> dict[str, str]:
        """Every label in it, with its risk code."""
        return {term.label or self.label: term.code or self.code for term in self.terms}


class Dictionaries(Record):
    """All that are in use. Their version changes with every word of them."""

    files: tuple[Dictionary, ...]

    @property
    def version(self) -> str:
        return version_of((self,))[:12]

    def languages(self) -> tuple[str, ...]:
        return tuple(sorted({one.language for one in self.files}))

    def of(self, language: str) -> tuple[Dictionary, ...]:
        """Those of a language: "en-GB" has those of "en"."""
        return tuple(one for one in self.files if one.language == language_of(language))

    def labels(self, language: str | None = None) -> dict[str, str]:
        """Every label, of one language or of all, with its risk code."""
        chosen = self.files if language is None else self.of(language)
        return {label: code for one in chosen for label, code in one.labels().items()}


def language_of(tag: str) -> str:
    return tag.replace("_", "-").split("-")[0].lower()


def read_dictionary(path: Path) -> Dictionary:
    """The dictionary in a file. Raises Mistakes with one line for each."""
    document = read_mapping(path)

    def named(steps: tuple[int | str, ...]) -> str:
        match steps:
            case ("terms", int(number), *rest):
                entry = document["terms"][number]
                term = entry.get("term") if isinstance(entry, dict) else entry
                return ": ".join(part for part in (f"term {number + 1} ({term})", field_path(rest)) if part)
        return field_path(steps)

    try:
        return validated(Dictionary, document, named)
    except Mistakes as error:
        raise in_file(path, error) from None


@cache
def dictionaries(folder: Path | None = None) -> Dictionaries:
    """The dictionaries that come with Pressroom, and the YAML files of `folder`: a file there replaces the shipped one of its name.

    Read once in a process. Raises Mistakes with one line for each mistake of all files.
    """
    files = {path.name: path for path in sorted(FOLDER.glob("*.yaml"))}
    if folder is not None:
        own = sorted(folder.glob("*.yaml"))
        if not own:
            raise Mistakes([f"{folder}: no dictionaries (*.yaml) in it"])
        files |= {path.name: path for path in own}
    return Dictionaries(files=tuple(_all_of(files.values())))


def _all_of(paths: Iterable[Path]) -> Iterable[Dictionary]:
    found: list[Dictionary] = []
    mistakes: list[str] = []
    for path in paths:
        try:
            found.append(read_dictionary(path))
        except Mistakes as error:
            mistakes += error.lines
    if mistakes:
        raise Mistakes(mistakes)
    return found
