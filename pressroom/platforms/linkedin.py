"""LinkedIn: a post of 150 to 300 words with its key points."""

from collections.abc import Mapping
from functools import cached_property

import regex
from pydantic import BaseModel, Field, JsonValue

from pressroom.platforms.base import Checked, DraftBrief
from pressroom.platforms.rules import Count, Rule, RuleBook, Span, Words, load_rules
from pressroom.platforms.text import count_words, document_of, hashtags, parts_as
from pressroom.records import Record, Violation
from pressroom.wording import some

BULLET = "• "


class LinkedInPost(Record):
    """`text` is the post; its last line may hold the hashtags. `key_points` follow it as a list."""

    text: str = Field(description="The post in paragraphs separated by blank lines; hashtags, if any, on the last line.")
    key_points: list[str] = Field(description="Two to four takeaways, one sentence each, shown as a list under the text.")


class LinkedInRules(RuleBook):
    words: Rule[Span]
    characters: Rule[Count]
    paragraph_breaks: Rule[Count]
    hashtags: Rule[Count]
    promotional: Rule[Words]
    opening: Rule[Count]


class LinkedIn:
    slug = "linkedin"
    name = "LinkedIn"
    asset = "linkedin_posts"
    prompt = "draft_linkedin"
    structure: type[BaseModel] = LinkedInPost

    @cached_property
    def book(self) -> LinkedInRules:
        return load_rules(self.slug, LinkedInRules)

    def rules(self) -> list[str]:
        return self.book.sentences()

    def check(self, parts: Mapping[str, JsonValue]) -> Checked:
        """Measures the post as it would be posted, key points included."""
        post, book = parts_as(LinkedInPost, parts, self.slug), self.book
        text = self.render(parts)
        words, characters, tags = count_words(text), len(text), hashtags(text)
        paragraphs = [part for part in regex.split(r"\n[^\S\n]*\n", text) if part.strip()]
        breaks = max(0, len(paragraphs) - 1)
        opening = len(paragraphs[0].strip()) if paragraphs else 0
        violations: list[Violation] = []

        least, most = book.words.value.least, book.words.value.most
        if words not in book.words.value:
            change = f"{least - words} more are needed" if words < least else f"take out {words - most}"
            violations.append(book.words.broken(words, f"The post has {some(words, 'word')}, {least} to {most} are allowed: {change}."))
        if characters > (limit := book.characters.value):
            message = f"The post has {some(characters, 'character')}, {limit} are allowed: take out {characters - limit}."
            violations.append(book.characters.broken(characters, message))
        if breaks < (limit := book.paragraph_breaks.value):
            message = f"The post has {some(breaks, 'paragraph break')}, at least {limit} needed: put a blank line between two thoughts."
            violations.append(book.paragraph_breaks.broken(breaks, message))
        if len(tags) > (limit := book.hashtags.value):
            message = f"The post has {some(len(tags), 'hashtag')}, {limit} are allowed: take out {len(tags) - limit} of {' '.join(tags)}."
            violations.append(book.hashtags.broken(len(tags), message))
        for part, said in [("text", post.text), *((f"key_points[{number}]", point) for number, point in enumerate(post.key_points))]:
            if found := self.promotional(said):
                message = f"Promotional language: say it without {', '.join(f'“{phrase}”' for phrase in found)}."
                violations.append(book.promotional.broken(len(found), message, part=part, limit=0))
        if opening > (limit := book.opening.value):
            message = f"The first paragraph has {some(opening, 'character')}, about {limit} are shown: make its point sooner."
            violations.append(book.opening.broken(opening, message, part="text"))

        measures: dict[str, JsonValue] = {
            "words": words,
            "characters": characters,
            "paragraph_breaks": breaks,
            "hashtags": len(tags),
            "opening": opening,
            "key_points": len(post.key_points),
        }
        limits = {code: getattr(book, code).limit for code in ("words", "characters", "hashtags", "opening")}
        return Checked.of(self.slug, measures=measures, limits=limits, violations=violations)

    def promotional(self, text: str) -> list[str]:
        """The promotional words and phrases in `text`, each once. A hyphen and a space are the same, and so are the two apostrophes."""
        found = self._promotional.findall(text.replace("’", "'"))
        return list(dict.fromkeys(" ".join(phrase.casefold().split()) for phrase in found))

    @cached_property
    def _promotional(self) -> regex.Pattern[str]:
        phrases = sorted(self.book.promotional.value, key=len, reverse=True)
        either = "|".join(r"[\s-]+".join(map(regex.escape, regex.split(r"[\s-]+", phrase.replace("’", "'")))) for phrase in phrases)
        return regex.compile(rf"(?<!\w)(?:{either})(?!\w)", regex.IGNORECASE)

    def render(self, parts: Mapping[str, JsonValue]) -> str:
        """The text, the key points as a list under it, and the hashtags of the text's last line at the very end."""
        post = parts_as(LinkedInPost, parts, self.slug)
        if not post.key_points:
            return post.text
        body, tags = _split_tags(post.text)
        return "\n\n".join(filter(None, [body, "\n".join(BULLET + point for point in post.key_points), tags]))

    def parts_of(self, text: str) -> dict[str, JsonValue]:
        """A JSON document of the structure, or a post as it stands: a list with "• " at its end, before the hashtags, is its key points."""
        if document := document_of(text, LinkedInPost, self.slug):
            return document
        body, tags = _split_tags(text.replace("\r\n", "\n").rstrip("\n"))
        body, _, bullets = ("\n\n" + body).rpartition("\n\n")
        points = bullets.split("\n")
        if all(point.startswith(BULLET) for point in points):
            whole = "\n\n".join(filter(None, [body.removeprefix("\n\n"), tags]))
            return {"text": whole, "key_points": [point.removeprefix(BULLET) for point in points]}
        return {"text": text.replace("\r\n", "\n"), "key_points": []}

    def compose(self, brief: DraftBrief) -> BaseModel:
        from pressroom.platforms.offline_linkedin import write_post

        return write_post(brief, self)


def _split_tags(text: str) -> tuple[str, str]:
    """The text without its last paragraph, and that paragraph, where it is nothing but hashtags."""
    body, gap, last = text.rpartition("\n\n")
    words = last.split()
    if gap and words and all(hashtags(word) == [word] for word in words):
        return body, last
    return text, ""


PLATFORM = LinkedIn()
