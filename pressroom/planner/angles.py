"""The editorial angles of the offline writer: what an editor can make of a search phrase, in words that fit any subject.

In the templates {g} is the subject with its article, {t} without it, {asked} the phrase as it was searched, {q} the same in quotation
marks, {month} the month of the day. {g} may be singular or plural, so no verb agrees with it.
"""

from dataclasses import dataclass

from pressroom.planner.english import Kind

ANY: tuple[Kind, ...] = ("goods", "topic", "task")


@dataclass(frozen=True)
class Angle:
    """One angle. It fits phrases of `kinds` whose subject has none of the words in `unless`, so that no title says a word twice.

    Where `only` names words, the phrase must have one of them. There are three titles, each used for 30 days in turn.
    """

    name: str
    format: str
    audience: str
    kinds: tuple[Kind, ...]
    unless: frozenset[str]
    only: frozenset[str]
    titles: tuple[str, ...]
    openings: tuple[str, ...]
    endings: tuple[str, ...]


def _angle(
    name: str,
    format: str,
    audience: str,
    *,
    titles: list[str],
    openings: list[str],
    endings: list[str],
    kinds: tuple[Kind, ...] = ANY,
    unless: str = "",
    only: str = "",
) -> Angle:
    return Angle(
        name, format, audience, kinds, frozenset(unless.split()), frozenset(only.split()), tuple(titles), tuple(openings), tuple(endings)
    )


ANGLES: tuple[Angle, ...] = (
    _angle(
        "step by step",
        "guide",
        "first-timers",
        titles=["{t}, Step by Step", "Getting Started with {g}", "{t}: A First Plan That Holds"],
        openings=[
            "A guide to {g}, in order: what to prepare, what to do first, and where newcomers usually stall.",
            "The guide leads a newcomer through {g} one stage at a time, with a short test at the end of each.",
            "The guide takes readers from their first question about {g} to a working result, in stages that fit into an afternoon.",
        ],
        endings=[
            "Readers finish with a plan they can start the same day.",
            "At the end a beginner knows the next three moves and the point at which to stop and check.",
            "Whoever follows it needs no second tutorial.",
        ],
    ),
    _angle(
        "cost breakdown",
        "explainer",
        "readers with a fixed budget",
        unless="cost costs price prices pricing budget fee fees cheap rates ideas trends tips facts examples",
        titles=["What to Budget for {g}", "The Real Cost of {g}", "{t}: Where the Money Goes"],
        openings=[
            "The explainer splits the bill for {g} into what is paid once, what comes back every month, and what nobody mentions.",
            "Prices for {g} vary widely, and this piece shows which part of the difference buys something.",
            "A line-by-line look at what {g} will cost, including the extras that an offer leaves out.",
        ],
        endings=[
            "With it a reader can set a ceiling and tell a bargain from a false saving.",
            "It closes with a worksheet for the reader's own numbers.",
            "Anyone who has to justify the expense gets the arguments in order.",
        ],
    ),
    _angle(
        "price check",
        "explainer",
        "readers who have an offer in hand",
        only="cost costs price prices pricing fee fees rates quote estimate budget cheap affordable",
        titles=[
            "{t}: Reading an Offer Line by Line",
            "Too Cheap or Too Dear? {t} Under the Magnifying Glass",
            "What Drives the Bill for {g}",
        ],
        openings=[
            "The explainer takes an offer for {g} apart and names the lines that move the total most.",
            "Two answers to {q} can lie far apart, and this piece shows why.",
            "A worked example for {g}, with every assumption written beside its number.",
        ],
        endings=[
            "Readers can put their own numbers in and see which of them matter.",
            "It ends with the three questions that bring an offer down to earth.",
            "Anyone with an estimate on the table can check it in ten minutes.",
        ],
    ),
    _angle(
        "common mistakes",
        "article",
        "people who have tried once and were disappointed",
        unless="mistakes mistake errors",
        titles=["Mistakes to Avoid with {g}", "What Goes Wrong with {g}, and How to Prevent It", "{t}: The Errors That Cost Most"],
        openings=[
            "Most trouble with {g} starts early and shows late, so the article sorts the mistakes by the moment they happen.",
            "The article collects what goes wrong with {g}, why it is so easy to miss, and what each slip does to the result.",
            "Experience with {g} is often a list of regrets; this one is written down so that readers can skip them.",
        ],
        endings=[
            "For every mistake there is a sign to watch for and a way back.",
            "Readers can hold their own attempt against it and repair what can be repaired.",
            "It spares a second try that fails for the same reason.",
        ],
    ),
    _angle(
        "checklist",
        "checklist",
        "readers about to begin",
        unless="checklist list",
        titles=["A Checklist for {g}", "{t}: What to Tick Off Before You Begin", "Ready for {g}? The Checklist"],
        openings=[
            "One printable page for {g}: what has to be clear beforehand, what can wait, and what is often forgotten.",
            "The checklist turns what matters about {g} into boxes to tick, sorted by what is hard to undo.",
            "A short list for {g} that a reader can take along, with one line of reason beside every item.",
        ],
        endings=[
            "Nothing important is left to memory.",
            "When every box is ticked, the rest is routine.",
            "It doubles as a brief for whoever does the work.",
        ],
    ),
    _angle(
        "comparison",
        "comparison",
        "readers with a shortlist",
        kinds=("goods",),
        unless="vs versus comparison compared alternative alternatives or",
        titles=[
            "{t} Compared: How to Tell the Options Apart",
            "How to Compare {g} Without Getting Lost",
            "Choosing {g}: The Differences That Matter",
        ],
        openings=[
            "The comparison puts the main options for {g} side by side and drops every feature that changes nothing in use.",
            "On paper one offer for {g} looks like the next, so this comparison weighs what is noticed after a month.",
            "A table and a verdict on {g}, by type of reader and not by star rating.",
        ],
        endings=[
            "Each type of reader leaves with one recommendation and one thing to give up for it.",
            "A shortlist of five becomes a shortlist of two.",
            "The choice can be explained in a sentence afterwards.",
        ],
    ),
    _angle(
        "head to head",
        "comparison",
        "readers torn between two options",
        kinds=("comparison",),
        titles=["{asked}: Which Suits Whom", "{asked}, Decided by Use", "{asked}: The Differences You Notice"],
        openings=[
            "The piece answers {q} with three everyday situations in place of a winner.",
            "Two options, one decision: {q} is settled here by what each does better and what each costs in effort.",
            "A fair match on {q}, in which both sides get their strongest case before the verdict.",
        ],
        endings=[
            "Readers recognise their own situation and stop wavering.",
            "It also says when the honest answer is that both will do.",
            "The verdict comes with the one condition that would turn it round.",
        ],
    ),
    _angle(
        "straight answer",
        "question and answer",
        "readers who want one question settled",
        kinds=("question",),
        titles=["{asked}? A Straight Answer", "{asked}? What Holds and What Depends", "{asked}? The Short Answer, Then the Long One"],
        openings=[
            "The first line answers {q}; everything after it says when the answer changes.",
            "A direct reply to {q}, followed by the exceptions that most pages put first.",
            "Readers ask {q} and get pages of preamble, so this piece begins with the answer.",
        ],
        endings=[
            "Whoever reads only the opening is served, and whoever reads on can judge a special case.",
            "It closes with a rule of thumb that is easy to remember.",
            "The reasoning is short enough to repeat to somebody else.",
        ],
    ),
    _angle(
        "myths",
        "fact check",
        "sceptical readers",
        unless="myths myth facts",
        titles=[
            "Myths About {g}, Checked",
            "{t}: What People Believe and What Holds Up",
            "Things Often Said About {g} That Deserve a Second Look",
        ],
        openings=[
            "Advice on {g} is copied from page to page, and some of it was never true.",
            "The fact check lines up common claims about {g} and asks of each where it comes from.",
            "Half of what is repeated about {g} was right once, in other circumstances.",
        ],
        endings=[
            "Every claim gets a verdict, true, false or it depends, with the reason in one sentence.",
            "What remains is shorter than the folklore and easier to follow.",
            "Readers can drop the habits that never helped.",
        ],
    ),
    _angle(
        "this month",
        "planner",
        "readers who plan ahead",
        unless="january february march april may june july august september october november december spring summer autumn winter",
        titles=["{t} in {month}: What to Plan Now", "The {month} Plan for {g}", "{t}: What Is Worth Doing in {month}"],
        openings=[
            "A calendar page for {g}: what is due in {month}, what can be prepared, and what is better left until later.",
            "The right moment matters more for {g} than most advice admits, and {month} has tasks of its own.",
            "The planner spreads what {g} will need over the four weeks of {month}, with little to do in each.",
        ],
        endings=[
            "It can be pinned to the wall and taken down at the end of the month.",
            "Readers who begin in the first week avoid the rush.",
            "The same frame serves again next month with other entries.",
        ],
    ),
    _angle(
        "case outline",
        "case outline",
        "readers who learn from examples",
        unless="case example examples",
        titles=["{t} in Practice: The Outline of a Case", "One Reader, One Decision: A Case on {g}", "A Before-and-After Story About {g}"],
        openings=[
            "One person, {g}, and the whole story: the starting point, the wrong turn, the decision, and what came of it.",
            "An outline for an interview about {g}, told from the first doubt to the settled routine.",
            "A single real example around {g} teaches more than ten tips, provided that the failures stay in.",
        ],
        endings=[
            "The editor fills in the person; the questions to ask are listed.",
            "A box at the end says what would have gone differently with another budget.",
            "Readers see the whole path and not just the happy ending.",
        ],
    ),
    _angle(
        "buyer questions",
        "question and answer",
        "buyers before the first call",
        kinds=("goods",),
        unless="questions",
        titles=["Questions to Ask Before You Choose {g}", "{t}: What to Ask the Seller", "Before You Pay for {g}: Ask This"],
        openings=[
            "The questions that separate a good offer for {g} from a polished one, each with the answer to hope for.",
            "Sellers of {g} have a pitch; this piece gives buyers one of their own.",
            "A conversation guide for anyone who is about to spend money on {g}.",
        ],
        endings=[
            "An evasive reply becomes easy to recognise.",
            "Ten minutes on the telephone replace an evening of reading reviews.",
            "It names the two replies after which to walk away.",
        ],
    ),
    _angle(
        "glossary",
        "glossary",
        "readers new to the vocabulary",
        unless="glossary meaning definition terms",
        titles=["{t} in Plain Words: A Short Glossary", "The Vocabulary of {g}, Explained", "What the Labels Mean: A Glossary for {g}"],
        openings=[
            "Anyone who reads up on {g} meets terms that nobody stops to define.",
            "The glossary explains the words around {g} in the order in which a reader meets them.",
            "A dictionary for {g} without jargon, where each entry says why the term matters in practice.",
        ],
        endings=[
            "Product pages and forum threads make sense afterwards.",
            "Each term comes with a sentence in which a customer might hear it.",
            "It is a page to link to from everything else on the site.",
        ],
    ),
    _angle(
        "honest test",
        "self-test",
        "readers who are undecided",
        kinds=("goods",),
        titles=["Do You Need {g}? An Honest Test", "Who Should Skip {g}, and Who Should Not", "Is It Time for {g}? How to Tell"],
        openings=[
            "Not everybody needs {g}, and the self-test says so before anyone spends money.",
            "A handful of yes-or-no questions shows whether {g} would be used or gather dust.",
            "The piece argues against {g} first, and then names the readers for whom it pays.",
        ],
        endings=[
            "Those who drop out get a cheaper way to the same end.",
            "A clear no is as useful a result as a yes.",
            "Readers trust a site that tells them what to leave alone.",
        ],
    ),
    _angle(
        "what professionals look at",
        "interview",
        "readers who want to know the craft",
        unless="professional professionals expert experts",
        titles=["What Professionals Look At in {g}", "Ask a Professional About {g}", "{t}: Notes from the Trade"],
        openings=[
            "An interview about {g} with somebody who deals with it every working day.",
            "Professionals judge {g} by details that never appear in an advertisement.",
            "The piece asks a practitioner what they check first in {g}, what they ignore, and what they would do at home.",
        ],
        endings=[
            "The prepared questions avoid the usual small talk.",
            "One trick of the trade is enough to make it worth the read.",
            "Amateurs learn where to be strict and where to relax.",
        ],
    ),
    _angle(
        "quick wins",
        "tips",
        "readers short of time",
        unless="quick easy tips",
        titles=["Small Changes, Better Results: {t}", "Getting More Out of {g}", "{t}: Quick Wins for Ten Minutes"],
        openings=[
            "Improvements around {g} that take less than ten minutes each, ranked by effect.",
            "Before anyone starts from scratch, results with {g} can often be rescued by one small change.",
            "The tips for {g} need no purchase, only attention in the right place.",
        ],
        endings=[
            "Every tip says what it changes, so that readers can stop when they are content.",
            "The first one alone is worth a short video.",
            "Those who try two of them will notice by the weekend.",
        ],
    ),
    _angle(
        "what people search for",
        "data note",
        "curious readers and colleagues",
        titles=["What Searches Tell Us About {g}", "What People Want to Know About {g}", "{t}: The Questions Behind the Searches"],
        openings=[
            "Search figures show what people really ask about {g}, and it is seldom what brochures answer.",
            "A note on demand: how often people look up {g}, in which words, and what that says about the person typing.",
            "The piece reads the search data on {g} as a list of worries and answers the largest one first.",
        ],
        endings=[
            "It gives the editors a map of what to write next.",
            "Readers discover that their question is a common one.",
            "One chart carries the piece; the rest is interpretation.",
        ],
    ),
    _angle(
        "levels",
        "guide",
        "beginners and experienced readers",
        unless="beginner beginners advanced",
        titles=["{t} for Beginners and for the Experienced", "{t} at Three Levels", "From First Try to Second Nature: {t}"],
        openings=[
            "One subject at three levels: {g} for a novice, for a regular, and for an enthusiast.",
            "Advice on {g} fails when it meets the wrong reader, so the guide is split by experience.",
            "The guide sorts what there is to know about {g} from easy to demanding, with one thing to master at each level.",
        ],
        endings=[
            "Nobody has to read the part that is too easy or too hard.",
            "It shows where more effort stops being rewarded.",
            "Readers can return to it a year later and continue one level up.",
        ],
    ),
    _angle(
        "time plan",
        "explainer",
        "busy readers",
        kinds=("topic", "task"),
        unless="time timeline duration long ideas trends tips facts examples",
        titles=["How Much Time to Plan for {g}", "{t} in a Busy Week", "The Clock and {g}: A Realistic Schedule"],
        openings=[
            "The explainer adds up the hours behind {g}, with the waiting included and not just the work.",
            "A realistic schedule for {g} next to a job and a family.",
            "Delays with {g} have three or four usual causes, and all of them can be seen coming.",
        ],
        endings=[
            "Readers can decide whether to begin tonight or on Saturday.",
            "The schedule has slack where it is needed and none where it is not.",
            "It makes a promise of a date safe to give.",
        ],
    ),
    _angle(
        "first month",
        "diary",
        "new owners",
        kinds=("goods",),
        titles=["The First Month with {g}", "After the Purchase: Living with {g}", "{t}: What Changes After Four Weeks"],
        openings=[
            "What daily life with {g} looks like once the novelty is gone, told as a diary of four weeks.",
            "Reviews of {g} end after a day; this one begins there.",
            "The diary notes the pleasures and annoyances of {g}, and what had to be adjusted.",
        ],
        endings=[
            "Care, wear and small repairs get the space that a launch review denies them.",
            "New owners learn which early doubts settle by themselves.",
            "It helps to decide while a return is still possible.",
        ],
    ),
)
