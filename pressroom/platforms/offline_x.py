"""Posts for X composed without a model: direct, a single post or a thread whose posts lead on to each other."""

from typing import TYPE_CHECKING

from pressroom.platforms.base import DraftBrief
from pressroom.platforms.material import Dice, Material, Search, best_of
from pressroom.platforms.weighted import weighted_length

if TYPE_CHECKING:
    from pressroom.platforms.x import X, XPosts

ROOM = 275  # a few characters below the limit of 280, for an editor's comma

# What to tell somebody who asks this, by kind of search; each stands after a sentence that quotes the search.
ADVICE: dict[str, tuple[str, ...]] = {
    "local": (
        "Ask who really covers your area before you ask anything else.",
        "Call three, ask all of them the same three questions, write the answers down.",
        "Your neighbours have had the same need. Ask them first.",
    ),
    "versus": (
        "Name the one condition that would settle it for you. The verdict follows.",
        "Don't look for the winner. Look for the drawback you can live with.",
        "Argue for the side you like less. If your choice survives that, keep it.",
    ),
    "cost": (
        "Split the figure: paid once, paid again, optional. Then compare.",
        "Ask what moves the number before you ask for the number.",
        "Write your ceiling down first. Figures grow when nobody is looking.",
    ),
    "trouble": (
        "Change one thing at a time. Two changes at once teach you nothing.",
        "Rule out the quickest cause first, not the likeliest.",
        "Describe it before you fix it: when did it begin, what changed just before?",
    ),
    "howto": (
        "Lay everything out first. Then go slowly, once.",
        "Read to the end before you begin. Find the step you can't undo.",
        "Plan the first go as practice. The second one will be routine.",
    ),
    "question": (
        "If the first sentence doesn't answer it, the rest won't either.",
        "Part of it holds for everyone, part depends on you. Separate the two.",
        "“It depends” is fine, as long as the next words say on what.",
    ),
    "best": (
        "For what, though? Name the use and the list gets short.",
        "Three criteria, in order, before you read a single recommendation.",
        "Take the reasons, leave the ranking. Reasons fit your case, ranks don't.",
    ),
    "beginner": (
        "Aim for one small success. The overview can wait.",
        "Ask somebody who started recently. They remember the hard part.",
        "Learn a handful of words, then do one thing from beginning to end.",
    ),
    "model": (
        "Borrow the structure, not the content.",
        "A short version you use beats a complete one in a drawer.",
        "Take one finished example and change what doesn't fit you.",
    ),
    "buy": (
        "Ask who should not choose it. The answer says a lot.",
        "What's included, what isn't, and what if it doesn't work out?",
        "Get it in writing and sleep on it.",
    ),
    "plain": (
        "Finish the sentence: because I want to … Now search again.",
        "Say it aloud to a friend. Their first question back is the right one.",
        "Decide how deep you need to go: enough to choose, or enough to do it?",
    ),
}
QUOTES = ("{a}?", "On {a}:", "If you're typing {a}:", "About {a}:", "Stuck on {a}?", "You searched {a}.")
COUNTED = ("{n} searches a month for {a}.", "{a}: {n} searches a month.", "Every month, {n} searches for {a}.")
ENDS = (
    "What would you add?",
    "What did you ask first?",
    "Agree?",
    "What settled it for you?",
    "How did you decide?",
    "Curious how others do this.",
    "What did we miss?",
    "Which one trips you up?",
)
STARTS = (
    "Sorting out your {questions}? A short thread on asking in the right order.",
    "{questions}, in the order they come up:",
    "A few notes on {questions}:",
    "“{title}”, the short version:",
    "{title}. The essentials:",
    "{questions} never come alone. A thread.",
    "What helps with {questions}? Start small.",
)
LINKS = (
    ("Start here: {a}. {advice}", "Next, {a}. {advice}", "Which leads to {a}. {advice}"),
    ("First up, {a}. {advice}", "Once that's clear: {a}. {advice}", "And the one that comes late: {a}. {advice}"),
    ("It begins with {a}. {advice}", "Then comes {a}. {advice}", "After that, {a}. {advice}"),
    ("Question one: {a}. {advice}", "Question two follows from it: {a}. {advice}", "Question three: {a}. {advice}"),
)
LASTS = (
    "So: one question at a time, and write the answer down before the next one.",
    "The pattern is the same each time. Question first, answer second, background last.",
    "Put together: know what you want settled, then ask. In that order.",
    "That's all. A clear question is most of the answer.",
    "Keep a note of what you decided and why. Next time starts from there.",
    "If you take one thing along: slow questions make quick decisions.",
)
ALONE = (
    "A clear question is most of the answer. Write yours down before you look anything up.",
    "Slow questions make quick decisions. Take one at a time.",
    "Before the next search: what exactly do you want settled?",
)


def write_posts(brief: DraftBrief, platform: "X") -> "XPosts":
    """A single post, or a thread of three to five; each at most 275 as X counts."""
    return best_of(brief, allowed=lambda _: True, write=_write, check=lambda posts: platform.check(posts.model_dump()), slug=platform.slug)


def _write(material: Material, dice: Dice) -> "XPosts":
    from pressroom.platforms.x import XPosts

    searches = material.choose(2 + dice.roll(2), dice)
    if not searches:
        return XPosts(posts=[dice.pick(ALONE)])
    left = {kind: dice.mixed(texts) for kind, texts in ADVICE.items()}
    advice = [left[search.kind].pop() for search in searches]
    if len(searches) > 1 and dice.roll(5) > 1:
        return XPosts(posts=_thread(material, searches, advice, dice))
    return XPosts(posts=[dice.pick((_answer, _pair, _note, _headed))(material, searches, advice, dice)])


def _answer(material: Material, searches: list[Search], advice: list[str], dice: Dice) -> str:
    """One search, what helps with it, and a question back."""
    lead = searches[0]
    template = dice.pick(COUNTED if lead.volume and dice.roll(2) else QUOTES)
    said = template.format(a=lead.quoted, n=lead.volume or "")
    return _fitting([f"{said}\n\n{advice[0]}\n\n{dice.pick(ENDS)}", f"{said} {advice[0]}", advice[0]])


def _pair(material: Material, searches: list[Search], advice: list[str], dice: Dice) -> str:
    """Two searches with a line each; with one search, its line and a general one."""
    lines = [f"{search.quoted}\n→ {text}" for search, text in zip(searches[:2], advice, strict=False)]
    both = "\n\n".join(lines) if len(lines) > 1 else f"{lines[0]}\n→ {dice.pick(ALONE)}"
    return _fitting([f"{both}\n\n{dice.pick(ENDS)}", both, lines[0], advice[0]])


def _note(material: Material, searches: list[Search], advice: list[str], dice: Dice) -> str:
    """A remark that begins with the advice and says what it is about."""
    lead, end = searches[0], dice.pick(ENDS)
    endings = (
        f"That goes for {lead.quoted}, and for most {material.about('questions')}.",
        f"Said with {lead.quoted} in mind.",
        f"Try it on {lead.quoted}.",
        f"Worth remembering for {lead.quoted}.",
    )
    said = f"{advice[0]}\n\n{dice.pick(endings)}"
    return _fitting([f"{said} {end}", said, f"{advice[0]}\n\nTry it on {lead.quoted}.", advice[0]])


def _headed(material: Material, searches: list[Search], advice: list[str], dice: Dice) -> str:
    """The idea's title, and under it what helps with its main search."""
    lead = searches[0]
    head = f"“{material.title}”" if material.title else lead.quoted
    return _fitting([f"{head}\n\nIt comes down to {lead.quoted}. {advice[0]}\n\n{dice.pick(ENDS)}", f"{head}\n\n{advice[0]}", advice[0]])


def _thread(material: Material, searches: list[Search], advice: list[str], dice: Dice) -> list[str]:
    starts = [text for text in STARTS if material.title or "{title}" not in text]
    names = {"questions": material.about("questions"), "title": material.title}
    opening = [_sentence(text.format(**names)) for text in dice.mixed(starts)]
    steps = dice.pick(LINKS)
    posts = [_fitting([*opening, dice.pick(ALONE)])]
    for step, search, text in zip(steps, searches, advice, strict=False):
        told = f"{search.quoted}, {search.volume} searches a month" if search.volume and dice.roll(2) else search.quoted
        posts.append(_fitting([_sentence(step.format(a=told, advice=text)), text]))
    last = dice.pick(LASTS)
    return [*posts, _fitting([f"{last} {dice.pick(ENDS)}", last])]


def _fitting(versions: list[str]) -> str:
    """The first version that X has room for; the last one always fits."""
    return next((version for version in versions if weighted_length(version) <= ROOM), versions[-1])


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
