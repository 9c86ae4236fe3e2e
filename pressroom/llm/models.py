"""The models by purpose: models.yaml, changed by a file of one's own, made into providers."""

import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, SecretStr, StringConstraints, ValidationError, field_validator, model_validator

from pressroom.errors import BadInput
from pressroom.llm.offline_provider import OfflineProvider
from pressroom.llm.openai_embeddings import OpenAIEmbeddings
from pressroom.llm.openai_provider import NO_KEY, OpenAIProvider
from pressroom.llm.prices import price_table
from pressroom.llm.types import Provider, Purpose, Route, TablePurpose
from pressroom.llm.urls import is_url
from pressroom.records import Record
from pressroom.settings import Settings
from pressroom.wording import first_problem, keys_of

SHIPPED = Path(__file__).with_name("models.yaml")
MAKES = {"offline": "writes texts", "on-device": "makes embeddings"}  # on this machine
BUILT_IN = ("openai", *MAKES)
# The cheapest of OpenAI's; 512 of its 1,536 numbers keep most of its meaning at a third of the room.
EMBEDDING_MODEL, EMBEDDING_DIMENSION = "text-embedding-3-small", 512
EXPECTED = {
    "base_url": "a URL such as http://127.0.0.1:11434/v1",
    "model": "the model's name",
    "provider": "the provider's name",
    "key": "the name of an environment variable",
    "temperature": "a number, 0 to 2",
}
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Endpoint(Record):
    """An OpenAI-compatible endpoint. `key` names the environment variable that holds its key."""

    base_url: str
    api: Literal["responses", "chat"] = "chat"
    key: str | None = None

    @field_validator("base_url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if not is_url(value):
            raise ValueError(f"expected {EXPECTED['base_url']}")
        return value

    @field_validator("key")
    @classmethod
    def _is_name(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", value):
            raise ValueError("expected the name of an environment variable, such as GROQ_API_KEY, and not the key itself")
        return value


class Model(Record):
    """One model at one provider; None: the model of the settings."""

    model: Name | None = None
    provider: Name = "openai"
    reasoning: bool | None = None
    background: bool = False


class PurposeModel(Model):
    """The model of a purpose, what its requests leave open, and who stands in for it."""

    temperature: float | None = Field(default=None, ge=0, le=2)
    max_output_tokens: int | None = Field(default=None, ge=1, le=1_000_000)  # no model writes more in one answer
    timeout_s: float | None = Field(default=None, gt=0, le=86_400)
    # Of an embedding: the calibration set tells subjects apart by 8 numbers, not by 4, and would say so when they are paid for.
    dimension: int | None = Field(default=None, ge=8, le=16_384)
    fallback: tuple[Model, ...] = ()


class ModelTable(Record):
    providers: dict[str, Endpoint] = Field(default_factory=dict)
    purposes: dict[TablePurpose, PurposeModel] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _knows_its_providers(self) -> "ModelTable":
        if taken := sorted(self.providers.keys() & set(BUILT_IN)):
            raise ValueError(f"the provider name {taken[0]} is taken; {', '.join(BUILT_IN)} are built in")
        if not all(name.strip() for name in self.providers):
            raise ValueError("a provider has no name")
        for purpose, entry in self.purposes.items():
            for model in (entry, *entry.fallback):
                if model.provider not in (*BUILT_IN, *self.providers):
                    known = ", ".join((*BUILT_IN, *self.providers))
                    raise ValueError(f"purpose {purpose} names the provider {model.provider}, expected one of {known}")
                if model.provider in self.providers and model.model is None:
                    raise ValueError(f"purpose {purpose} names the provider {model.provider} without a model")
                fits = {"embedding": "on-device", "image": "openai"}.get(purpose, "offline")
                if model.provider in MAKES and model.provider != fits:
                    raise ValueError(f"purpose {purpose}: {model.provider} {MAKES[model.provider]} only; use {fits}")
            if purpose != "embedding" and entry.dimension:
                raise ValueError(f"purpose {purpose}: a dimension is of vectors; only embedding has one")
            if purpose == "embedding" and entry.fallback:
                raise ValueError("purpose embedding: vectors of two models are never compared, so none can be the fallback of another")
        return self


class ModelRoutes:
    """The routes of one run: what `Exchange` asks. Providers are made once each, and only those that some purpose can use."""

    def __init__(self, table: ModelTable, settings: Settings, *, chosen_by: str = "PRESSROOM_MODELS") -> None:
        """`chosen_by`: where the models of the table are named, for messages.

        Raises BadInput when a key or a URL cannot be one, or a key is missing.
        """
        self._chosen_by = chosen_by
        self._table = table
        self._settings = settings
        self._made: dict[tuple[object, ...], Provider] = {}
        self._routes: dict[Purpose, Route] = {purpose: self._route(purpose) for purpose in get_args(TablePurpose)}

    def of(self, purpose: Purpose) -> Route:
        return self._routes[purpose]

    def providers(self) -> tuple[Provider, ...]:
        return tuple(self._made.values())

    def _route(self, purpose: TablePurpose) -> Route:
        entry = self._table.purposes.get(purpose, PurposeModel())
        models = [model for model in (entry, *entry.fallback) if self._is_hosted(model) or model.provider == "offline"]
        if not any(map(self._is_hosted, models)):
            return Route((self._offline,))
        if purpose == "embedding":  # its vectors are compared with none of another model: nobody can stand in
            return Route((self._embeddings(entry),), timeout_s=entry.timeout_s)
        providers = tuple(dict.fromkeys(map(self._provider, models)))
        return Route(providers, entry.temperature, entry.max_output_tokens, entry.timeout_s)

    def _is_hosted(self, model: Model) -> bool:
        """Whether it is asked at an endpoint: `openai` as the settings say, others unless the settings say offline."""
        if model.provider == "openai":
            return self._settings.llm_kind == "openai"
        return self._settings.llm != "offline" and model.provider in self._table.providers

    @cached_property
    def _offline(self) -> Provider:
        return self._made.setdefault(("offline",), OfflineProvider())

    def _provider(self, model: Model) -> Provider:
        if model.provider == "offline":
            return self._offline
        name = model.model or self._settings.llm_model
        key = (model.provider, name, model.reasoning, model.background)
        if key not in self._made:
            url, secret, api = self._endpoint(model.provider)
            if model.background and api != "responses":
                raise BadInput(f"PRESSROOM_MODELS: {name} is to answer in the background, which the {api} API of {model.provider} has not")
            self._made[key] = OpenAIProvider(
                key=secret,
                base_url=url,
                api=api,
                model=name,
                name=model.provider,
                reasons=model.reasoning,
                background=model.background,
                prices=self._settings.prices,
                chosen_by=self._chosen_by if model.model else "PRESSROOM_LLM_MODEL",
            )
        return self._made[key]

    def _embeddings(self, entry: PurposeModel) -> OpenAIEmbeddings:
        url, secret, _ = self._endpoint(entry.provider)
        dimension, prices = entry.dimension or EMBEDDING_DIMENSION, self._settings.prices
        name = entry.model or EMBEDDING_MODEL
        made = OpenAIEmbeddings(key=secret, base_url=url, model=name, name=entry.provider, dimension=dimension, prices=prices)
        self._made["embedding", name] = made
        return made

    def _endpoint(self, provider: str) -> tuple[str, SecretStr, Literal["responses", "chat"]]:
        if provider == "openai":
            return self._settings.openai_base_url, self._settings.openai_api_key or NO_KEY, self._settings.llm_api
        endpoint = self._table.providers[provider]
        if endpoint.key is None:
            return endpoint.base_url, NO_KEY, endpoint.api
        secret = _variable(endpoint.key)
        if not secret:
            raise BadInput(f"PRESSROOM_MODELS: the provider {provider} needs its key in {endpoint.key}, which is not set")
        return endpoint.base_url, SecretStr(secret), endpoint.api


class OneRoute:
    """The same providers for every purpose: the first answers, the others stand in."""

    def __init__(self, *providers: Provider) -> None:
        self._route = Route(providers)

    def of(self, purpose: Purpose) -> Route:
        return self._route

    def providers(self) -> tuple[Provider, ...]:
        return self._route.providers


def model_routes(settings: Settings) -> ModelRoutes:
    """The routes that the settings ask for. Raises BadInput, naming file and entry, when a table is wrong or a key is missing."""
    price_table(settings.prices)  # a bad one is said now, not when the first answer is paid
    return ModelRoutes(model_table(settings.models), settings)


def model_table(path: Path | None = None) -> ModelTable:
    """The shipped table, changed by the one at `path`: a purpose's keys are changed one by one, a provider is added or replaced."""
    shipped, own = _read(SHIPPED), _read(path) if path else {}
    purposes = dict(shipped["purposes"])
    for purpose, entry in own.get("purposes", {}).items():
        own_entry = {} if entry is None else entry
        purposes[purpose] = {**purposes.get(purpose, {}), **own_entry} if isinstance(own_entry, Mapping) else own_entry
    merged = {**shipped, **own, "purposes": purposes}
    try:
        return ModelTable.model_validate(merged)
    except ValidationError as error:
        raise BadInput(f"{path or SHIPPED}: {first_problem(error, expected=EXPECTED, known=keys_of(ModelTable))}") from None


def _variable(name: str) -> str | None:
    """A variable as the settings find theirs: in the environment, or else in `.env`."""
    from dotenv import dotenv_values

    file = Settings.model_config.get("env_file")
    return os.environ.get(name) or (dotenv_values(str(file)).get(name) if file else None)


def _read(path: Path) -> dict[str, Any]:
    """The keys of a table of which something is said. An empty file changes nothing, as an empty key does not."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen: set[str] = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in seen:  # the last would win, and nobody be told
                    raise yaml.constructor.ConstructorError(None, None, f"{key.value} is there twice", key.start_mark)
                seen.add(str(key.value))
            return super().construct_mapping(node, deep)

    try:
        found = yaml.load(path.read_text(encoding="utf-8-sig"), Loader)
    except OSError as error:
        raise BadInput(f"PRESSROOM_MODELS: {path} cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, or a date that is none
        mark = getattr(error, "problem_mark", None)
        why = error.problem if isinstance(error, yaml.constructor.ConstructorError) else "not YAML"
        raise BadInput(f"{path}{f', line {mark.line + 1}' if mark else ''}: {why}") from None
    said = {} if found is None else found
    if not isinstance(said, dict) or not isinstance(said.get("purposes") or {}, dict):
        raise BadInput(f"{path}: expected a mapping with `purposes` and `providers`")
    return {key: value for key, value in said.items() if value is not None}
