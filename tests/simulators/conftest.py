"""A running simulated endpoint, and the real SDK before it."""

from collections.abc import Iterator

import pytest
from openai import OpenAI

from simulators.openai import OpenAISimulator


@pytest.fixture
def simulator() -> Iterator[OpenAISimulator]:
    with OpenAISimulator() as running:
        yield running


@pytest.fixture
def client(simulator: OpenAISimulator) -> OpenAI:
    """The SDK without its own retries: a test counts what it sends."""
    return OpenAI(api_key="sk-test", base_url=simulator.base_url, max_retries=0)
