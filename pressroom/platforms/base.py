"""What a platform is. Adding one is a module beside this one, its block in platforms.yaml and its prompt."""

from collections.abc import Mapping
from typing import Protocol

from pydantic import BaseModel, Field, JsonValue

from pressroom.records import Idea, Keyword, Record, Site, Violation


class DraftBrief(Record):
    """What a draft is written from: the site, the idea, and the idea's keywords with their figures."""

    site: Site
    idea: Idea
    keywords: tuple[Keyword, ...]


class Checked(Record):
    """What the rules say of a text: `measures` are the figures, `violations` the broken rules, errors first.

    `limits` has, for the measures that have one, the most allowed or [least, most]: it serves the bars of a table and stays out of
    the document.
    """

    platform: str
    ok: bool
    measures: dict[str, JsonValue]
    violations: tuple[Violation, ...]
    limits: dict[str, JsonValue] = Field(default_factory=dict, exclude=True)

    @classmethod
    def of(cls, platform: str, *, measures: dict[str, JsonValue], limits: dict[str, JsonValue], violations: list[Violation]) -> "Checked":
        """The result: `ok` where no violation is an error."""
        errors_first = tuple(sorted(violations, key=lambda violation: violation.severity))
        ok = not any(violation.is_error for violation in violations)
        return cls(platform=platform, ok=ok, measures=measures, violations=errors_first, limits=limits)


class Platform(Protocol):
    """One platform. `asset` is the name of its asset, `prompt` the id of its prompt, `structure` what a model answers."""

    slug: str
    name: str
    asset: str
    prompt: str
    structure: type[BaseModel]

    def check(self, parts: Mapping[str, JsonValue]) -> Checked:
        """Holds a draft's structure against every rule of the platform. Raises BadInput when `parts` is not that structure."""
        ...

    def parts_of(self, text: str) -> dict[str, JsonValue]:
        """The structure of a text that a person wrote or pasted: what `render` made, or a JSON document of the structure.

        Raises BadInput when it cannot be read.
        """
        ...

    def render(self, parts: Mapping[str, JsonValue]) -> str:
        """The text as it would be posted."""
        ...

    def rules(self) -> list[str]:
        """The rules in sentences, for the prompt."""
        ...

    def compose(self, brief: DraftBrief) -> BaseModel:
        """A draft within the rules, written on this machine without a model: for demos and tests."""
        ...
