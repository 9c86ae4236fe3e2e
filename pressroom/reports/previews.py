"""Markdown tables of what an asset made, as the Dagster UI shows them. Short: a preview, not the data."""

import uuid
from collections.abc import Iterable, Mapping, Sequence

from pressroom.records import Cluster, Draft, Idea, Keyword

_ROWS = 12


def keywords_preview(keywords: Sequence[Keyword]) -> str:
    """The keywords with the most searches."""
    top = sorted(keywords, key=lambda keyword: (-(keyword.volume or 0), keyword.normalised))
    rows = [(k.phrase, k.searches or "", k.intent or "", f"{k.source}:{k.source_row or ''}") for k in top[:_ROWS]]
    return _table(("keyword", "searches a month", "intent", "from"), rows, of=len(keywords))


def clusters_preview(clusters: Sequence[Cluster]) -> str:
    """The clusters with the most searches and their first keywords."""
    rows = [(c.name, str(len(c.keywords)), _count(c.volume), ", ".join(c.keywords[:4])) for c in clusters[:_ROWS]]
    return _table(("cluster", "keywords", "searches a month", "such as"), rows, of=len(clusters))


def ideas_preview(ideas: Sequence[Idea]) -> str:
    """Title, cluster and description of every idea."""
    rows = [(i.title, i.cluster, i.description, i.model) for i in ideas]
    return _table(("idea", "cluster", "description", "written by"), rows, of=len(ideas))


def drafts_preview(drafts: Sequence[Draft], titles: Mapping[uuid.UUID, str]) -> str:
    """Every draft with its state and broken rules; `titles` maps idea ids to titles."""
    rows = [
        (
            titles.get(draft.idea_id, ""),
            draft.state,
            draft.version.model or "",
            _short(draft.version.text),
            "; ".join(violation.message for violation in draft.version.violations) or "none",
        )
        for draft in drafts
    ]
    return _table(("idea", "state", "written by", "text", "violations"), rows, of=len(drafts))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, of: int) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    shown = len(lines) - 2
    return "\n".join(lines) + (f"\n\n{shown} of {of:,}" if shown < of else "")


def _cell(text: str) -> str:
    """Text of people and models inside a Markdown table: no pipes, line breaks or markup of its own."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def _short(text: str, most: int = 180) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
