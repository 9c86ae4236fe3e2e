"""Search phrases as English: what a phrase is about, the article it needs, and how it looks in a headline."""

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

Kind = Literal["goods", "topic", "task", "question", "comparison"]


def _set(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


_ARTICLES = _set("the a an")
_DETERMINERS = _ARTICLES | _set("my your our their this these any each every one two no more less")
_ASKS = _set("what why when where which who how is are can do does should will")
_QUALIFIERS = _set("best top cheap cheapest affordable good great buy order hire find compare the a an my")
_TRAILERS = _set("online wholesale review reviews price prices cost costs meaning definition uk us usa")
_PREPOSITIONS = _set(
    "for with without in of to on at from under near vs versus and or by into after before during between per as over about"
)
_SMALL = _set("a an the and or nor but as at by for from in into of on per to vs with without")
_ACRONYMS = _set(
    "ai api b2b bmi cms crm diy erp ev faq gdpr hepa hiit hr hvac kpi led nas pc pdf pos roi saas seo sms suv tv uk usa usb uv vat vpn"
)
# Adjectives that searches put last: "aphid spray homemade".
_POSTPOSED = _set("homemade handmade diy organic natural portable electric automatic wireless cordless waterproof indoor outdoor")
# Verbs that begin a phrase which is a task: "make cold brew at home". Words that are as often nouns stay out.
_VERBS = _set(
    "make fix install choose pick learn create write remove replace get clean build descale sharpen prepare improve reduce",
    "calculate measure grow apply become use freeze cancel freshen waterproof",
)
# Heads that take no article although they are singular.
_MASS = _set(
    "advice air art beauty beer bread brew butter care cement cheese chocolate clay clothing coffee compost content cotton data decaf",
    "decor design energy equipment espresso fabric finance fitness flooring food furniture gas gear glass gold grass hair health help",
    "honey information jewelry juice knowledge leather life limescale luggage maintenance management marketing meat metal milk money music",
    "news nutrition oil outreach paint paper pasta power progress repair research rice safety salt sand security seo silver skin",
    "sleep soap soil storage sugar support tea technology therapy tile timber travel vinegar water wine wood wool work yoga",
)
_MASS_ENDINGS = ("ing", "ware", "ics", "ance", "ence", "ity", "ism", "ness", "tion", "sion", "graphy", "hood")
# Heads of which there is one: "the cold brew ratio".
_DEFINITE = _set(
    "ratio cost price pricing size temperature time timeline process meaning difference weight effect benefit value age height length",
    "width depth speed limit deadline history future market",
)
_PLURALS = _set("people men women children feet teeth mice geese criteria media")
# Plurals that one reads about, but neither chooses nor buys.
_ABSTRACT = _set(
    "ideas trends tips benefits facts examples rates laws rules requirements statistics symptoms causes reasons hours effects types basics",
    "questions skills jobs news grants taxes regulations signs levels",
)
# Nouns that need an article wherever they stand. Other nouns behind a preposition keep the wording of the search.
_COUNT = _set(
    "machine office timer grinder kettle business company shop room kitchen bathroom house apartment garden car dog cat baby phone laptop",
    "desk bed floor wall roof shower toilet fence tree plant team website blog budget freelancer startup beginner student family couple",
    "wedding party birthday city facility university community charity vanity vehicle contractor plumber lawyer accountant dentist",
    "garage basement attic heater pump furnace oven stove battery charger system upgrade window door boiler roaster",
    "subscription solution renovation station foundation application extension collection option",
)
# Words of a complaint: "espresso shot too fast" is quoted as it was typed.
_COMPLAINTS = _set("too not isn't won't doesn't don't can't wont doesnt dont cant isnt")
# "air seal an attic", "deep clean a grinder": the second word is the verb.
_SECOND_VERBS = _set("seal clean fry wash tune check paint")
# Prepositions before which a count noun is a thing of its own: not "air to water".
_GOVERNING = _set("for with without in")
# "walk in", "pour over": the second word belongs to the first and governs nothing.
_COMPOUND = _set("walk pour built plug log check sign opt drop clip add stand")


@dataclass(frozen=True)
class Phrase:
    """A search phrase read as English.

    `kind` is goods (one can choose or buy it: "standing desks"), topic ("coffee extraction", "the cold brew ratio"), task ("how to
    clean a grinder"), question or comparison. `noun` is its noun phrase with the article it needs; a question and a comparison have none.
    """

    text: str
    kind: Kind
    noun: str
    words: frozenset[str]

    @property
    def quoted(self) -> str:
        return f"“{self.text}”"

    @property
    def bare(self) -> str:
        """The noun phrase without its article."""
        return re.sub(r"^(the|an?) ", "", self.noun)


@lru_cache(maxsize=4096)
def read_phrase(phrase: str) -> Phrase:
    words = [word.upper() if word.lower() in _ACRONYMS else word for word in phrase.strip(" ?!.").split()]
    lower = [word.lower() for word in words]
    kind, noun = _kind_and_noun(words, lower)
    return Phrase(text=" ".join(words), kind=kind, noun=noun, words=frozenset(word.strip(",'") for word in lower))


def headline(text: str) -> str:
    """`text` in the capitals of a headline: small words inside it stay small, acronyms and names stay as they are."""
    words = text.split()
    outer = {0, len(words) - 1} | {index + 1 for index, word in enumerate(words) if word.endswith((":", "?", "!"))}
    return " ".join(word if word in _SMALL and index not in outer else _capital(word) for index, word in enumerate(words))


def with_article(noun: str) -> str:
    """`noun` with "a", "an", "the" or nothing, as English wants it. A guess from the form of the head noun and short lists."""
    words = _inner_articles(noun.split())
    lower = [word.lower() for word in words]
    head = _head(lower)
    if head in _DEFINITE:
        return " ".join(words if lower[0] == "the" else ["the", *words])
    is_name = words[lower.index(head)][0].isupper()
    is_mass = head in _MASS or (head.endswith(_MASS_ENDINGS) and head not in _COUNT)
    if lower[0] in _DETERMINERS or _is_plural(head) or is_mass or is_name:
        return " ".join(words)
    return " ".join([_a(words[0]), *words])


def gerund(verb: str) -> str:
    """The -ing form: make → making, get → getting, clean → cleaning."""
    if verb.endswith("ie"):
        return f"{verb[:-2]}ying"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        return f"{verb[:-1]}ing"
    doubled = re.fullmatch(r"[^aeiou]*[aeiou][bdgmnprt]", verb)
    return f"{verb}{verb[-1]}ing" if doubled else f"{verb}ing"


def _kind_and_noun(words: list[str], lower: list[str]) -> tuple[Kind, str]:
    if lower[:2] == ["how", "to"] and len(words) > 2:
        return "task", _task(words[2:])
    if lower and lower[0] in _ASKS and len(words) > 1:
        return "question", ""
    if _COMPLAINTS & set(lower):
        return "topic", f"“{' '.join(words)}”"
    if any(word in ("vs", "vs.", "versus") for word in lower[1:-1]):
        return "comparison", ""
    if len(words) > 1 and lower[0] in _VERBS and not lower[1].endswith("ing"):
        return "task", _task(words)
    core = _core(words)
    noun = with_article(" ".join(core))
    head = _head([word.lower() for word in core])
    goods = noun.startswith(("a ", "an ")) or (_is_plural(head) and head not in _ABSTRACT)
    return ("goods" if goods else "topic"), noun


def _task(words: list[str]) -> str:
    """ "clean grinder" as "cleaning a grinder"."""
    verb = 1 if len(words) > 2 and words[1].lower() in _SECOND_VERBS and words[0].lower() not in _VERBS else 0
    rest = _inner_articles(words[verb + 1 :])
    if _head([word.lower() for word in rest]) in _COUNT and rest[0].lower() not in _DETERMINERS:
        rest.insert(0, _a(rest[0]))
    return " ".join([*words[:verb], gerund(words[verb].lower()), *rest])


def _inner_articles(words: list[str]) -> list[str]:
    """The words with an article before every count noun that follows a preposition: "filter for a coffee machine"."""
    out: list[str] = []
    for index, word in enumerate(words):
        tail = [other.lower() for other in words[index:]]
        after = index > 1 and words[index - 1].lower() in _GOVERNING and words[index - 2].lower() not in _COMPOUND
        if after and tail[0] not in _DETERMINERS and _head(tail) in _COUNT:
            out.append(_a(word))
        out.append(word)
    return out


def _core(words: list[str]) -> list[str]:
    """The phrase without what only qualifies the search: "best", "2026", "near me", "reviews"."""
    core = list(words)
    # "10 best grinders" loses its number, "3 ton heat pump" keeps it.
    while len(core) > 1 and (core[0].lower() in _QUALIFIERS or (core[0].isdigit() and core[1].lower() in _QUALIFIERS)):
        core.pop(0)
    while len(core) > 2 and " ".join(core[-2:]).lower() in ("near me", "for sale"):
        del core[-2:]
    while len(core) > 1 and _is_trailer(core[-1]) and core[-2].lower() not in _PREPOSITIONS:
        core.pop()
    if len(core) > 1 and core[-1].lower() in _POSTPOSED and core[-2].lower() not in _PREPOSITIONS | _POSTPOSED:
        core.insert(0, core.pop())
    return core


def _is_trailer(word: str) -> bool:
    return word.lower() in _TRAILERS or bool(re.fullmatch(r"(19|20)\d\d", word))


def _head(lower: list[str]) -> str:
    """The noun that the rest describes: the word before the first preposition, else the last one."""
    for before, word in pairwise(lower):
        if (word in _PREPOSITIONS and before not in _COMPOUND) or word.endswith("able"):  # "filters reusable"
            return before
    return lower[-1]


def _is_plural(head: str) -> bool:
    return head in _PLURALS or (len(head) > 3 and head.endswith("s") and not head.endswith(("ss", "us", "is", "ics")))


def _a(word: str) -> str:
    """ "an" before a vowel as it is spoken, else "a"."""
    lower = word.lower()
    if word.isupper() and len(word) > 1:  # spelled out: an SEO audit, a USB stick
        return "an" if word[0] in "AEFHILMNORSX" else "a"
    vowel = (
        lower[0] in "aeio8"
        or lower.startswith(("hour", "honest", "11", "18"))
        or (lower[0] == "u" and not lower.startswith(("uni", "use", "usa")))
    )
    return "an" if vowel else "a"


def _capital(word: str) -> str:
    if any(letter.isupper() for letter in word[1:]):
        return word
    first = next((index for index, letter in enumerate(word) if letter.isalnum()), 0)
    return word[:first] + word[first : first + 1].upper() + word[first + 1 :]
