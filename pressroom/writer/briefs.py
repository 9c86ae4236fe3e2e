"""What drafts are written from."""

from collections.abc import Iterable

from pressroom.platforms.base import DraftBrief
from pressroom.records import Idea, Keyword, Site


def draft_briefs(site: Site, ideas: Iterable[Idea], keywords: Iterable[Keyword]) -> list[DraftBrief]:
    """A brief for each idea, with the figures of its keywords. A phrase whose row is gone goes without figures."""
    known = {keyword.normalised: keyword for keyword in keywords}
    return [
        DraftBrief(site=site, idea=idea, keywords=tuple(known.get(name) or Keyword(phrase=name, normalised=name) for name in idea.keywords))
        for idea in ideas
    ]
