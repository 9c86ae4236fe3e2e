"""What the rules count in a text, and the structure that a pasted document has."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

import regex
from pydantic import BaseModel, JsonValue, ValidationError

from pressroom.errors import BadInput
from pressroom.wording import first_problem

S = TypeVar("S", bound=BaseModel)

_CJK = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]")
_LETTER_OR_DIGIT = regex.compile(r"[\p{L}\p{N}]")
_HASHTAG = regex.compile(r"(?<![\p{L}\p{N}_&/])[#＃][\p{M}\p{N}_]*\p{L}[\p{L}\p{M}\p{N}_]*")


def count_words(text: str) -> int:
    """Words of `text` as written: runs between spaces with a letter or a digit in them.

    Chinese and Japanese have no spaces between words: each of their characters counts as one, as word processors count them.
    """
    spaced = _CJK.sub(" ", text)
    return len(_CJK.findall(text)) + sum(1 for run in spaced.split() if _LETTER_OR_DIGIT.search(run))


def hashtags(text: str) -> list[str]:
    """The hashtags of `text`: a # that follows no letter or digit, and a word that has a letter in it."""
    return [found.group() for found in _HASHTAG.finditer(text)]


def parts_as(structure: type[S], parts: Mapping[str, JsonValue], platform: str) -> S:
    """`parts` as the platform's structure. Raises BadInput that names the first part that does not fit."""
    try:
        return structure.model_validate(parts)
    except ValidationError as error:
        raise BadInput(f"{platform}: {first_problem(error)}; the parts are {', '.join(structure.model_fields)}") from None


def json_of(text: str) -> Any:
    """What `text` says as a JSON document, or None where it is none. Raises BadInput where it escapes half a character."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        document = json.loads(text)
        json.dumps(document, ensure_ascii=False).encode()
        return document
    except UnicodeEncodeError:
        raise BadInput(r"the document escapes half of a character, such as \ud83d without its other half") from None
    except (ValueError, RecursionError):  # plain text that begins with a bracket
        return None


def document_of(text: str, structure: type[BaseModel], platform: str) -> dict[str, JsonValue] | None:
    """The parts in `text` where it is a JSON document of the structure, else None. Raises BadInput where it is one with faults."""
    document = json_of(text)
    if not isinstance(document, dict) or not document.keys() & structure.model_fields.keys():
        return None
    return parts_as(structure, document, platform).model_dump()
