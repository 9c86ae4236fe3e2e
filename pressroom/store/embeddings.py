"""Vectors of texts that an endpoint made: kept by site and space, so that none is asked twice and two spaces never mix."""

import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from pressroom.records import Site
from pressroom.store.tables import EmbeddingRow, EmbeddingSpaceRow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROWS_A_STATEMENT = 500  # 500 vectors of 1,536 numbers are 10 MB of text on their way

# Vectors travel as literals: 2,048 of 1,536 numbers take 1.7 s of CPU here, and 10 s as arrays of bound numbers.
_KEEP = sa.text(
    """
    INSERT INTO embeddings (site_id, account_id, space, text_hash, vector)
    SELECT :site_id, :account_id, :space, text_hash, vector::real[]
    FROM unnest(CAST(:hashes AS text[]), CAST(:vectors AS text[])) AS fresh (text_hash, vector)
    ON CONFLICT DO NOTHING
    """
)


def find_space(session: Session, name: str) -> EmbeddingSpaceRow | None:
    """The space as it is stored."""
    return session.get(EmbeddingSpaceRow, name)


def keep_space(session: Session, *, name: str, dimension: int, related: float, repeat: float, calibration: str) -> EmbeddingSpaceRow:
    """Stores a calibrated space, and returns what stands: the first one kept of this name and calibration.

    Another calibration replaces the thresholds, never the dimension: where it differs nothing changes, and the caller sees it.
    """
    fields = {"dimension": dimension, "related": related, "repeat": repeat, "calibration": calibration}
    statement = insert(EmbeddingSpaceRow).values(name=name, **fields)
    newer = sa.and_(EmbeddingSpaceRow.dimension == dimension, EmbeddingSpaceRow.calibration != calibration)
    session.execute(statement.on_conflict_do_update(index_elements=["name"], set_=fields, where=newer))
    return session.get_one(EmbeddingSpaceRow, name, populate_existing=True)


def find_vectors(session: Session, site_id: uuid.UUID, space: str, hashes: Sequence[str]) -> "dict[str, NDArray[np.float32]]":
    """The stored vectors of these texts, float32 arrays (dimension,) by the text's hash; those that are not there are left out."""
    import numpy as np

    wanted = sa.any_(sa.literal(list(hashes), sa.ARRAY(sa.String)))
    query = sa.select(EmbeddingRow.text_hash, EmbeddingRow.vector).where(
        EmbeddingRow.site_id == site_id, EmbeddingRow.space == space, EmbeddingRow.text_hash == wanted
    )
    return {text_hash: np.array(vector, dtype=np.float32) for text_hash, vector in session.execute(query)}


def keep_vectors(session: Session, *, site: Site, space: str, vectors: "Mapping[str, NDArray[np.float32]]") -> None:
    """Stores vectors by their text's hash; one that is there already stays as it is. The space must be stored."""
    owned = {"site_id": site.id, "account_id": site.account_id, "space": space}
    hashes = sorted(vectors)  # in one order, so that two processes with the same texts do not wait for each other in a circle
    for start in range(0, len(hashes), ROWS_A_STATEMENT):
        part = hashes[start : start + ROWS_A_STATEMENT]
        session.execute(_KEEP, owned | {"hashes": part, "vectors": [_literal(vectors[text_hash]) for text_hash in part]})


def _literal(vector: "NDArray[np.float32]") -> str:
    """`vector` as PostgreSQL reads an array. Nine digits give every float32 back to the last bit."""
    return "{" + ",".join(["%.9g"] * len(vector)) % tuple(vector.tolist()) + "}"
