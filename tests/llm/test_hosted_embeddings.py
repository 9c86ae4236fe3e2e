"""Vectors of an endpoint: asked once, kept beside their space, and never mixed with another's."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from threading import Barrier

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import SecretStr

from pressroom.errors import Permanent, Transient
from pressroom.llm import hosted_embeddings
from pressroom.llm.calibration import calibration_set
from pressroom.llm.embeddings import OnDevice
from pressroom.llm.gateway import Exchange
from pressroom.llm.hosted_embeddings import HostedEmbedder, open_space
from pressroom.llm.models import OneRoute
from pressroom.llm.openai_embeddings import OpenAIEmbeddings, ask_for_vectors
from pressroom.llm.types import Scope
from pressroom.planner.clustering import cluster_keywords
from pressroom.planner.topics import TopicMemory
from pressroom.records import Keyword, Site
from pressroom.store.embeddings import keep_space
from pressroom.store.engine import Store
from pressroom.store.tables import EmbeddingRow, EmbeddingSpaceRow, ModelCallRow
from simulators.openai import OpenAISimulator
from simulators.openai_batches import Worked
from simulators.openai_wire import Asked
from tests.llm.conftest import KEY
from tests.samples import SITE, an_idea, site_applied

NAME = "simulated/model@384"


@cache
def turn_into(dimension: int) -> NDArray[np.float64]:
    """A turn of the 256 on-device dimensions into others, and a scale of three."""
    return 3 * np.linalg.qr(np.random.default_rng(dimension).normal(size=(dimension, 256)))[0].T


class Endpoint:
    """On-device vectors turned into a space of `dimension` and scaled, as an endpoint would send them. Knows what it was asked."""

    def __init__(self, dimension: int = 384) -> None:
        self.turn = turn_into(dimension)
        self.asked: list[list[str]] = []

    def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        self.asked.append(list(texts))
        assert all(text.strip() for text in texts), "an endpoint refuses an empty text"
        found: list[list[float]] = (OnDevice().embed(texts) @ self.turn).tolist()
        return found


def embedder(store: Store, endpoint: Endpoint, site: Site = SITE, name: str = NAME) -> HostedEmbedder:
    """An embedder of the site on a calibrated space; the endpoint forgets that it was calibrated."""
    with store.transaction() as session:
        site_applied(session, site)
    space = open_space(name, endpoint, store)
    endpoint.asked.clear()
    return HostedEmbedder(space, endpoint, store, site)


def stored(store: Store) -> int:
    with store.transaction() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(EmbeddingRow)) or 0


# The space


def test_a_space_is_calibrated_at_its_first_use_and_read_ever_after(store: Store) -> None:
    endpoint = Endpoint()
    space = open_space(NAME, endpoint, store)
    assert endpoint.asked == [calibration_set().texts]
    assert (space.name, space.dimension, space.related, space.repeat) == (NAME, 384, 0.24, 0.72)
    assert space.calibration == calibration_set().version
    assert open_space(NAME, endpoint, store) == space
    assert len(endpoint.asked) == 1


def test_a_changed_calibration_set_has_the_space_calibrated_anew(store: Store) -> None:
    with store.transaction() as session:
        keep_space(session, name=NAME, dimension=384, related=0.5, repeat=0.9, calibration="of last year")
    space = open_space(NAME, Endpoint(), store)
    assert (space.related, space.repeat, space.calibration) == (0.24, 0.72, calibration_set().version)
    assert open_space(NAME, Endpoint(), store) == space


def test_a_space_whose_vectors_have_another_dimension_now_is_refused_and_stays(store: Store) -> None:
    """Someone put another model behind the same name: the vectors that are stored would be compared with others."""
    with store.transaction() as session:
        keep_space(session, name=NAME, dimension=512, related=0.5, repeat=0.9, calibration="of last year")
    with pytest.raises(Permanent, match=r"'simulated/model@384': vectors of 384 numbers came, the stored ones have 512"):
        open_space(NAME, Endpoint(), store)
    with store.transaction() as session:
        assert session.get_one(EmbeddingSpaceRow, NAME).related == 0.5


def test_two_processes_that_calibrate_at_once_both_get_the_space(store: Store) -> None:
    together = Barrier(2, timeout=30)

    class Together(Endpoint):
        def __call__(self, texts: Sequence[str]) -> list[list[float]]:
            together.wait()  # both have looked, and found no space
            return super().__call__(texts)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: open_space(NAME, Together(), store), range(2))
    assert first == second
    with store.transaction() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(EmbeddingSpaceRow)) == 1


# The vectors


def test_a_text_is_asked_once_and_has_the_same_vector_ever_after(store: Store) -> None:
    endpoint = Endpoint()
    ours = embedder(store, endpoint)
    first = ours.embed(["moka pot", "heat pump", "moka pot"])
    assert endpoint.asked == [["moka pot", "heat pump"]]
    assert (first.shape, first.dtype) == ((3, 384), np.float32)
    assert np.allclose(np.linalg.norm(first, axis=1), 1, atol=1e-6)

    again = embedder(store, endpoint).embed(["solar panel", "heat pump", "moka pot"])
    assert endpoint.asked == [["solar panel"]], "another process asks what is new only"
    assert np.array_equal(again[1:], first[1::-1]), "to the last bit, so that a re-run finds the same clusters"


WORDS = st.sampled_from(["moka pot", "heat pump", "コーヒー豆", "☕", "Moka Pot", "a" * 300, "", " ", "\n"])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(WORDS, max_size=12))
def test_any_list_of_texts_has_its_vectors_in_order_whatever_was_stored_before(store: Store, texts: list[str]) -> None:
    """Examples share the database: what is stored grows from one to the next."""
    endpoint = Endpoint()
    before = stored(store)
    vectors = embedder(store, endpoint).embed(texts)
    alone = OnDevice().embed(texts) @ (endpoint.turn / 3)
    assert vectors.shape == (len(texts), 384)
    assert np.allclose(vectors, alone, atol=1e-5), "each text has its own vector, an empty one the zero vector"
    asked = [text for part in endpoint.asked for text in part]
    assert len(asked) == len(set(asked)) == stored(store) - before
    assert set(asked) <= set(texts)


def test_two_sites_and_two_spaces_never_share_a_vector(store: Store) -> None:
    other = SITE.model_copy(update={"slug": "other"})
    small, large = Endpoint(), Endpoint(512)
    embedders = [embedder(store, small), embedder(store, small, site=other), embedder(store, large, name="simulated/model@512")]
    shapes = [each.embed(["moka pot"]).shape for each in embedders]
    assert shapes == [(1, 384), (1, 384), (1, 512)]
    assert (small.asked, large.asked) == ([["moka pot"], ["moka pot"]], [["moka pot"]])
    assert stored(store) == 3


def test_many_texts_go_out_in_requests_that_an_endpoint_takes(store: Store) -> None:
    endpoint = Endpoint()
    ours = embedder(store, endpoint)
    ours.embed([f"phrase {number}" for number in range(2050)])
    assert [len(part) for part in endpoint.asked] == [2048, 2]
    endpoint.asked.clear()
    ours.embed([f"{number} " + "é" * 60_000 for number in range(3)])
    assert [len(part) for part in endpoint.asked] == [2, 1], "at most 250,000 bytes, which are never fewer than tokens"
    assert stored(store) == 2053


def test_what_was_paid_before_an_error_is_not_asked_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosted_embeddings, "MOST_TEXTS", 2)

    class Failing(Endpoint):
        def __call__(self, texts: Sequence[str]) -> list[list[float]]:
            if "heat pump" in texts:
                raise Transient("no answer within 30 s")
            return super().__call__(texts)

    texts = ["moka pot", "espresso", "heat pump", "solar panel"]
    endpoint = Failing()
    with pytest.raises(Transient):
        embedder(store, endpoint).embed(texts)
    assert stored(store) == 2
    well = Endpoint()
    embedder(store, well).embed(texts)
    assert well.asked == [["heat pump", "solar panel"]]


def refused(store: Store, answer: list[list[float]] | NDArray[np.float64], *texts: str) -> str:
    """What is said about this answer. Nothing of it may be kept."""
    ours = HostedEmbedder(embedder(store, Endpoint()).space, lambda _: answer, store, SITE)
    with pytest.raises(Permanent) as caught:
        ours.embed(texts)
    assert stored(store) == 0
    return str(caught.value)


def test_vectors_that_cannot_be_right_are_refused_and_not_kept(store: Store) -> None:
    name = "embeddings 'simulated/model@384': "
    assert refused(store, np.ones((1, 512)), "a") == (
        f"{name}vectors of 512 numbers came, the stored ones have 384; another model or dimension needs a name of its own"
    )
    assert refused(store, [[1.0] * 384], "a", "b") == f"{name}1 vectors came for 2 texts"
    assert refused(store, [[1.0] * 384, [1.0] * 100], "a", "b") == f"{name}vectors of 100, 384 numbers came in one answer"
    assert refused(store, [[]], "a") == f"{name}vectors of 0 numbers came in one answer"
    assert refused(store, [[float("nan")] * 384], "a") == f"{name}a vector came with numbers that are none"


# Answers of no use, at a real endpoint and in the ledger


class Asking:
    """Asks for the vectors of two texts in runs of their own, and counts what each run paid."""

    def __init__(self, exchange: Callable[..., Exchange], scope: Scope, simulator: OpenAISimulator) -> None:
        self.simulator = simulator
        self._exchange, self._scope = exchange, scope

    def run(self, name: str) -> tuple[NDArray[np.float32] | str, int]:
        """The vectors or the error of run `name`, and the answers that it paid."""
        model = OpenAIEmbeddings(key=SecretStr(KEY), base_url=self.simulator.base_url, model="text-embedding-3-small", dimension=8)
        run = self._exchange(routes=OneRoute(model), tries=4)
        try:
            return ask_for_vectors(run.gateway(replace(self._scope, run_id=name)), 8, ["tides", "ropes"]), run.tally.paid
        except Permanent as error:
            return str(error), run.tally.paid


@pytest.fixture
def asking(exchange: Callable[..., Exchange], scope: Scope, simulator: OpenAISimulator) -> Asking:
    return Asking(exchange, scope, simulator)


@pytest.mark.parametrize("kind", ["other-answer", "incomplete", "empty"])
def test_one_answer_of_no_use_is_booked_and_asked_for_once_more(asking: Asking, kind: str) -> None:
    asking.simulator.fail(kind)
    vectors, paid = asking.run("first")
    assert isinstance(vectors, np.ndarray)
    assert (vectors.shape, paid, asking.simulator.count) == ((2, 8), 2, 2), "both bills are in the ledger"
    again, paid = asking.run("first")
    assert paid == 0, "a retry of the run replays both"
    assert np.array_equal(again, vectors)


def test_an_endpoint_that_gives_nothing_of_use_is_asked_once_a_run_and_is_never_given_up_for_good(asking: Asking) -> None:
    asking.simulator.fail("other-answer", times=3)
    said = (
        "text-embedding-3-small gave no vectors that can be used: a vector of 4 numbers came, expected 8; PRESSROOM_MODELS names the model"
    )
    assert [asking.run(name) for name in ("first", "first", "second")] == [
        (f"{said} and its dimension", 2),
        (f"{said} and its dimension", 0),
        (f"{said} and its dimension", 1),
    ]
    vectors, paid = asking.run("third")
    assert isinstance(vectors, np.ndarray), "the endpoint is well again, and one bad answer blocked every run"
    assert paid == 1


class OtherServer(OpenAISimulator):
    """A compatible server that knows lists of numbers only, and cannot count tokens."""

    def _written(self, asked: Asked, kind: str) -> Worked:
        worked = super()._written(replace(asked, body=asked.body | {"encoding_format": "float"}), kind)
        worked.body["usage"]["prompt_tokens"] = 10**12
        return worked


def test_lists_of_numbers_are_vectors_too_and_a_nonsense_usage_loses_no_bill(asking: Asking, store: Store) -> None:
    in_base64, _ = asking.run("first")
    with store.transaction() as session:
        session.execute(sa.delete(ModelCallRow))
    with OtherServer() as asking.simulator:
        as_numbers, paid = asking.run("second")
        assert asking.run("third")[1] == 0
    assert np.array_equal(as_numbers, in_base64)
    assert paid == 1
    with store.transaction() as session:
        (row,) = session.scalars(sa.select(ModelCallRow))
    assert (row.status, row.input_tokens, row.cost_usd) == ("answered", 0, None), "unknown, and never free"


@pytest.mark.parametrize(
    "embedding", [None, 3, {"a": 1}, ["x"] * 8, [[1.0] * 8], [1.0] * 7, [1e300] * 8, [None] * 8, [10**400] * 8, "%", "AA=="]
)
def test_what_is_no_vector_is_one_line(embedding: object) -> None:
    model = OpenAIEmbeddings(key=SecretStr(KEY), base_url="http://127.0.0.1:9/v1", model="m", dimension=8)
    outcome, text, problem = model.read({"data": [{"index": 0, "embedding": embedding}]})  # type: ignore[dict-item]
    assert (outcome, text) == ("invalid", "")
    assert problem
    assert "\n" not in problem


def test_a_dimension_that_the_endpoint_refuses_names_the_table_of_models(exchange: Callable[..., Exchange], scope: Scope) -> None:
    with OpenAISimulator() as simulator:
        model = OpenAIEmbeddings(key=SecretStr(KEY), base_url=simulator.base_url, model="text-embedding-3-small", dimension=9999)
        with pytest.raises(Permanent, match=r"check PRESSROOM_MODELS$"):
            ask_for_vectors(exchange(routes=OneRoute(model)).gateway(scope), 9999, ["tides"])


# The desks on a hosted space


def test_keywords_are_clustered_in_a_hosted_space_and_a_second_time_for_nothing(store: Store) -> None:
    endpoint = Endpoint()
    hosted = embedder(store, endpoint)
    phrases = ["moka pot", "moka pot recipe", "how to use a moka pot", "solar panel cost", "solar panel price", "are solar panels worth it"]
    keywords = [Keyword(phrase=phrase, normalised=phrase) for phrase in phrases]
    clusters = cluster_keywords(keywords, scope="s", embedder=hosted)
    assert clusters == cluster_keywords(keywords, scope="s"), "the same angles give the same clusters"
    assert len(endpoint.asked) == 1
    assert cluster_keywords(keywords, scope="s", embedder=embedder(store, endpoint)) == clusters
    assert endpoint.asked == []


def test_the_memory_of_ideas_judges_by_the_threshold_of_its_space(store: Store) -> None:
    endpoint = Endpoint()
    memory = TopicMemory([an_idea(1), an_idea(2)], embedder(store, endpoint))
    assert memory.repeat == 0.72
    assert len(endpoint.asked) == 1, "the whole memory in one request"
    (nearest,) = memory.nearest(memory.vectors_of([(an_idea(2).title, an_idea(2).description)]))
    assert (nearest.id, nearest.similarity) == (an_idea(2).id, 1.0)
    assert len(endpoint.asked) == 1
