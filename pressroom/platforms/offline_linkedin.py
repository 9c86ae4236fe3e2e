"""LinkedIn posts composed without a model. {a}, {b} and so on are quoted searches; {questions} and the like name the subject."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pressroom.platforms.base import DraftBrief
from pressroom.platforms.material import Dice, Material, Search, best_of
from pressroom.platforms.text import count_words

if TYPE_CHECKING:
    from pressroom.platforms.linkedin import LinkedIn, LinkedInPost

# What helps somebody who asks this, by kind of search.
READINGS: dict[str, tuple[str, ...]] = {
    "local": (
        "{a} puts distance first. Before you compare anything else, ask who really covers your "
        "area, how soon they can be there, and what the way itself costs.",
        "With {a}, the list of names is quickly made. The harder part is the call: have three "
        "questions ready, ask everybody the same ones, and note the answers.",
        "If {a} is where you start, ask the people next door as well. Somebody close by has "
        "had the same need and can tell you what they would do differently.",
    ),
    "versus": (
        "{a} is a choice between two things that both have a case. Write down the one "
        "condition that would settle it for you; the verdict follows from that.",
        "For {a}, skip the search for a winner. Ask what each side asks of its owner, week "
        "after week, and which of the two you would rather put up with.",
        "{a} deserves a fair match. Make the strongest argument for the side you like less, and see whether your choice survives it.",
    ),
    "cost": (
        "{a} asks for a figure, but the parts tell you more. Split it into what is paid once, "
        "what comes back and what is optional, and two offers can be compared.",
        "With {a}, ask what moves the number before you ask for the number. Whoever cannot explain "
        "the difference between a low and a high answer has not answered yet.",
        "If {a} is your question, set your own ceiling first. A figure that you wrote "
        "down beforehand is the best protection against one that grows.",
    ),
    "trouble": (
        "{a} tends to come up at the worst moment. Change one thing at a time and watch what "
        "happens: two changes at once leave you no wiser than before.",
        "For {a}, begin with the cause that is quickest to rule out, not with the likeliest "
        "one. A minute spent on the easy check can save the afternoon.",
        "With {a}, describe before you repair. When it began, what changed just before and what "
        "has stayed the same is half the diagnosis, whoever does the work.",
    ),
    "howto": (
        "{a} is best answered by doing it once, slowly. Lay everything out before the first "
        "step, and decide how you will notice that each step has worked.",
        "For {a}, read the instructions to the end before you begin. The step that cannot be undone is the one to know about early.",
        "If {a} is on your list, plan the first attempt as practice. What you note down then makes the second one routine.",
    ),
    "question": (
        "{a} is a plain question, so hold out for a plain answer. If the first sentence does not give one, the rest is unlikely to.",
        "On {a}, separate what holds in general from what depends on your case. The first you "
        "can read up; for the second you need to look at your own situation.",
        "{a} looks simple, and often the honest reply begins with “it depends”. The "
        "useful part is what comes next: on what, and how can you tell?",
    ),
    "best": (
        "{a} cannot be answered without a second question: for what? Name the use you care "
        "about most, and most of the options leave the list by themselves.",
        "With {a}, settle your criteria before you read a single recommendation. Three of them, in "
        "order, are enough, and they keep their worth when the names change.",
        "For {a}, look for the reasons behind a recommendation. A reason can be carried over to your own case; a rank cannot.",
    ),
    "beginner": (
        "{a} is where everybody begins. Learn the few words without which nothing else makes "
        "sense, then aim for one small success and leave the rest for later.",
        "If {a} is your question, be wary of complete overviews. One thing done from "
        "beginning to end teaches more than ten things read about.",
        "With {a}, the best guide is somebody who started recently. They still remember which step looked easier than it was.",
    ),
    "model": (
        "{a} gives you something to hold on to. Take one finished example, change what "
        "does not fit your case, and keep a note of why you changed it.",
        "For {a}, borrow the structure and not the content. What somebody else left out on purpose may be what you need most.",
        "With {a}, a short version that you really use beats a complete one that stays in "
        "the drawer. Begin with the entries you would regret to forget.",
    ),
    "buy": (
        "{a} stands close to a decision. What helps at that point is a list of questions: what "
        "is included, what is not, and what happens if it does not work out.",
        "Before {a} turns into an order, ask who should not choose it. An honest answer tells you more than a page of praise.",
        "With {a}, get the answer in writing and sleep on it. What still looks right the next morning seldom has to be regretted.",
    ),
    "plain": (
        "{a} can mean several things. Finish the sentence for yourself, with “because I want to” and a verb, and the search gets shorter.",
        "Behind a phrase such as {a} stands a need that is more precise. Say it aloud to "
        "somebody else; their first question back is usually the right one.",
        "With {a}, decide first how deep you need to go. Knowing enough to choose is "
        "one thing, knowing enough to do it yourself is another.",
    ),
}

# The same in a line, for the list at the end.
POINTS: dict[str, tuple[str, ...]] = {
    "local": ("Ask everybody nearby the same three questions.", "Find out first who really covers your area."),
    "versus": ("Name the condition that settles a comparison.", "Test a choice against the strongest case for the other side."),
    "cost": ("Split a price into its parts before you compare it.", "Write down your ceiling before you ask for a figure."),
    "trouble": ("Change one thing at a time.", "Rule out the quickest cause first."),
    "howto": ("Lay everything out before the first step.", "Know which step cannot be undone."),
    "question": ("Hold out for an answer in the first sentence.", "Separate what holds in general from what depends on you."),
    "best": ("Settle three criteria before you read recommendations.", "Look for the reasons behind a rank."),
    "beginner": ("Aim for one small success first.", "Learn few terms, and those well."),
    "model": ("Borrow the structure, not the content.", "Begin with the entries you would regret to forget."),
    "buy": ("Ask who should not choose it.", "Get the answer in writing, and sleep on it."),
    "plain": ("Finish the sentence “because I want to” before you search.", "Decide how deep you need to go."),
}
GENERAL_POINTS = (
    "Write the question down in your own words.",
    "One need at a time.",
    "An answer that depends should say on what.",
    "The order of the questions is half the answer.",
    "Keep a note of what you decided, and why.",
    "What you leave out, leave out on purpose.",
)

# Each opening with what it needs: the number of searches it quotes, and whether the first must have a volume.
OPENINGS: tuple[tuple[int, bool, str], ...] = (
    (1, False, "{a}. That is how the question arrives, and it deserves to be taken at its word."),
    (1, False, "Somebody types {a} and waits. What would help them most?"),
    (1, False, "Imagine a neighbour asked you over the fence: {a}. Where would you begin?"),
    (1, False, "A good answer to {a} starts one question earlier."),
    (1, True, "{n} times a month somebody searches for {a}. Most of the work is done before the answer."),
    (1, True, "One figure to start with: {a} is searched {n} times a month."),
    (1, True, "{n} searches a month, one phrase: {a}. What is it that people want to settle?"),
    (2, False, "{a} and {b} belong together, but they come from two different moments."),
    (2, False, "Between {a} and {b} lies a decision that is worth making slowly."),
    (2, False, "Two searches tell the story: {a}, and then {b}."),
    (2, False, "First comes {a}. Soon after comes {b}. Each deserves an answer of its own."),
    (0, False, "The wording of {questions} gives away more than it seems to."),
    (0, False, "Good answers to {questions} begin with better questions."),
    (0, False, "What should come first with {questions}? The words people choose tell us."),
    (0, False, "Looking at {searches}, one thing stands out: a question seldom comes alone."),
)
# A paragraph to the readers, between the opening and what helps.
FRAMES = (
    "If {questions} are on your mind this week, you are in good company.",
    "Most of us meet {questions} in the middle of something else, with little time to think.",
    "You do not need to be an expert for {questions}. You need an order to take them in.",
    "There is no shortage of answers to {questions}. What is scarce is a way to tell which of them fits you.",
    "It is easy to lose an evening to {questions} and end it with more tabs than answers.",
    "Take {questions} slowly and they become much smaller.",
    "Everybody has been there: the tenth page on {questions} says the opposite of the ninth.",
    "What makes {questions} hard is seldom the subject. It is that they arrive all at once.",
    "You know your own case better than any page does, and with {questions} that counts for a lot.",
    "A quiet quarter of an hour does more for {questions} than another hour of reading.",
)
BRIDGES: dict[str, tuple[str, ...]] = {
    "one by one": (
        "Taken one by one, the questions sort themselves.",
        "Side by side, they ask for different things.",
        "It helps to go through them slowly.",
    ),
    "list": (
        "Here is how we would take them on:",
        "Some notes for whoever is at this point:",
        "In the order in which they tend to come up:",
    ),
    "path": ("Put in sequence, the questions form a path.", "The order matters as much as the words.", "One question leads to the next."),
    "rule": ("A rule of thumb follows from that.", "From there, the rest is craft.", "That changes where to begin."),
}
ORDER = (("First", "Then", "Last"), ("At the start", "A step further", "Towards the end"), ("Early on", "After that", "Finally"))
THOUGHTS = (
    "None of this needs special tools. It needs a quarter of an hour, a sheet of paper and "
    "the patience to finish one question before the next one begins.",
    "The difference is practical: the right order saves a second attempt, and the second attempt is where patience runs out.",
    "The test is simple. Explain the decision to somebody who was not there. If that "
    "takes more than two sentences, one of the questions is still open.",
    "It also shows what can wait. Whatever serves none of these needs may be true and interesting, and still belongs to another day.",
    "Experts are tempted to begin with the background, because that is how they learned it. "
    "Those who ask begin at the other end, with the case in front of them.",
    "The same discipline helps in conversation. Repeat the question in the words of the person "
    "who asked, answer it in one breath, and only then say what it depends on.",
    "Uncertainty has its place, too. Where something depends on the case, naming the two or "
    "three things it depends on is worth more than a confident average.",
    "Notes help more than memory here. What you looked at, what you left out and why "
    "will fit on half a page, and the next decision starts from there.",
    "Good advice is modest about its reach. It says for whom it was written, and what would have to be different for it to be wrong.",
    "It is tempting to look for the one source that settles everything. Two that "
    "disagree, and a reason why they do, will usually teach you more.",
)
TAKEAWAYS = (
    "The takeaway: write down the exact words of your question before you look for the answer, and check at the end that they still fit.",
    "What to take away: a question in plain words is the cheapest research there is, and it comes before everything else.",
    "In one sentence: whoever takes {questions} in the order in which they arise decides sooner, and with fewer regrets.",
    "The lesson travels well. Begin with the question, keep the order, and the decision is half made.",
    "If only one thing stays: an answer is worth as much as the question behind it is clear.",
    "So the next time {questions} come up, begin with the words as they come, and let the structure follow.",
)
CLOSINGS = (
    "Which question did you ask first, and in which words?",
    "How would you have put it?",
    "What did you wish you had asked earlier?",
    "Which of these steps do you tend to skip?",
    "What would you add?",
    "Where does your own experience differ?",
    "What was the question that settled it for you?",
)


def write_post(brief: DraftBrief, platform: "LinkedIn") -> "LinkedInPost":
    """A post of 150 to 300 words in one of five shapes."""

    def allowed(text: str) -> bool:
        return not platform.promotional(text)

    return best_of(brief, allowed=allowed, write=_write, check=lambda post: platform.check(post.model_dump()), slug=platform.slug)


def _write(material: Material, dice: Dice) -> "LinkedInPost":
    from pressroom.platforms.linkedin import LinkedInPost

    searches = material.choose(3, dice)
    shape = dice.pick(_shapes(len(searches)))
    fill = _filler(material, searches)
    opening = dice.pick([text for needs, counted, text in OPENINGS if needs <= len(searches) and (not counted or searches[0].volume)])
    paragraphs = [fill(opening)] if "{questions}" in opening else [fill(opening), fill(dice.pick(FRAMES))]
    paragraphs += shape(_readings(searches, dice, named="{n}" in opening), dice)
    closing = [fill(dice.pick(TAKEAWAYS)), fill(dice.pick(CLOSINGS))]
    points = _points(searches, dice)
    tags = " ".join(material.tags(2 + dice.roll(2)))
    thoughts = [fill(thought) for thought in dice.mixed(THOUGHTS)]

    def size() -> int:
        return count_words(" ".join([*paragraphs, *closing, *points, tags]))

    wanted = 175 + dice.roll(60)
    while size() < wanted and thoughts:
        paragraphs.append(thoughts.pop())
    while size() > 290 and len(paragraphs) > 2:
        paragraphs.pop()
    return LinkedInPost(text="\n\n".join(filter(None, [*paragraphs, *closing, tags])), key_points=points)


def _filler(material: Material, searches: list[Search]) -> Callable[[str], str]:
    quoted = {letter: search.quoted for letter, search in zip("abc", searches, strict=False)}
    number = (searches[0].volume or "") if searches else ""
    names = {noun: material.about(noun) for noun in ("questions", "searches")}

    def fill(template: str) -> str:
        said = template.format(**quoted, **names, n=number)
        return said[:1].upper() + said[1:]

    return fill


def _readings(searches: list[Search], dice: Dice, *, named: bool) -> list[str]:
    """What helps with each search, no phrasing twice. `named` says that the volume of the first was told already."""
    left = {kind: dice.mixed(texts) for kind, texts in READINGS.items()}
    told = [search.quoted if named and number == 0 else search.counted for number, search in enumerate(searches)]
    return [left[search.kind].pop().format(a=phrase) for search, phrase in zip(searches, told, strict=True)]


def _shapes(searches: int) -> list[Callable[[list[str], Dice], list[str]]]:
    return [_rule] if searches < 2 else [_one_by_one, _as_list, _as_path, _rule]


def _one_by_one(readings: list[str], dice: Dice) -> list[str]:
    return [dice.pick(BRIDGES["one by one"]), *readings]


def _as_list(readings: list[str], dice: Dice) -> list[str]:
    return ["\n".join([dice.pick(BRIDGES["list"]), *(f"{number}. {reading}" for number, reading in enumerate(readings, start=1))])]


def _as_path(readings: list[str], dice: Dice) -> list[str]:
    words = dice.pick(ORDER)
    steps = words if len(readings) == 3 else (words[0], words[-1])
    return [dice.pick(BRIDGES["path"]), *(f"{step}: {reading}" for step, reading in zip(steps, readings, strict=True))]


def _rule(readings: list[str], dice: Dice) -> list[str]:
    return [*readings[:1], dice.pick(BRIDGES["rule"]), *readings[1:2]]


def _points(searches: list[Search], dice: Dice) -> list[str]:
    """Three to four takeaways: one for each kind of search, and general ones to fill up."""
    points = [dice.pick(POINTS[kind]) for kind in dict.fromkeys(search.kind for search in searches)]
    general = dice.mixed([point for point in GENERAL_POINTS if point not in points])
    return points + general[: 3 + dice.roll(2) - len(points)]
