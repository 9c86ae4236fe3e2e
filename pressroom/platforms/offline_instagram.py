"""Reels composed without a model: a hook of 8 to 12 words, three points, a call to action, scenes, and a caption."""

from typing import TYPE_CHECKING

from pressroom.platforms.base import DraftBrief
from pressroom.platforms.material import Dice, Material, Search, best_of
from pressroom.platforms.spoken import spoken_words

if TYPE_CHECKING:
    from pressroom.platforms.instagram import Instagram, InstagramReel

# Words as spoken, at 150 a minute: the hook lasts 3 to 5 seconds, the call to action 5 to 10, the value at most 50.
HOOK = (8.0, 12.0)

HOOKS = (
    "Stop scrolling: let's sort out your {questions} in one minute.",
    "Your {questions} deserve better answers. Grab a pen!",
    "One small habit changes how you handle {questions}.",
    "Still stuck with {questions}? Stay right here.",
    "Typing {a} tonight? Watch this before you do.",
    "You typed {a}. Now ask this instead.",
    "Before you look up {a}, do this first.",
    "Still puzzled by {a}? Three small steps will help.",
    "{a}? Give me half a minute and a pencil.",
    "Wait! Do you really need to know {a}?",
    "Too many {questions}? Here is where to begin.",
    "Grab a pen, this question deserves a better answer.",
    "Three small questions, one clear answer. Ready? Here we go.",
    "Pause right here: the order of your questions matters most.",
)
# One point of the value for each kind of search, and what is seen meanwhile.
POINTS: dict[str, tuple[tuple[str, str], ...]] = {
    "local": (
        (
            "Looking nearby? Ask first who really covers your street, then how soon they can come.",
            "A map on a phone; a finger draws a circle around home",
        ),
        (
            "Call three places and ask them all the same questions. Write every answer down!",
            "A notepad with three columns fills up during a call",
        ),
    ),
    "versus": (
        ("Torn between two? Write down the one condition that would settle it. Done!", "Two cards side by side; one is turned over"),
        ("Don't pick a winner. Pick the drawback that you can live with.", "Two hands weigh two objects, then one of them stays up"),
    ),
    "cost": (
        ("Thinking about money? Split the price: paid once, paid again, optional.", "Three envelopes are labelled and filled one by one"),
        ("Set your ceiling before you ask for a figure. Circle it in red!", "A red pen circles a blank line on a page"),
    ),
    "trouble": (
        ("Something is off? Change one thing at a time and watch what happens.", "A single part is moved, then a long look at the result"),
        (
            "Rule out the quickest cause first. It takes a minute and can save your afternoon.",
            "A kitchen timer starts; a list gets its first tick",
        ),
    ),
    "howto": (
        ("Doing it yourself? Lay everything out first, then go slowly, step by step.", "Top view: everything needed is laid out in a row"),
        (
            "Read to the very end before you begin, and mark the step you can't undo.",
            "A finger runs down a page and stops; a bright mark is set",
        ),
    ),
    "question": (
        (
            "Want a straight answer? The first sentence has to give it. If not, move on.",
            "A page is scrolled; only the first line is in focus",
        ),
        (
            "Split it in two: what is true for everyone, and what depends on you.",
            "A sheet is folded down the middle and both halves are written on",
        ),
    ),
    "best": (
        ("Looking for the best? Ask: best for what? Suddenly the list is short.", "A long list; line after line is crossed out"),
        ("Pick three things that matter to you before you read one single review.", "Three sticky notes go up on a wall"),
    ),
    "beginner": (
        ("Just starting? Go for one small success today. The rest can wait.", "Hands finish one simple thing and hold it to the camera"),
        ("Ask somebody who began last month. They still know which step was hard.", "Two people over one table, one points and both laugh"),
    ),
    "model": (
        ("Found an example? Keep the structure, change the content, make it yours.", "A printed page is cut up and put together anew"),
        (
            "Keep your list short. The one you use beats the one in the drawer!",
            "A long list goes into a drawer; a short one goes on the door",
        ),
    ),
    "buy": (
        ("About to decide? Ask who should not choose it. Then listen closely.", "Close-up of a face that listens and nods slowly"),
        ("Get the answer in writing, and sleep on it. Still happy? Go.", "A note on a bedside table; the light goes out and on again"),
    ),
    "plain": (
        ("Finish this sentence: because I want to. Now you know what to look for.", "Handwriting: a sentence is completed"),
        (
            "Say your question aloud to a friend. Their first question back is the good one.",
            "Two friends on a bench, one raises an eyebrow",
        ),
    ),
}
GENERAL = (
    ("Write your question down in your own words. Yes, on real paper!", "A blank page, a pencil, the first word"),
    ("Take one question at a time, and finish it before you open the next.", "Five browser tabs close until one is left"),
    ("Note what you decided and why. Your future self will thank you.", "A page is dated, folded and put away"),
)
ORDER = (
    ("One.", "Two.", "Three."),
    ("First.", "Next.", "Last."),
    ("Start here.", "Then this.", "And finally."),
    ("Ready?", "Now this.", "One more."),
)
CALLS = (
    "Save this for later, and tell us in the comments: what was your first question?",
    "Send this to somebody who is asking right now, and tell us what you would add.",
    "Which of the three will you try first? Write the number in the comments below.",
    "Now it's your turn: write your question in the comments, in your own words, please.",
    "Try it today with your own question, then come back and tell us how it went.",
    "Keep this one for the next time you are stuck, and share what helped you most.",
    "Tell us in the comments which question you would like to see answered here next.",
)
HOOK_SCENES = (
    "Face to camera, very close; the words appear in large type",
    "A search box fills letter by letter, then freezes",
    "Quick zoom on a hand that stops in mid-air",
    "A question mark is drawn on a window, seen from outside",
    "Somebody walks into the picture, stops and looks up",
)
CALL_SCENES = (
    "Back to the face; an arrow points down to the comments",
    "All three points stand on one sheet; a hand holds it up",
    "The search box again, now with a tick beside it",
    "The camera moves back until the whole table is in view",
    "A pencil is handed towards the camera",
)
CAPTIONS = (
    "{questions}, in plain words. {counted}\n\n{sentence}\n\nWhat would you ask first?",
    "Three small steps before the next search. {counted}\n\n{sentence}\n\nTell us yours below.",
    "{title}. {counted}\n\n{sentence}\n\nWhich of the three do you skip?",
    "Better questions, better decisions. {counted}\n\n{sentence}\n\nSave it for the day you need it.",
    "A pencil, a page and one good question. {sentence}\n\n{counted}\n\nHow do you go about it?",
)
SENTENCES = (
    "Ten minutes with a pencil now will save you an evening of scrolling later.",
    "You know your own case best. Let it decide which answers count.",
    "You don't need to know everything. You need to know what comes first.",
    "Small steps, in the right order, and the big question gets a lot smaller.",
    "Take it slowly, one question at a time, and cross off what is settled.",
    "No special tools, no expert words: only your question and a little patience.",
    "It takes half a minute to watch and works for a long time after.",
)
COUNTED = ("{n} searches a month: {a}.", "{a} alone: {n} searches a month.", "Searched {n} times a month: {a}.")
UNCOUNTED = ("It begins with {a}.", "The question was {a}.", "All because of {a}.")


def write_reel(brief: DraftBrief, platform: "Instagram") -> "InstagramReel":
    """A reel of 25 to 60 seconds with a scene for the hook, one for each point, and one for the call to action."""
    return best_of(brief, allowed=lambda _: True, write=_write, check=lambda reel: platform.check(reel.model_dump()), slug=platform.slug)


def _write(material: Material, dice: Dice) -> "InstagramReel":
    from pressroom.platforms.instagram import InstagramReel, Scene

    searches = material.choose(3, dice)
    points = _points(searches, dice)
    said = [f"{word} {text}" for word, (text, _) in zip(dice.pick(ORDER), points, strict=True)]
    scenes = [("hook", dice.pick(HOOK_SCENES)), *(("value", seen) for _, seen in points), ("call_to_action", dice.pick(CALL_SCENES))]
    return InstagramReel(
        hook=_hook(material, searches, dice),
        value=" ".join([*_lead_in(material, searches, dice), *said]),
        call_to_action=dice.pick(CALLS),
        scenes=[Scene(section=section, description=seen) for section, seen in scenes],
        caption=_caption(material, searches, dice),
    )


def _points(searches: list[Search], dice: Dice) -> list[tuple[str, str]]:
    """Three points: one for each search, none twice, and general ones to fill up."""
    left = {kind: dice.mixed(points) for kind, points in POINTS.items()}
    points = [left[search.kind].pop() for search in searches if left[search.kind]]
    return points + dice.mixed(GENERAL)[: 3 - len(points)]


def _hook(material: Material, searches: list[Search], dice: Dice) -> str:
    """A hook that quotes the subject or the main search where that takes 8 to 12 spoken words, else one without."""
    names = {"questions": material.about("questions") if material.topic else "", "a": searches[0].quoted if searches else ""}
    usable = [text for text in HOOKS if all(value or "{" + name + "}" not in text for name, value in names.items())]
    specific = [text for text in usable if "{" in text]
    said = [
        _sentence(text.format(**names)) for text in dice.mixed(specific) + dice.mixed([text for text in usable if text not in specific])
    ]
    return next(text for text in said if HOOK[0] <= spoken_words(text) <= HOOK[1])


def _lead_in(material: Material, searches: list[Search], dice: Dice) -> list[str]:
    """A sentence between hook and points that names the searches, where they are short enough to be said."""
    if not searches:
        return []
    names = [search.quoted for search in searches]
    listed = names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
    asked = "The question is" if len(names) == 1 else "The questions are"
    said = dice.pick((f"You ask {listed}?", f"People look up {listed}.", f"So, {listed}: here is how to get there.", f"{asked} {listed}."))
    return [said] if spoken_words(said) <= 30 else []


def _caption(material: Material, searches: list[Search], dice: Dice) -> str:
    lead = searches[0] if searches else None
    template = dice.pick(CAPTIONS if material.title else [text for text in CAPTIONS if "{title}" not in text])
    counted = dice.pick(COUNTED if lead.volume else UNCOUNTED).format(a=lead.quoted, n=lead.volume) if lead else ""
    sentence = dice.pick(SENTENCES)
    text = template.format(questions=material.about("questions"), title=material.title, counted=_sentence(counted), sentence=sentence)
    paragraphs = [_sentence(" ".join(paragraph.split())) for paragraph in text.split("\n\n")]
    return "\n\n".join(filter(None, [*paragraphs, " ".join(material.tags(3 + dice.roll(2)))]))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
