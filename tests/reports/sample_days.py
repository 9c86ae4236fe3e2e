"""Four days of a report, as plain facts: a good one, a bad one, one on which nothing ran, and one of hostile texts."""

import datetime as dt
from decimal import Decimal
from typing import Any

from pressroom.errors import BadInput
from pressroom.platforms.registry import platforms
from pressroom.records import Draft, DraftState, DraftVersion, Idea, RejectedRow, Site, Violation, stable_id
from pressroom.store.reports import (
    CallsFact,
    ClusterFact,
    DayFacts,
    DraftFact,
    IdeaFact,
    ImportFact,
    KeywordFact,
    MadeFact,
    RunFact,
    StepFact,
)

DAY = dt.date(2026, 11, 20)
START = dt.datetime(2026, 11, 20, 5, 0, 12, tzinfo=dt.UTC)
SITE = Site(
    slug="harbour-coffee",
    name="Harbour Coffee",
    domain="harbourcoffee.example",
    time_zone="Europe/Berlin",
    field="speciality coffee roasting",
    audience="people who brew at home",
)

TOPICS = [
    (
        "Why your V60 tastes bitter, and the one dial to turn",
        "Brewing",
        "v60 recipe",
        12_100,
        ["v60 recipe", "v60 grind size", "bitter pour over"],
    ),
    (
        "Descale or not: what hard water does in ninety days",
        "Equipment",
        "descale espresso machine",
        9_900,
        ["descale espresso machine", "hard water coffee"],
    ),
    (
        "Decaf that nobody notices: three processes compared",
        "Beans",
        "swiss water decaf",
        5_400,
        ["swiss water decaf", "best decaf beans", "decaf process"],
    ),
    ("A cold brew ratio for one jar and one weekend", "Brewing", "cold brew ratio", 27_100, ["cold brew ratio", "cold brew concentrate"]),
]

LINKEDIN = "\n\n".join(
    (
        "Most bitter cups are not a bean problem. They are a grind problem that looks like one.",
        "We brewed the same washed Ethiopian forty times last month, and changed a single thing: the grinder's dial. Two clicks finer than "
        "our house recipe pushed the brew past four minutes, and every tester wrote down the same word. Two clicks coarser, the cup opened "
        "up: the fruit came back, the dry finish went.",
        "What surprised us was how small the step was. A change that you cannot see in the grounds moved the brew time by thirty-five "
        "seconds. Water temperature, the usual suspect, moved the score by less than half a point between 92 and 96 degrees.",
        "So here is the order we teach new baristas. Start with the time: between 2:45 and 3:15 for 15 grams. If the cup is bitter and the "
        "time is long, go coarser by one click and brew again. Touch nothing else until the time is right. Only then is it worth talking "
        "about water, kettles and pouring patterns.",
        "#coffee #brewing",
    )
)


def x_posts(topic: str) -> list[str]:
    return [
        f"We brewed the same coffee forty times to find out one thing about {topic}. The answer fits on a grinder dial ☕️",
        "Two clicks finer: four minutes, bitter, dry. Two clicks coarser: three minutes, fruit, sweet. Nobody could see it in the grounds.",
        "So before you buy a new kettle: set a timer. 15 g, 250 ml, 2:45 to 3:15. Too long? One click coarser. Notes: https://harbourcoffee.example/v60",
    ]


def parts_for(platform: str, topic: str) -> dict[str, Any]:
    if platform == "linkedin":
        return {
            "text": LINKEDIN,
            "key_points": [
                "Time the brew before you change anything",
                f"One click at a time, also for {topic}",
                "Temperature matters least",
            ],
        }
    if platform == "x":
        return {"posts": x_posts(topic)}
    return {
        "hook": "Your coffee is bitter because of one click.",
        "value": "Put fifteen grams in the filter and start a timer. If the last drop falls after three minutes fifteen, the grind is too "
        "fine. Go one click coarser, and change nothing else. Most people fix it on the second cup.",
        "call_to_action": "Try it tomorrow morning, and tell us your brew time in the comments.",
        "scenes": [
            {"section": "hook", "description": "Close-up of a face after a bitter sip, then the grinder dial"},
            {"section": "value", "description": "Timer beside the dripper, the last drop falls at 3:40"},
            {"section": "value", "description": "One click on the dial, second brew, the timer stops at 3:02"},
            {"section": "call_to_action", "description": "Cup on a window sill, phone with the comments open"},
        ],
        "caption": f"One click. That is the whole trick behind {topic}.\n\n#coffee #pourover #homebarista",
    }


PLATFORMS = platforms()


def violations(platform: str, parts: dict[str, Any]) -> tuple[Violation, ...]:
    """What the platform's own rules say; nothing where the platform or the parts are unknown to them."""
    try:
        return PLATFORMS[platform].check(parts).violations if platform in PLATFORMS else ()
    except BadInput:
        return ()


def draft(idea: Idea, platform: str, *, state: DraftState = "generated", model: str | None = "gpt-4.1-mini", **version: Any) -> DraftFact:
    standing = {
        "number": 1,
        "origin": "ai",
        "text": f"{platform}: {idea.title}",
        "parts": parts_for(platform, idea.keywords[0]),
        "prompt_version": "3f9a2c71",
        "call": f"{stable_id('call', idea.id, platform).hex}{stable_id('more', idea.id).hex}",
        "model": model,
    } | version
    standing.setdefault("violations", violations(platform, standing["parts"]))
    return DraftFact(
        id=Draft.id_for(idea.id, platform),
        platform=platform,
        state=state,
        versions=standing["number"],
        version=DraftVersion.model_validate(standing),
    )


def idea(number: int, *, model: str = "gpt-4.1-mini", **changes: Any) -> Idea:
    title, category, head, _, keywords = TOPICS[number]
    given = {
        "id": stable_id("idea", number),
        "ordinal": number,
        "title": title,
        "description": "Brewed forty times, with everything written down. The reader leaves with one thing to try tomorrow.",
        "topic_category": category,
        "angle": "a test from our own bench",
        "audience": "home brewers in their first year",
        "format": "how-to",
        "cluster_id": stable_id("cluster", number),
        "cluster": head.capitalize(),
        "keywords": tuple(keywords),
        "call": stable_id("call", "ideas").hex * 2,
        "model": model,
        "nearest": stable_id("idea", "earlier", number),
        "similarity": 0.41 + number / 20,
    } | changes
    return Idea.model_validate(given)


def fact(one: Idea, drafts: list[DraftFact]) -> IdeaFact:
    volume = {keyword: 880 * (place + 1) for place, keyword in enumerate(one.keywords)}
    keywords = tuple(KeywordFact(phrase=word, volume=volume[word], source="keywords.csv", source_row=7) for word in one.keywords)
    return IdeaFact(idea=one, prompt_version="b81d07e4", keywords=keywords, drafts=tuple(drafts))


def calls(purpose: str, number: int, *, model: str = "gpt-4.1-mini", **changes: Any) -> CallsFact:
    figures = {"input_tokens": 1_840 * number, "cached_tokens": 0, "output_tokens": 310 * number, "reasoning_tokens": 0}
    given = {"purpose": purpose, "provider": "openai", "model": model, "status": "answered", "error": None, "calls": number, "unpriced": 0}
    return CallsFact.model_validate(given | figures | {"cost_usd": Decimal("0.001234") * number} | changes)


def step(asset: str, start: float, end: float, *, state: str = "done", **more: Any) -> StepFact:
    moments = {"started_at": START + dt.timedelta(seconds=start), "ended_at": START + dt.timedelta(seconds=end)}
    return StepFact.model_validate({"asset": asset, "state": state} | moments | more)


def run(name: str, steps: list[StepFact], *, state: str = "completed", after: float = 0, **more: Any) -> RunFact:
    started = START + dt.timedelta(seconds=after)
    ended = max((one.ended_at for one in steps), default=started) + dt.timedelta(seconds=0.4)
    given = {"id": stable_id("run", name), "root_run_id": name, "run_id": name, "trigger": "scheduled", "state": state, "error": None}
    return RunFact.model_validate(given | {"started_at": started, "ended_at": ended, "steps": steps} | more)


def made(asset: str, **counts: int) -> MadeFact:
    version = stable_id("version", asset).hex[:16]
    return MadeFact(asset=asset, data_version=version, complete=True, counts=counts, run_id="run-1", finished_at=START)


CLUSTERS = tuple(
    ClusterFact(
        id=stable_id("cluster", number), name=head.capitalize(), head=head, volume=volume, intent="informational", keywords=9 + number
    )
    for number, (_, _, head, volume, _) in enumerate(TOPICS)
)
SOCIAL = ("writer/linkedin_posts", "writer/x_posts", "writer/instagram_reels")


def good_day() -> DayFacts:
    """Four ideas on three platforms; a person has edited one draft, read one, and one carries a warning."""
    ideas = []
    for number in range(4):
        one = idea(number)
        drafts = [draft(one, platform) for platform in ("instagram", "linkedin", "x")]
        if number == 1:
            drafts[1] = draft(
                one, "linkedin", state="edited", number=2, origin="human", author="maria", model=None, call=None, prompt_version=None
            )
            short = parts_for("instagram", "hard water") | {"call_to_action": "Tell us your brew time."}
            drafts[0] = draft(one, "instagram", parts=short)
            drafts[2] = draft(one, "x", state="reviewed", parts={"posts": x_posts("hard water")[:1]})
        ideas.append(fact(one, drafts))
    steps = [
        step("planner/keywords", 0.1, 1.4, counts={"keywords": 168, "new": 12}),
        step("planner/clusters", 1.5, 9.8, counts={"clusters": 21}, calls={"paid": 1, "replayed": 0}),
        step("planner/ideas", 10, 31, counts={"ideas": 4}, calls={"paid": 2, "replayed": 0}),
        *(
            step(asset, 31.2, 31.2 + length, counts={"drafts": 4}, calls={"paid": 4, "replayed": 0})
            for asset, length in zip(SOCIAL, (38, 22, 29), strict=True)
        ),
    ]
    return DayFacts(
        site=SITE,
        day=DAY,
        ideas=tuple(ideas),
        clusters=CLUSTERS,
        imports=(
            ImportFact(
                name="keywords-november.csv",
                format="google-ads",
                encoding="utf-16",
                accepted=168,
                rejected=(
                    RejectedRow(row=44, reason="the phrase is empty", text=",1K – 10K,,"),
                    RejectedRow(row=91, reason="volume 'n/a' is no number", text="moka pot,n/a"),
                ),
            ),
        ),
        calls=(calls("clusters", 1), calls("ideas", 2), calls("instagram", 4), calls("linkedin", 4), calls("x", 4)),
        runs=(run("0b6e4a9c-55d1-4f60-9a39-0d3f5b1c7a11", steps),),
        made=(
            made("planner/clusters", clusters=21),
            made("planner/ideas", ideas=4),
            made("planner/keywords", keywords=168),
            made("writer/linkedin_posts", drafts=4),
            made("writer/x_posts", drafts=4),
        ),
    )


def bad_day() -> DayFacts:
    """The run failed after the ideas: Instagram has nothing, and two drafts on X break the rules. Part of the calls has no price."""
    broken = {
        0: [x_posts("v60")[0], "Hard water is not the enemy. " * 11],
        2: ["Would you rather own $SBUX or $DNUT? Neither roasts decaf like this."],
    }
    ideas = []
    for number in range(3):
        one = idea(number)
        posts = broken.get(number)
        x = draft(one, "x", state="failed", parts={"posts": posts}) if posts else draft(one, "x")
        ideas.append(fact(one, [draft(one, "linkedin"), x]))
    error = "the model endpoint answered 503 four times in 42 s (api.example); nothing was paid for the last answer"
    first = run(
        "5d1c9a00-1111-4f60-9a39-0d3f5b1c7a11",
        [
            step("planner/keywords", 0.1, 0.6, state="carried", counts={"keywords": 168}),
            step("planner/clusters", 0.7, 0.9, state="carried", counts={"clusters": 21}),
            step("planner/ideas", 1, 44, counts={"ideas": 3}, calls={"paid": 4}),
            step("writer/linkedin_posts", 44.2, 71, counts={"drafts": 3}, calls={"paid": 3}),
            step("writer/x_posts", 44.2, 118, counts={"drafts": 3, "failed": 2}, calls={"paid": 9}),
            step("writer/instagram_reels", 44.2, 131, state="failed", error=error),
        ],
        state="failed",
        error=f"writer/instagram_reels: {error}",
    )
    second = run(
        "77aa0c1e-2222-4f60-9a39-0d3f5b1c7a11",
        [
            step("planner/keywords", 900.1, 900.4, state="carried"),
            step("planner/clusters", 900.5, 900.6, state="carried"),
            step("planner/ideas", 900.7, 901, calls={"replayed": 4}),
            step("writer/linkedin_posts", 901.2, 901.5, calls={"replayed": 3}),
            step("writer/x_posts", 901.2, 902, calls={"replayed": 9}),
            step("writer/instagram_reels", 901.2, 948, state="failed", error=error),
        ],
        state="failed",
        after=900,
        error=f"writer/instagram_reels: {error}",
        trigger="manual",
    )
    return DayFacts(
        site=SITE,
        day=DAY,
        ideas=tuple(ideas),
        clusters=CLUSTERS[:3],
        calls=(
            calls("ideas", 4),
            calls("instagram", 2, status="failed", error=error, cost_usd=Decimal(), input_tokens=0, output_tokens=0),
            calls("linkedin", 3),
            calls("x", 9, model="house-model-7b", unpriced=9, cost_usd=Decimal()),
        ),
        runs=(first, second),
        made=(made("planner/ideas", ideas=3), made("writer/linkedin_posts", drafts=3)),
    )


def quiet_day() -> DayFacts:
    """Nothing ran."""
    return DayFacts(site=SITE, day=DAY)


SCRIPT = "<script>alert('x')</script><img src=x onerror=alert(1)>"
ARABIC = "القهوة الباردة: نسبة الماء إلى البن (1:8) لجرة واحدة"
HEBREW = "קפה קר בבית\u202e"
LONG = "W" * 300
SECRETS = ("hunter2", "Bearer abcdef0123456789", "sk-proj-abcdefgh12345678")


def hostile_day() -> DayFacts:
    """Texts that try to be markup, that turn the reading direction, that never break; an unknown platform; written offline."""
    site = SITE.model_copy(update={"name": f"Café {HEBREW} & Söhne", "platforms": ("linkedin", "x", "instagram", "carrier-pigeon")})
    one = idea(0, title=SCRIPT, description=f"{LONG} {ARABIC}", cluster=f"| {HEBREW} |", keywords=(ARABIC, LONG, "a|b`c"), model="offline")
    two = idea(1, title=ARABIC, description=ARABIC * 3, topic_category=HEBREW, keywords=(HEBREW, SCRIPT), model="offline")
    three = idea(2, title=f"{LONG}", angle=SCRIPT, model="offline")
    broken = Violation(code="weighted_length", severity="error", measured=601, limit=280, message=f"{SCRIPT} is too long", part="posts[0]")
    odd = {
        "flight_plan": {"height": 12, "note": SCRIPT},
        "feathers": [1, None, {"colour": "grey", "text": ARABIC}],
        "text": "coo </style><b>",
    }
    ideas = (
        fact(
            one,
            [
                draft(one, "x", state="failed", model="offline", parts={"posts": [SCRIPT, LONG, ARABIC]}, violations=[broken]),
                draft(one, "carrier-pigeon", model="offline", parts=odd),
            ],
        ),
        fact(
            two,
            [
                draft(two, "linkedin", model="offline", parts={"text": f"{ARABIC}\n\n{ARABIC} {LONG}", "key_points": [HEBREW, SCRIPT]}),
                draft(two, "instagram", model="offline"),
            ],
        ),
        fact(three, [draft(three, "linkedin", model="offline", parts={}, text=SCRIPT)]),
    )
    error = f"postgresql://desk:hunter2@db.example/x refused; {' '.join(SECRETS[1:])} {SCRIPT} {LONG * 3}"
    rows = tuple(RejectedRow(row=row, reason=f"bad {SCRIPT}", text=f"{LONG * 4}") for row in range(1, 2_001))
    return DayFacts(
        site=site,
        day=DAY,
        ideas=ideas,
        clusters=(ClusterFact(id=stable_id("cluster", 0), name=SCRIPT, head=f"{ARABIC} | {LONG}", volume=10**9, intent=None, keywords=3),),
        imports=(ImportFact(name=f"{SCRIPT}.csv", format="plain", encoding="utf-8", accepted=0, rejected=rows),),
        calls=(
            calls("ideas", 1, model="offline", provider="offline", cost_usd=Decimal("0")),
            calls("x", 5, model=SCRIPT, cost_usd=Decimal(), unpriced=5),
        ),
        runs=(run(SCRIPT, [step(SCRIPT, 0, 9), step("planner/ideas", 9, 9, state="failed", error=error)], state="failed", error=error),),
        made=(made(SCRIPT, **{"<b>": 3}),),
    )
