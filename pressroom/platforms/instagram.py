"""Instagram: the script of a reel, with its scenes and its caption."""

import math
import re
from collections.abc import Mapping
from functools import cached_property

from pydantic import BaseModel, Field, JsonValue

from pressroom.errors import BadInput
from pressroom.platforms.base import Checked, DraftBrief
from pressroom.platforms.rules import Count, Rule, RuleBook, Span, Words, load_rules
from pressroom.platforms.spoken import spoken_words
from pressroom.platforms.text import document_of, hashtags, parts_as
from pressroom.platforms.weighted import measure
from pressroom.records import Record, Violation
from pressroom.wording import some

SPOKEN = ("hook", "value", "call_to_action")
HEADINGS = {"hook": "HOOK", "value": "VALUE", "call_to_action": "CALL TO ACTION", "scenes": "SCENES", "caption": "CAPTION"}
_HEADING = re.compile(r"^[#*\s]*(hook|value|call[ _]to[ _]action|scenes|caption)[*\s]*:?[*\s]*$", re.IGNORECASE)
_SCENE = re.compile(r"^[-*•]\s+([^:\n]+):[ \t]*(.*)$")


class Scene(Record):
    """What is seen while a section is spoken."""

    section: str = Field(description="The section it belongs to.", json_schema_extra={"enum": list(SPOKEN)})
    description: str = Field(description="What is seen, in one sentence.")


class InstagramReel(Record):
    """Hook, value and call to action are spoken one after the other; the caption is read."""

    hook: str
    value: str
    call_to_action: str
    scenes: list[Scene]
    caption: str


class InstagramRules(RuleBook):
    pace: Rule[Count]
    seconds: Rule[Span]
    hook_seconds: Rule[Span]
    value_seconds: Rule[Count]
    call_to_action_seconds: Rule[Span]
    sections: Rule[Count]
    scene_sections: Rule[Words]
    caption_characters: Rule[Count]
    hashtags: Rule[Count]
    caption_links: Rule[Count]


class Instagram:
    slug = "instagram"
    name = "Instagram"
    asset = "instagram_reels"
    prompt = "draft_instagram"
    structure: type[BaseModel] = InstagramReel

    @cached_property
    def book(self) -> InstagramRules:
        return load_rules(self.slug, InstagramRules)

    def rules(self) -> list[str]:
        return self.book.sentences()

    def check(self, parts: Mapping[str, JsonValue]) -> Checked:
        """Measures the script as it is spoken, and the caption as it is written."""
        reel, book = parts_as(InstagramReel, parts, self.slug), self.book
        words = {section: spoken_words(getattr(reel, section)) for section in SPOKEN}
        seconds = {section: self._seconds(count) for section, count in words.items()}
        total = self._seconds(sum(words.values()))
        tags, links = hashtags(reel.caption), measure(reel.caption).links
        violations = [*self._missing(reel), *self._timing(seconds, total)]

        for number, scene in enumerate(reel.scenes):
            if scene.section not in book.scene_sections.value:
                known = ", ".join(book.scene_sections.value)
                message = f'Scene {number + 1} belongs to "{scene.section}": say which of {known} it shows.'
                violations.append(book.scene_sections.broken(scene.section, message, part=f"scenes[{number}].section"))
        if len(reel.caption) > (limit := book.caption_characters.value):
            message = f"The caption has {some(len(reel.caption), 'character')}, {limit} are allowed: take out {len(reel.caption) - limit}."
            violations.append(book.caption_characters.broken(len(reel.caption), message, part="caption"))
        if len(tags) > (limit := book.hashtags.value):
            message = (
                f"The caption has {some(len(tags), 'hashtag')}, {limit} are allowed: take out {len(tags) - limit} of {' '.join(tags)}."
            )
            violations.append(book.hashtags.broken(len(tags), message, part="caption"))
        if len(links) > (limit := book.caption_links.value):
            message = f"The caption has {some(len(links), 'link')} that nobody can tap: take out {', '.join(links)}."
            violations.append(book.caption_links.broken(len(links), message, part="caption"))

        measures: dict[str, JsonValue] = {
            "seconds": total,
            "spoken_words": sum(words.values()),
            **{f"{section}_seconds": count for section, count in seconds.items()},
            "scenes": len(reel.scenes),
            "caption_characters": len(reel.caption),
            "hashtags": len(tags),
        }
        codes = ("seconds", "hook_seconds", "value_seconds", "call_to_action_seconds", "caption_characters", "hashtags")
        return Checked.of(self.slug, measures=measures, limits={code: getattr(book, code).limit for code in codes}, violations=violations)

    def _seconds(self, words: float) -> float:
        return round(words * 60 / self.book.pace.value, 1)

    def _missing(self, reel: InstagramReel) -> list[Violation]:
        rule = self.book.sections
        empty = [section for section in (*SPOKEN, "caption") if not getattr(reel, section).strip()]
        found = [
            rule.broken(0, f"The {HEADINGS[section].lower()} is empty: write it under {HEADINGS[section]}.", part=section)
            for section in empty
        ]
        if len(reel.scenes) < rule.value:
            found.append(rule.broken(len(reel.scenes), f"There are no scenes: say what is seen, at least {rule.value}.", part="scenes"))
        for number, scene in enumerate(reel.scenes):
            if not scene.description.strip():
                found.append(rule.broken(0, f"Scene {number + 1} is empty: say what is seen.", part=f"scenes[{number}].description"))
        return found

    def _timing(self, seconds: Mapping[str, float], total: float) -> list[Violation]:
        """The rules on how long the script lasts. An empty section is reported as missing, not as short."""
        book, found = self.book, []
        spans: list[tuple[Rule[Span], float, str, str | None]] = [
            (book.seconds, total, "script", None),
            (book.hook_seconds, seconds["hook"], "hook", "hook"),
            (book.call_to_action_seconds, seconds["call_to_action"], "call to action", "call_to_action"),
        ]
        for rule, measured, what, part in spans:
            if measured not in rule.value and (measured or part is None):
                least, most = rule.value.least, rule.value.most
                change = self._change(least - measured, "add") if measured < least else self._change(measured - most, "take out")
                message = f"The {what} lasts {measured:g} seconds when spoken, {least} to {most} are allowed: {change}."
                found.append(rule.broken(measured, message, part=part))
        if (measured := seconds["value"]) > (limit := book.value_seconds.value):
            message = (
                f"The value lasts {measured:g} seconds when spoken, {limit} are allowed: {self._change(measured - limit, 'take out')}."
            )
            found.append(book.value_seconds.broken(measured, message, part="value"))
        return found

    def _change(self, seconds: float, verb: str) -> str:
        words = math.ceil(seconds * self.book.pace.value / 60)
        return f"{verb} about {some(words, 'word')}"

    def render(self, parts: Mapping[str, JsonValue]) -> str:
        """The script under the headings HOOK, VALUE, CALL TO ACTION, SCENES and CAPTION."""
        reel = parts_as(InstagramReel, parts, self.slug)
        scenes = "\n".join(f"- {scene.section}: {scene.description}" for scene in reel.scenes)
        bodies = {section: scenes if section == "scenes" else getattr(reel, section) for section in HEADINGS}
        return "\n\n".join(f"{heading}\n{bodies[section]}" for section, heading in HEADINGS.items())

    def parts_of(self, text: str) -> dict[str, JsonValue]:
        """A JSON document of the structure, or a text under the headings of `render`; each scene is a line "- section: what is seen".

        A heading that is missing leaves its part empty; a text without any heading is a caption. Raises BadInput, naming the line, for
        a heading that is there twice and for text above the first one.
        """
        if document := document_of(text, InstagramReel, self.slug):
            return document
        lines = text.replace("\r\n", "\n").split("\n")
        bodies: dict[str, list[str]] = {}
        section = None if any(map(_HEADING.match, lines)) else "caption"
        for number, line in enumerate(lines, start=1):
            if heading := _HEADING.match(line):
                section = re.sub(r"[ _]", "_", heading[1].lower())
                if section in bodies:
                    raise BadInput(f"instagram: line {number}: the heading {HEADINGS[section]} is there twice")
                bodies[section] = []
            elif section:
                bodies.setdefault(section, []).append(line)
            elif line.strip():
                raise BadInput(f"instagram: line {number}: expected one of the headings {', '.join(HEADINGS.values())} above it")
        scenes: list[JsonValue] = [_scene(line.strip()) for line in bodies.pop("scenes", []) if line.strip()]
        texts = {name: "\n".join(bodies.get(name, [])).strip() for name in HEADINGS if name != "scenes"}
        return {**texts, "scenes": scenes}

    def compose(self, brief: DraftBrief) -> BaseModel:
        from pressroom.platforms.offline_instagram import write_reel

        return write_reel(brief, self)


def _scene(line: str) -> JsonValue:
    """A line of the scenes; one that names no section keeps its words and belongs to none."""
    found = _SCENE.match(line)
    if not found:
        return {"section": "", "description": line}
    return {"section": re.sub(r"\s+", "_", found[1].strip().lower()), "description": found[2].strip()}


PLATFORM = Instagram()
