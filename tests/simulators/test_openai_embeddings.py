"""Embeddings from the simulated endpoint: near where the texts are, and refused where the real one refuses."""

from typing import Any

import numpy as np
import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from simulators.nearness import near
from simulators.openai import OpenAISimulator
from simulators.openai_embeddings import unit

TEXTS = ["how to repair a bicycle tyre", "fix a flat bike tire", "the best soup for a cold winter evening"]
SMALL, LARGE = "text-embedding-3-small", "text-embedding-3-large"


def vectors(client: OpenAI, model: str, texts: str | list[str], **more: Any) -> "np.ndarray[Any, Any]":
    return np.array([row.embedding for row in client.embeddings.create(model=model, input=texts, **more).data])


@pytest.mark.parametrize(("model", "dimension"), [(SMALL, 1536), (LARGE, 3072)])
def test_similar_texts_are_near_and_every_vector_has_length_one(client: OpenAI, model: str, dimension: int) -> None:
    found = vectors(client, model, TEXTS)
    assert found.shape == (3, dimension)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    nearness = found @ found.T
    assert nearness[0, 1] > nearness[0, 2] + 0.2
    own = unit(near(TEXTS))
    assert nearness == pytest.approx(own @ own.T, abs=1e-4), "what is calibrated on the word pieces holds here"


def test_the_vectors_of_two_models_have_nothing_to_do_with_each_other(client: OpenAI) -> None:
    small, large = vectors(client, SMALL, TEXTS, dimensions=256), vectors(client, LARGE, TEXTS, dimensions=256)
    for one, other in ((small, large), (small, unit(near(TEXTS))), (large, unit(near(TEXTS)))):
        assert np.abs(np.sum(one * other, axis=1)).max() < 0.4, "a mixture of kinds would not be noticed"


def test_fewer_dimensions_are_the_beginning_of_the_whole_at_length_one(client: OpenAI) -> None:
    whole, short = vectors(client, SMALL, TEXTS), vectors(client, SMALL, TEXTS, dimensions=512)
    assert short.shape == (3, 512)
    beginning = whole[:, :512] / np.linalg.norm(whole[:, :512], axis=1, keepdims=True)
    assert short == pytest.approx(beginning, abs=1e-6)


def test_numbers_and_base64_say_the_same_and_so_does_a_second_request(client: OpenAI) -> None:
    # Without a format the SDK asks for base64 and decodes it.
    assert vectors(client, SMALL, TEXTS) == pytest.approx(vectors(client, SMALL, TEXTS, encoding_format="float"), abs=1e-7)
    assert (vectors(client, SMALL, TEXTS[1]) == vectors(client, SMALL, TEXTS)[1]).all()


def test_it_says_what_was_used_and_counts_what_is_paid_twice(simulator: OpenAISimulator, client: OpenAI) -> None:
    usage = client.embeddings.create(model=SMALL, input=["four", "letters."]).usage
    assert (usage.prompt_tokens, usage.total_tokens) == (3, 3)
    client.embeddings.create(model=SMALL, input=["four", "letters."])
    assert (simulator.count, simulator.paid_twice) == (2, 1)
    assert [asked.api for asked in simulator.requests] == ["embeddings"] * 2
    assert SMALL in [model.id for model in client.models.list()]


def test_2048_texts_are_taken_at_once_and_a_text_without_words_too(client: OpenAI) -> None:
    found = vectors(client, SMALL, [f"keyword {number}" for number in range(2047)] + ["\u200b"], dimensions=64)
    assert found.shape == (2048, 64)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("change", "param", "says"),
    [
        ({"input": []}, "input", "empty array"),
        ({"input": ["a"] * 2049}, "input", "maximum length 2048, but got an array with length 2049"),
        ({"input": ["a", ""]}, "input", "'input\\[1\\]': input cannot be an empty string"),
        ({"input": "word " * 8000}, "input", "maximum input length is 8192 tokens"),
        ({"input": ["word " * 6000] * 41}, None, "Requested 307500 tokens, max 300000 tokens per request"),
        ({"dimensions": 1537}, "dimensions", "Must be between 1 and 1536"),
        ({"encoding_format": "int8"}, "encoding_format", "'float' and 'base64'"),
        ({"extra_body": {"temperature": 1}}, "temperature", "Unknown parameter"),
    ],
)
def test_what_the_real_endpoint_refuses_is_refused(client: OpenAI, change: dict[str, Any], param: str | None, says: str) -> None:
    with pytest.raises(BadRequestError, match=says) as refused:
        client.embeddings.create(**{"model": SMALL, "input": "tides"} | change)
    assert refused.value.param == param


def test_a_model_for_texts_makes_no_vectors(client: OpenAI) -> None:
    with pytest.raises(NotFoundError):
        client.embeddings.create(model="gpt-4.1-mini", input="tides")


def test_a_failure_that_vectors_cannot_have_waits_for_a_text(simulator: OpenAISimulator, client: OpenAI) -> None:
    simulator.fail("refusal")
    assert vectors(client, SMALL, TEXTS).shape == (3, 1536)
    assert client.responses.create(model="gpt-4.1-mini", input="tides").output[0].content[0].type == "refusal"  # type: ignore[union-attr]


def test_vectors_can_lack_be_too_short_or_come_without_a_bill(simulator: OpenAISimulator, client: OpenAI) -> None:
    for kind in ("empty", "incomplete", "other-answer", "wrong-usage"):
        simulator.fail(kind, containing="soup")
    simulator.fail("500")
    client = client.with_options(max_retries=1)
    # The SDK itself raises where there is not one vector.
    with pytest.raises(ValueError, match="No embedding data"):
        client.embeddings.create(model=SMALL, input=TEXTS)
    assert vectors(client, SMALL, TEXTS).shape == (2, 1536)
    assert vectors(client, SMALL, TEXTS).shape == (3, 768)
    assert client.embeddings.create(model=SMALL, input=TEXTS).usage.prompt_tokens == -7
    assert vectors(client, SMALL, TEXTS[:2]).shape == (2, 1536), "the 500 was retried"
