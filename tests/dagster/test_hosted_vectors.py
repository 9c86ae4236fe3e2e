"""A day whose keywords and ideas are compared by an endpoint's vectors."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from pressroom.store.engine import Store
from pressroom.store.tables import ClusteringRow, EmbeddingRow, EmbeddingSpaceRow, ModelCallRow
from simulators.openai import OpenAISimulator
from tests.dagster.conftest import Desk

TABLE = "purposes: {embedding: {provider: openai, model: text-embedding-3-small, dimension: 512}}"


@pytest.mark.long
def test_vectors_are_paid_once_calibrated_and_never_mixed_with_another_kind(
    desk: Callable[..., Desk], endpoint: OpenAISimulator, store: Store
) -> None:
    brew = desk(endpoint)
    (brew.folder / "models.yaml").write_text(TABLE)
    brew.environment["PRESSROOM_MODELS"] = str(brew.folder / "models.yaml")
    first = brew.run("--keywords", "keywords.csv")
    assert (first["counts"]["keywords"], len(first["drafts"])) == (36, 9)
    asked = endpoint.stats()["answered"]
    assert brew.run()["calls"]["paid"] == 0
    assert endpoint.stats()["answered"] == asked

    with store.transaction() as session:
        (space,) = session.scalars(sa.select(EmbeddingSpaceRow))
        kept = session.scalar(sa.select(sa.func.count()).select_from(EmbeddingRow))
        calls = session.scalars(sa.select(ModelCallRow).where(ModelCallRow.purpose == "embedding")).all()
    assert (space.name, space.dimension) == ("openai/text-embedding-3-small@512", 512)
    assert 0 < space.related < space.repeat < 1
    assert kept == 36 + 3, "each keyword and each idea once"
    assert {call.site_id is None for call in calls} == {True, False}, "the calibration is the house's, the texts are the site's"
    assert all(call.cost_usd for call in calls)

    del brew.environment["PRESSROOM_MODELS"]
    brew.run()
    with store.transaction() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(ClusteringRow)) == 2, "another kind of vector clusters anew"
