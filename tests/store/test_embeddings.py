"""Vectors and their spaces as the database keeps them."""

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pressroom.store.embeddings import ROWS_A_STATEMENT, find_space, find_vectors, keep_space, keep_vectors
from pressroom.store.engine import Store
from tests.samples import SITE, site_applied

SPACE = "simulated/model@3"


@pytest.fixture
def spaced(store: Store) -> Store:
    """A store with a site and a space."""
    with store.transaction() as session:
        site_applied(session)
        keep_space(session, name=SPACE, dimension=3, related=0.2, repeat=0.7, calibration="one")
    return store


def test_what_stands_is_the_space_that_was_kept_first(spaced: Store) -> None:
    """A new calibration may move the thresholds; nothing moves the dimension."""
    with spaced.transaction() as session:
        assert keep_space(session, name=SPACE, dimension=3, related=0.3, repeat=0.8, calibration="one").related == 0.2
        assert keep_space(session, name=SPACE, dimension=4, related=0.3, repeat=0.8, calibration="two").dimension == 3
        assert keep_space(session, name=SPACE, dimension=3, related=0.3, repeat=0.8, calibration="two").repeat == 0.8
        found = find_space(session, SPACE)
        assert found
        assert (found.related, found.calibration) == (0.3, "two")
        assert find_space(session, "another") is None


VECTORS = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VECTORS)
def test_a_vector_comes_back_to_the_last_bit(spaced: Store, numbers: list[float]) -> None:
    """A re-run must find the clusters that the first run found."""
    vector = np.array(numbers, dtype=np.float32)
    key = vector.tobytes().hex()
    with spaced.transaction() as session:
        keep_vectors(session, site=SITE, space=SPACE, vectors={key: vector})
        assert np.array_equal(find_vectors(session, SITE.id, SPACE, [key])[key], vector)


def test_a_vector_that_is_there_already_stays_as_it_is(spaced: Store) -> None:
    first, second = np.ones(3, dtype=np.float32), np.zeros(3, dtype=np.float32)
    with spaced.transaction() as session:
        keep_vectors(session, site=SITE, space=SPACE, vectors={"a": first})
        keep_vectors(session, site=SITE, space=SPACE, vectors={"b": second, "a": second})
        found = find_vectors(session, SITE.id, SPACE, ["a", "b", "c"])
    assert {key: vector.tolist() for key, vector in found.items()} == {"a": [1, 1, 1], "b": [0, 0, 0]}


def test_more_vectors_than_one_statement_carries_are_kept(spaced: Store) -> None:
    vectors = {f"text {number}": np.full(3, number, dtype=np.float32) for number in range(ROWS_A_STATEMENT + 1)}
    with spaced.transaction() as session:
        keep_vectors(session, site=SITE, space=SPACE, vectors=vectors)
        keep_vectors(session, site=SITE, space=SPACE, vectors={})
        assert len(find_vectors(session, SITE.id, SPACE, list(vectors))) == len(vectors)


def test_vectors_without_a_stored_space_are_refused(spaced: Store) -> None:
    """What they mean would not be known."""
    with pytest.raises(sa.exc.IntegrityError, match="embedding_spaces"), spaced.transaction() as session:
        keep_vectors(session, site=SITE, space="another", vectors={"a": np.ones(3, dtype=np.float32)})
