"""Keywords and clusters of a site: imports, the state on a day, clusterings."""

import datetime as dt
import hashlib
import uuid
from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pressroom.records import Cluster, Keyword, KeywordFile, Record, Site, stable_id
from pressroom.store.tables import ClusteringRow, ClusterRow, KeywordImportRow, KeywordRow

# psycopg sends at most 65,535 parameters in one statement; a row has 17.
_ROWS_A_STATEMENT = 2000
_FIGURES = ("volume", "volume_low", "volume_high", "difficulty", "cpc", "intent", "language", "country")


class Imported(Record):
    """What one file brought: `accepted` phrases, of which `new` were not known before."""

    id: uuid.UUID
    name: str
    accepted: int
    new: int
    rejected: int


def import_keywords(
    session: Session, site: Site, file: KeywordFile, *, name: str, data: bytes, day: dt.date, run_id: str | None
) -> Imported:
    """Books a keyword file. Idempotent by normalised phrase: new phrases are added, the newest day's figures stand.

    A figure that the file does not have leaves the known one alone. Importing for an earlier day than a phrase was first seen makes it
    known from that day on.
    """
    digest = hashlib.sha256(data).hexdigest()
    import_id = stable_id("import", site.slug, digest)
    session.execute(
        insert(KeywordImportRow)
        .values(
            id=import_id,
            account_id=site.account_id,
            site_id=site.id,
            name=name,
            sha256=digest,
            format=file.format,
            encoding=file.encoding,
            day=day,
            accepted=len(file.keywords),
            rejected=[row.model_dump(mode="json") for row in file.rejected],
            run_id=run_id,
        )
        .on_conflict_do_nothing()
    )
    rows = [
        keyword.model_dump()
        | {"source": name, "account_id": site.account_id, "site_id": site.id, "import_id": import_id, "first_seen": day, "measured_on": day}
        for keyword in file.keywords
    ]
    new = 0
    for start in range(0, len(rows), _ROWS_A_STATEMENT):
        statement = insert(KeywordRow).values(rows[start : start + _ROWS_A_STATEMENT])
        proposed = statement.excluded
        newest = proposed.measured_on >= KeywordRow.measured_on
        figures = {
            field: sa.case((newest, sa.func.coalesce(proposed[field], KeywordRow.__table__.c[field])), else_=KeywordRow.__table__.c[field])
            for field in _FIGURES
        }
        source = {
            field: sa.case((newest, proposed[field]), else_=KeywordRow.__table__.c[field])
            for field in ("source", "source_row", "import_id", "measured_on")
        }
        upsert = statement.on_conflict_do_update(
            index_elements=["site_id", "normalised"],
            set_=figures | source | {"first_seen": sa.func.least(KeywordRow.first_seen, proposed.first_seen)},
        ).returning(sa.literal_column("xmax = 0", sa.Boolean))  # true for a row that was inserted, false for one that was updated
        new += sum(session.execute(upsert).scalars())
    return Imported(id=import_id, name=name, accepted=len(rows), new=new, rejected=len(file.rejected))


def keywords_on(session: Session, site_id: uuid.UUID, day: dt.date) -> tuple[Keyword, ...]:
    """Every keyword of the site that was known on `day`, by normalised phrase."""
    columns = [KeywordRow.__table__.c[field] for field in Keyword.model_fields]
    query = sa.select(*columns).where(KeywordRow.site_id == site_id, KeywordRow.first_seen <= day).order_by(KeywordRow.normalised)
    return tuple(Keyword.model_validate(dict(row)) for row in session.execute(query).mappings())


def clustering_of(session: Session, site_id: uuid.UUID, input_version: str) -> tuple[Cluster, ...]:
    """The clusters that were made from this keyword state, largest volume first; empty when there are none yet."""
    query = (
        sa.select(ClusterRow)
        .join(ClusteringRow, ClusteringRow.id == ClusterRow.clustering_id)
        .where(ClusteringRow.site_id == site_id, ClusteringRow.input_version == input_version)
    )
    return _clusters(session, query)


def newest_clusters(session: Session, site_id: uuid.UUID) -> tuple[Cluster, ...]:
    """The clusters of the site's newest clustering, from which a new one takes its ids."""
    newest = sa.select(ClusteringRow.id).where(ClusteringRow.site_id == site_id).order_by(ClusteringRow.created_at.desc()).limit(1)
    return _clusters(session, sa.select(ClusterRow).where(ClusterRow.clustering_id == newest.scalar_subquery()))


def given_ids(session: Session, site_id: uuid.UUID) -> set[uuid.UUID]:
    """Every cluster id that the site has ever had: none of them comes to mean something else."""
    return set(session.execute(sa.select(ClusterRow.cluster_id).where(ClusterRow.site_id == site_id).distinct()).scalars())


def save_clusters(
    session: Session, site: Site, clusters: Sequence[Cluster], *, input_version: str, day: dt.date, run_id: str | None
) -> None:
    """Books a clustering; a second one of the same keyword state changes nothing."""
    clustering_id = stable_id("clustering", site.slug, input_version)
    made = session.execute(
        insert(ClusteringRow)
        .values(
            id=clustering_id,
            account_id=site.account_id,
            site_id=site.id,
            day=day,
            input_version=input_version,
            run_id=run_id,
        )
        .on_conflict_do_nothing()
        .returning(ClusteringRow.id)
    ).scalar()
    if made:
        rows = [
            cluster.model_dump(exclude={"id"})
            | {
                "cluster_id": cluster.id,
                "keywords": list(cluster.keywords),
                "clustering_id": clustering_id,
                "account_id": site.account_id,
                "site_id": site.id,
            }
            for cluster in clusters
        ]
        session.execute(insert(ClusterRow), rows)


def _clusters(session: Session, query: sa.Select[ClusterRow]) -> tuple[Cluster, ...]:
    fields = [ClusterRow.__table__.c[field] for field in Cluster.model_fields if field != "id"]
    named = query.with_only_columns(ClusterRow.cluster_id.label("id"), *fields)
    rows = session.execute(named.order_by(ClusterRow.volume.desc(), ClusterRow.cluster_id)).mappings()
    return tuple(Cluster.model_validate(dict(row)) for row in rows)
