"""Every environment variable of the product, once. A missing or malformed one is a single clear line at start."""

import datetime as dt
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pressroom.errors import BadInput
from pressroom.records import Slug


class Settings(BaseSettings):
    """What the environment and `.env` say. An empty variable counts as unset."""

    model_config = SettingsConfigDict(
        env_prefix="PRESSROOM_", env_file=".env", env_ignore_empty=True, extra="ignore", populate_by_name=True
    )

    home: Path = Field(default=Path(".pressroom"), description="Folder for the embedded database and the local object store.")
    account: Slug = Field(default="default", description="Account that the command works for.")
    start_date: dt.date = Field(default=dt.date(2026, 1, 1), description="First day of the partitions.")
    database_url: SecretStr | None = Field(default=None, description="Your PostgreSQL; unset, an embedded one is started.")
    store_url: str | None = Field(default=None, description="Object store, file:///folder; unset, a folder under PRESSROOM_HOME.")
    llm: Literal["auto", "openai", "offline"] = Field(
        default="auto", description="Who writes; auto: openai if its key is set, else offline."
    )
    llm_api: Literal["responses", "chat"] = Field(default="responses", description="Protocol; most compatible servers speak chat.")
    llm_model: str = Field(default="gpt-4.1-mini", description="Model of every purpose that the table gives none.")
    models: Path | None = Field(default=None, description="Your table of models by purpose, fallbacks and other endpoints (YAML).")
    prices: Path | None = Field(default=None, description="Your price table, beside the shipped one (YAML).")
    llm_max_in_flight: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=15, description="Most calls in flight at once to one model, by all runs together."
    )
    llm_rpm: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Most calls a minute to one model, by all runs together; unset, what the endpoint says it has left."
    )
    llm_tpm: Annotated[int, Field(ge=1)] | None = Field(default=None, description="As PRESSROOM_LLM_RPM, in tokens.")
    run_limit_usd: Decimal | None = Field(
        default=None, gt=0, description="Most that one run may spend on models; unset, 5 for models with a known price."
    )
    item_limit_usd: Decimal = Field(
        default=Decimal("0.5"), gt=0, description="Most that one idea set or draft may cost, its refinements included."
    )
    openai_api_key: SecretStr | None = Field(default=None, validation_alias="OPENAI_API_KEY", description="Key of the model endpoint.")
    openai_base_url: str = Field(
        default="https://api.openai.com/v1", validation_alias="OPENAI_BASE_URL", description="Any OpenAI-compatible endpoint."
    )
    dagster_home: Path | None = Field(default=None, validation_alias="DAGSTER_HOME", description="Unset, ./dagster.yaml is used.")

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value and urlsplit(value.get_secret_value()).scheme.split("+")[0] not in ("postgresql", "postgres"):
            raise ValueError("must start with postgresql://")
        return value

    @field_validator("store_url")
    @classmethod
    def _is_store(cls, value: str | None) -> str | None:
        if value and not value.startswith("file:///"):
            raise ValueError("must start with file:/// (an absolute folder)")
        return value

    @cached_property
    def llm_kind(self) -> Literal["openai", "offline"]:
        """Who writes, with `auto` decided. Raises BadInput when OpenAI is asked for and has no key."""
        if self.llm == "openai" and not self.openai_api_key:
            raise BadInput("PRESSROOM_LLM=openai needs OPENAI_API_KEY: set it, or use PRESSROOM_LLM=offline")
        if self.llm == "auto":
            return "openai" if self.openai_api_key else "offline"
        return self.llm

    @property
    def objects_folder(self) -> Path:
        return Path(urlsplit(self.store_url).path) if self.store_url else self.home.absolute() / "objects"


def load_settings(**overrides: Any) -> Settings:
    """The settings of this process. Raises BadInput with one line that names the first bad variable."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        variable = name if name.isupper() else f"PRESSROOM_{name.upper()}"
        raise BadInput(f"{variable}: {first['msg'].removeprefix('Value error, ')}") from None
