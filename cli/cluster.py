"""`pressroom cluster`: the topics of a keyword file, without a database."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.output import JsonFlag, emit, err, out, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pressroom.records import Cluster, RejectedRow

EXAMPLES = 3  # keywords shown of each cluster
REASONS = 3  # rejected rows shown

Granularity = Literal["broad", "balanced", "fine"]


def cluster(
    file: Annotated[Path, typer.Argument(help="Keyword Planner export, CSV or TSV with a phrase column, or one phrase per line.")],
    granularity: Annotated[Granularity, typer.Option(help="How large the clusters are.")] = "balanced",
    brand: Annotated[list[str] | None, typer.Option(help="A word that most keywords share, such as the brand; repeatable.")] = None,
    json: JsonFlag = False,
) -> None:
    """Groups the keywords of a file into clusters."""
    from pressroom.errors import BadInput
    from pressroom.planner.formats import read_keywords

    try:
        data = file.read_bytes()
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror or error}; expected a keyword file") from None
    words = brand or []
    with err.status(f"Clustering {file.name}"):  # silent where standard error is no terminal
        found = read_keywords(data, file.name, brand_words=words)
        from pressroom.planner.clustering import cluster_keywords  # after the file was read: a bad one is told at once

        clusters = cluster_keywords(found.keywords, scope="file", granularity=granularity, brand_words=words)
    if json:
        of = {phrase: cluster for cluster in clusters for phrase in cluster.keywords}
        emit(
            [
                {"keyword": keyword.phrase, "cluster_id": of[keyword.normalised].id, "cluster_name": of[keyword.normalised].name}
                for keyword in found.keywords
            ]
        )
    else:
        _show(clusters, {keyword.normalised: keyword.phrase for keyword in found.keywords}, title=f"{file.name} ({found.format})")
    if found.rejected:
        say(_rejection(file.name, found.rejected))


def _show(clusters: "Sequence[Cluster]", phrases: dict[str, str], title: str) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table("cluster", title=escape(f"{title}: {len(phrases):,} keywords in {len(clusters):,} clusters"), title_justify="left")
    table.add_column("keywords", justify="right")
    table.add_column("volume", justify="right")
    table.add_column("intent")
    table.add_column("examples", ratio=1)
    for cluster in clusters:
        examples = ", ".join(phrases[phrase] for phrase in cluster.keywords[1 : 1 + EXAMPLES])
        volume = f"{cluster.volume:,}" if cluster.volume else "–"
        table.add_row(escape(cluster.name), f"{len(cluster.keywords):,}", volume, cluster.intent or "–", escape(examples))
    out.print(table)


def _rejection(name: str, rejected: "Sequence[RejectedRow]") -> str:
    from pressroom.wording import some

    shown = "; ".join(f"row {row.row}: {row.reason}" for row in rejected[:REASONS])
    more = f"; and {len(rejected) - REASONS:,} more" if len(rejected) > REASONS else ""
    return f"{name}: {some(len(rejected), 'row')} left out: {shown}{more}"
