"""X: a single post, or a thread of two to five posts that follow from each other."""

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from pydantic import BaseModel, Field, JsonValue

from pressroom.platforms.base import Checked, DraftBrief
from pressroom.platforms.rules import Count, Rule, RuleBook, Span, Words, load_rules
from pressroom.platforms.text import json_of, parts_as
from pressroom.platforms.weighted import measure
from pressroom.records import Record, Violation
from pressroom.wording import some

# One to six letters, a dot and two more for a share class, after a space: $5 and US$ABC are none.
CASHTAG = re.compile(r"(?<!\S)\$[A-Za-z]{1,6}(?:[._][A-Za-z]{1,2})?(?![\w$])")
MARK = re.compile(r"\n\n\[(\d+)/(\d+)\]\n\n")


class XPosts(Record):
    """One post, or the posts of a thread in their order."""

    posts: list[str] = Field(description="The text of each post, in order: one for a single post, two to five for a thread. No numbering.")


class XRules(RuleBook):
    posts: Rule[Span]
    weighted_length: Rule[Count]
    weighted_length_strict: Rule[Count]
    empty: Rule[Count]
    invalid_characters: Rule[Words]
    cashtags: Rule[Count]


class X:
    slug = "x"
    name = "X"
    asset = "x_posts"
    prompt = "draft_x"
    structure: type[BaseModel] = XPosts

    @cached_property
    def book(self) -> XRules:
        return load_rules(self.slug, XRules)

    def rules(self) -> list[str]:
        return self.book.sentences()

    def check(self, parts: Mapping[str, JsonValue]) -> Checked:
        """Measures every post. For a thread, the figures without a list are those of its longest post."""
        posts, book = parts_as(XPosts, parts, self.slug).posts, self.book
        lengths = [measure(post) for post in posts]
        limit, strict_limit = book.weighted_length.value, book.weighted_length_strict.value
        violations: list[Violation] = []

        if len(posts) not in book.posts.value:
            least, most = book.posts.value.least, book.posts.value.most
            violations.append(book.posts.broken(len(posts), f"There are {some(len(posts), 'post')}, {least} to {most} are allowed."))
        for number, (post, length) in enumerate(zip(posts, lengths, strict=True)):
            part, here = f"posts[{number}]", f"Post {number + 1}" if len(posts) > 1 else "The post"
            if not post.strip():
                violations.append(book.empty.broken(0, f"{here} is empty: write it or leave it out.", part=part))
            if length.current > limit:
                over = length.current - limit
                message = f"{here} counts {length.current} characters on X, {limit} are allowed: shorten it by {over}."
                violations.append(book.weighted_length.broken(length.current, message, part=part))
            elif length.strict > strict_limit:
                over = length.strict - strict_limit
                message = (
                    f"{here} counts {length.strict} where newer emoji are not known, {strict_limit} are allowed: shorten it by {over}."
                )
                violations.append(book.weighted_length_strict.broken(length.strict, message, part=part))
            if found := self._invalid(post):
                message = f"{here} has characters that X refuses: take out {', '.join(found)}."
                violations.append(book.invalid_characters.broken(sum(found.values()), message, part=part, limit=0))
            if len(tags := CASHTAG.findall(post)) > (allowed := book.cashtags.value):
                message = f"{here} has {len(tags)} cashtags, {allowed} is allowed: write {', '.join(tags[allowed:])} without the $."
                violations.append(book.cashtags.broken(len(tags), message, part=part))

        longest = max((length.current for length in lengths), default=0)
        measures: dict[str, JsonValue] = {
            "weighted_length": longest,
            "weighted_length_strict": max((length.strict for length in lengths), default=0),
            "remaining": limit - longest,
            "urls": sum(len(length.links) for length in lengths),
            "posts": len(posts),
        }
        if len(posts) > 1:
            measures["weighted_lengths"] = [length.current for length in lengths]
            measures["weighted_lengths_strict"] = [length.strict for length in lengths]
        limits: dict[str, JsonValue] = {"weighted_length": limit, "weighted_length_strict": strict_limit, "posts": book.posts.limit}
        return Checked.of(self.slug, measures=measures, limits=limits, violations=violations)

    def _invalid(self, post: str) -> dict[str, int]:
        characters = {name: chr(int(name.removeprefix("U+"), 16)) for name in self.book.invalid_characters.value}
        return {name: post.count(character) for name, character in characters.items() if character in post}

    def render(self, parts: Mapping[str, JsonValue]) -> str:
        """A single post as it is; the posts of a thread with a mark such as [2/3] between them, which is not posted."""
        posts = parts_as(XPosts, parts, self.slug).posts
        return "".join(post if number == 1 else f"\n\n[{number}/{len(posts)}]\n\n{post}" for number, post in enumerate(posts, start=1))

    def parts_of(self, text: str) -> dict[str, JsonValue]:
        """`text` as it is, spaces and line ends included, is one post.

        It is a thread where it has all the marks that `render` sets, [2/N] to [N/N], or is a JSON list of posts or {"posts": [...]}.
        """
        document: Any = json_of(text)
        if isinstance(document, dict) and document.keys() == {"posts"}:
            document = document["posts"]
        if isinstance(document, list) and document and all(isinstance(post, str) for post in document):
            return parts_as(XPosts, {"posts": document}, self.slug).model_dump()
        pieces = MARK.split(text)  # post, number, count, post, number, count, post
        posts, numbers, counts = pieces[::3], pieces[1::3], pieces[2::3]
        expected = [(str(number), str(len(posts))) for number in range(2, len(posts) + 1)]
        is_thread = list(zip(numbers, counts, strict=True)) == expected
        return parts_as(XPosts, {"posts": posts if is_thread else [text]}, self.slug).model_dump()

    def compose(self, brief: DraftBrief) -> BaseModel:
        from pressroom.platforms.offline_x import write_posts

        return write_posts(brief, self)


PLATFORM = X()
