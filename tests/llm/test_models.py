"""The table of models by purpose, and what a person writes beside it."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import SecretStr

from pressroom.errors import BadInput
from pressroom.llm.models import ModelRoutes, model_routes, model_table
from pressroom.llm.openai_embeddings import OpenAIEmbeddings
from pressroom.llm.openai_provider import OpenAIProvider
from pressroom.llm.prices import price_of
from pressroom.llm.types import TablePurpose
from pressroom.settings import Settings

KEY = SecretStr("sk-test")
ROOT = Path(__file__).parents[2]


def routes(table: str, tmp_path: Path, **settings: Any) -> ModelRoutes:
    path = tmp_path / "models.yaml"
    path.write_text(table, encoding="utf-8")
    return model_routes(Settings(llm="openai", openai_api_key=KEY, models=path, **settings))


def served_by(found: ModelRoutes, purpose: TablePurpose) -> list[tuple[str, str]]:
    return [(provider.name, provider.model) for provider in found.of(purpose).providers]


def test_without_a_table_every_purpose_has_the_settings_model_and_vectors_are_made_here() -> None:
    found = model_routes(Settings(llm="openai", openai_api_key=KEY, llm_model="gpt-4.1"))
    for purpose in get_args(TablePurpose):
        expected = {"embedding": ("offline", "offline"), "image": ("openai", "gpt-image-2")}.get(purpose, ("openai", "gpt-4.1"))
        assert served_by(found, purpose) == [expected]
    assert (found.of("idea").temperature, found.of("draft").temperature) == (0.8, 0.7)


def test_without_a_key_everything_is_made_on_this_machine() -> None:
    found = model_routes(Settings(llm="offline"))
    assert {name for purpose in get_args(TablePurpose) for name, _ in served_by(found, purpose)} == {"offline"}


def test_a_purpose_gets_its_own_model_with_those_that_stand_in_and_leaves_the_others(tmp_path: Path) -> None:
    table = """
        providers: {local: {base_url: "http://127.0.0.1:11434/v1"}}
        purposes: {draft: {model: gpt-5-mini, timeout_s: 90, fallback: [{model: gpt-4.1-mini}, {provider: local, model: llama3.3}]}}
    """
    found = routes(table, tmp_path)
    assert served_by(found, "draft") == [("openai", "gpt-5-mini"), ("openai", "gpt-4.1-mini"), ("local", "llama3.3")]
    assert (found.of("draft").timeout_s, found.of("draft").temperature) == (90, 0.7), "what the file does not name stays"
    assert served_by(found, "idea") == [("openai", "gpt-4.1-mini")]
    local = found.of("draft").providers[2]
    assert isinstance(local, OpenAIProvider)
    assert (local.base_url, local.api) == ("http://127.0.0.1:11434/v1", "chat")
    assert local.lane == "127.0.0.1:11434/llama3.3", "another endpoint has a pace of its own"


def test_an_endpoint_takes_its_key_from_the_variable_that_the_table_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = """
        providers: {house: {base_url: "https://models.example/v1", key: HOUSE_KEY}}
        purposes: {idea: {provider: house, model: large}}
    """
    with pytest.raises(BadInput, match="the provider house needs its key in HOUSE_KEY, which is not set"):
        routes(table, tmp_path)
    monkeypatch.setenv("HOUSE_KEY", "sk-house")
    provider = routes(table, tmp_path).of("idea").providers[0]
    assert isinstance(provider, OpenAIProvider)
    assert provider.key.get_secret_value() == "sk-house"


def test_two_purposes_with_the_same_model_share_one_client(tmp_path: Path) -> None:
    found = routes("purposes: {}", tmp_path)
    assert found.of("idea").providers[0] is found.of("draft").providers[0]


def test_vectors_of_an_endpoint_name_their_space_by_all_that_decides_them(tmp_path: Path) -> None:
    found = routes("purposes: {embedding: {provider: openai, model: text-embedding-3-large, dimension: 1024}}", tmp_path)
    (provider,) = found.of("embedding").providers
    assert isinstance(provider, OpenAIEmbeddings)
    assert provider.space == "openai/text-embedding-3-large@1024"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("purposes: {poem: {model: x}}", "purposes.poem is wrong: expected idea, draft"),
        ("purposes: {draft: {modell: x}}", "purposes.draft.modell: unknown key; known are model, provider, "),
        ("purposes: {draft: {temperature: 3}}", "purposes.draft.temperature is wrong: expected a number, 0 to 2"),
        ("purposes: {draft: gpt-5}", "purposes.draft is wrong: expected a mapping of keys to values"),
        ("purposes: {draft: {provider: nobody, model: x}}", "purpose draft names the provider nobody, expected one of openai"),
        (
            "{providers: {a: {base_url: 'http://a/v1'}}, purposes: {draft: {provider: a}}}",
            "purpose draft names the provider a without a model",
        ),
        ("providers: {openai: {base_url: 'http://a/v1'}}", "the provider name openai is taken"),
        ("providers: {a: {api: chat}}", "providers.a.base_url is missing: expected a URL such as"),
        ("providers: {a: {base_url: 'http://127.0.0.1:99999/v1'}}", "providers.a.base_url: expected a URL such as"),
        ("providers: {a: {base_url: 'http://[::1/v1'}}", "providers.a.base_url: expected a URL such as"),
        ("purposes: {draft: {fallback: gpt-4.1}}", "purposes.draft.fallback is wrong: expected a list"),
        (
            "purposes: {draft: {fallback: [{modell: x}]}}",
            "purposes.draft.fallback.0.modell: unknown key; known are model, provider, reasoning",
        ),
        ("purposes: {draft: {timeout_s: 0}}", "purposes.draft.timeout_s is wrong: expected more than 0"),
        ("purposes: {draft: {timeout_s: .inf}}", "purposes.draft.timeout_s is wrong: expected 86400 or less"),
        ("purposes: {draft: {timeout_s: .nan}}", "purposes.draft.timeout_s is wrong: expected "),
        (
            "purposes: {draft: {max_output_tokens: 99999999999999999999}}",
            "purposes.draft.max_output_tokens is wrong: expected 1000000 or less",
        ),
        ("purposes: {draft: {model: '  '}}", "purposes.draft.model is wrong: expected the model's name"),
        ("purposes: {draft: {provider: '  '}}", "purposes.draft.provider is wrong: expected the provider's name"),
        ("providers: {'': {base_url: 'http://a/v1'}}", "a provider has no name"),
        ("purposes: {draft: {dimension: 512}}", "purpose draft: a dimension is of vectors; only embedding has one"),
        ("purposes: {embedding: {provider: openai, dimension: 1}}", "purposes.embedding.dimension is wrong: expected 8 or more"),
        ("purposes: {embedding: {provider: openai, dimension: 100000}}", "purposes.embedding.dimension is wrong: expected 16384 or less"),
        ("purposes:\n  draft: {model: a}\n  idea: {model: b}\n  draft: {model: c}", "line 4: draft is there twice"),
        ("purposes: {draft: {model: a, model: b}}", "line 1: model is there twice"),
        ("providers: {local: {base_url: 'http://a/v1'}}\nproviders: {}", "line 2: providers is there twice"),
        ("purposes: {draft: !!python/name:os.system x}", "line 1: could not determine a constructor"),
        ("{[a]: 1}", "line 1: found unhashable key"),
        ("purposes: " + "[" * 5000, "not YAML"),
        ("fallbacks: {}", "fallbacks: unknown key; known are providers, purposes"),
        ("providers: {a: {base_url: 'http://a/v1', apy: chat}}", "providers.a.apy: unknown key; known are base_url, api, key"),
        ("purposes: {draft: {provider: on-device}}", "purpose draft: on-device makes embeddings only; use offline"),
        ("purposes: {embedding: {provider: offline}}", "purpose embedding: offline writes texts only; use on-device"),
        ("purposes: {image: {provider: offline}}", "purpose image: offline writes texts only; use openai"),
        ("purposes: {image: {fallback: [{provider: offline}]}}", "purpose image: offline writes texts only; use openai"),
        ("purposes: {image: {provider: on-device}}", "purpose image: on-device makes embeddings only; use openai"),
        ("purposes: {poem:}", "purposes.poem is wrong: expected idea, draft"),
        ("purposes: [1, 2]", "expected a mapping"),
        ("just words", "expected a mapping"),
        ("purposes: {draft: {model: [", "line 1: not YAML"),
    ],
)
def test_a_table_that_is_wrong_is_one_line_with_the_file_and_the_place(tmp_path: Path, table: str, message: str) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(table, encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        model_table(path)
    assert "models.yaml" in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "table", ["", "# nothing yet\n", "providers:", "purposes:", "providers:\npurposes:\n  draft:\n", "{}", "\ufeffpurposes: {}"]
)
def test_a_table_that_says_nothing_changes_nothing(tmp_path: Path, table: str) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(table, encoding="utf-8")
    assert model_table(path) == model_table()


@pytest.mark.parametrize("path", ["docs/gateway.md", "pressroom/llm/models.yaml"])
def test_the_examples_work_with_models_that_have_a_price_and_no_known_end(tmp_path: Path, path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    example = re.search(r"```yaml\n(providers:.*?)```|(#   providers:\n(?:#  [^\n]*\n)+)", text, re.DOTALL)
    assert example, "there is an example"
    found = routes((example[1] or example[2].replace("#   ", "")), tmp_path)
    named = {model for purpose in get_args(TablePurpose) for provider, model in served_by(found, purpose) if provider == "openai"}
    assert len(named) > 2
    for model in named - {Settings.model_fields["llm_model"].default}:
        price = price_of(model)
        assert price, f"{model} has no price"
        assert price.ends is None, f"{model} ends on {price.ends}: whoever copies the example is warned at once"


def test_a_table_that_is_not_there_is_one_line_too(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"PRESSROOM_MODELS: .*none\.yaml cannot be read"):
        model_table(tmp_path / "none.yaml")
