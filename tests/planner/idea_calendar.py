"""A coffee site with 15 clusters, and its calendar of ideas, kept day by day as the store keeps it."""

import asyncio
import datetime as dt
from collections.abc import Sequence

from pressroom.llm.types import Asks
from pressroom.planner.briefs import IdeaBrief, brief_for
from pressroom.planner.ideas import Proposed, propose_ideas
from pressroom.records import Automation, Cluster, Idea, Intent, Keyword, Site, stable_id
from tests.asking import Scripted

FIRST_DAY = dt.date(2026, 3, 1)
MEMORY = dt.timedelta(days=30)
INTENTS: tuple[Intent | None, ...] = ("informational", "commercial", "transactional", None, "navigational")
PHRASES = """
cold brew: cold brew coffee ratio|how to make cold brew at home|cold brew maker|how long does cold brew last|best beans for cold brew
espresso machines: best espresso machine|espresso machine for home|small espresso machine|espresso machine repair near me
coffee grinders: best coffee grinder|burr grinder vs blade grinder|manual coffee grinder|how to clean a coffee grinder|quiet coffee grinder
pour over: pour over coffee|pour over kettle|how to make pour over coffee|pour over coffee maker|best pour over filters
french press: french press coffee ratio|how to use a french press|best french press|french press grind size|french press cleaning
decaf: best decaf coffee beans|how is coffee decaffeinated|swiss water decaf|decaf espresso beans|does decaf coffee have caffeine
subscriptions: coffee subscription|best coffee subscription|coffee subscription gift|monthly coffee box|cancel coffee subscription
milk: milk frother|how to froth milk at home|oat milk for latte art|best milk frother|latte art pitcher|electric milk frother price
storage: how to store coffee beans|coffee canister|can you freeze coffee beans|airtight coffee container|coffee bean shelf life
descaling: how to descale a coffee machine|descaling solution|descale espresso machine with vinegar|limescale in kettle
water: water for coffee|coffee water hardness|third wave water|best water filter for coffee machine|does water affect coffee taste
travel: travel coffee mug|portable espresso maker|camping coffee maker|instant specialty coffee|aeropress travel kit
roasts: light roast vs dark roast|medium roast coffee beans|which roast has most caffeine|dark roast coffee|blonde roast espresso
offices: office coffee machine|coffee machine for small office|office coffee service cost|coffee machine lease|office coffee supplies
scales: coffee scale with timer|best coffee scale|cheap coffee scale|do i need a coffee scale|espresso scale
"""


def coffee_site(ideas_a_day: int = 4) -> Site:
    automation = Automation(ideas_per_day=ideas_a_day)
    return Site(slug="brew", name="Brew", domain="brew.example", field="specialty coffee", audience="home baristas", automation=automation)


def coffee_clusters(count: int = 15) -> tuple[list[Cluster], list[Keyword]]:
    clusters, keywords = [], []
    for row, line in enumerate(PHRASES.strip().splitlines()[:count]):
        name, phrases = line.split(": ")[0], tuple(line.split(": ")[1].split("|"))
        clusters.append(
            Cluster(
                id=stable_id("cluster", name),
                name=name,
                head=phrases[0],
                keywords=phrases,
                volume=9000 - 400 * row,
                intent=INTENTS[row % 5],
            )
        )
        for place, phrase in enumerate(phrases):
            volume = (9000 - 400 * row) // (place + 2)
            keywords.append(Keyword(phrase=phrase, normalised=phrase, volume=volume, intent=INTENTS[(row + place) % 5]))
    return clusters, keywords


def coffee_brief(
    ideas_a_day: int = 4, *, clusters: int = 15, earlier: Sequence[tuple[dt.date, Idea]] = (), day: dt.date = FIRST_DAY
) -> IdeaBrief:
    known, keywords = coffee_clusters(clusters)
    brief = brief_for(coffee_site(ideas_a_day), day, known, keywords, earlier)
    assert brief
    return brief


def propose(brief: IdeaBrief, gateway: Asks | None = None) -> Proposed:
    return asyncio.run(propose_ideas(brief, gateway or Scripted()))


def calendar(days: int, ideas_a_day: int = 4, *, clusters: int = 15) -> list[tuple[dt.date, Proposed]]:
    """What the offline writer proposes on so many days in a row, each with the memory of the 30 days before it."""
    kept: list[tuple[dt.date, Proposed]] = []
    for number in range(days):
        day = FIRST_DAY + dt.timedelta(days=number)
        earlier = [(when, idea) for when, proposed in kept if when >= day - MEMORY for idea in proposed.ideas]
        kept.append((day, propose(coffee_brief(ideas_a_day, clusters=clusters, earlier=earlier, day=day))))
    return kept
