"""Every environment variable of the product, once. A missing or malformed one is a single clear line at start."""

import datetime as dt
import re
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pressroom.errors import BadInput
from pressroom.records import Slug
from pressroom.wording import complaint

# No room for a key, which people put before an "@" or behind a "?".
_FOLDER_URL = re.compile(r"file:///[^?#]*\Z")
_BUCKET_URL = re.compile(r"s3://[A-Za-z0-9][A-Za-z0-9.-]{1,61}[A-Za-z0-9](/(?!(.*/)?\.\.?(/|\Z))[^?#\\\x00-\x1f]*)?\Z")
_OPENAI = re.compile(r"https?://([^/?#]*@)?([a-z0-9-]+\.)*openai\.com(:\d+)?(/|\Z)", re.IGNORECASE)
_ENDPOINT = re.compile(r"https?://[A-Za-z0-9._\[\]:-]+/?\Z")


class Settings(BaseSettings):
    """What the environment and `.env` say. An empty variable counts as unset."""

    model_config = SettingsConfigDict(
        env_prefix="PRESSROOM_", env_file=".env", env_ignore_empty=True, extra="ignore", populate_by_name=True, allow_inf_nan=False
    )

    home: Path = Field(default=Path(".pressroom"), description="Folder for the embedded database and the local object store.")
    account: Slug = Field(default="default", description="Account that the command works for.")
    start_date: dt.date = Field(default=dt.date(2026, 1, 1), description="First day of the partitions.")
    database_url: SecretStr | None = Field(default=None, description="Your PostgreSQL; unset, an embedded one is started.")
    store_url: str | None = Field(
        default=None, description="Object store, file:///folder or s3://bucket/prefix; unset, a folder under PRESSROOM_HOME."
    )
    aws_endpoint_url_s3: str | None = Field(
        default=None, validation_alias="AWS_ENDPOINT_URL_S3", description="Any S3, as https://s3.us-west-004.backblazeb2.com; unset, AWS."
    )
    aws_region: str | None = Field(default=None, validation_alias="AWS_REGION", description="Of the bucket; unset, the endpoint's.")
    aws_access_key_id: SecretStr | None = Field(
        default=None, validation_alias="AWS_ACCESS_KEY_ID", description="Key of the bucket; unset, what the machine has."
    )
    aws_secret_access_key: SecretStr | None = Field(default=None, validation_alias="AWS_SECRET_ACCESS_KEY", description="Its secret half.")
    aws_session_token: SecretStr | None = Field(
        default=None, validation_alias="AWS_SESSION_TOKEN", description="Beside a key that is lent for some hours."
    )
    llm: Literal["auto", "openai", "offline"] = Field(
        default="auto", description="Who writes; auto: openai if its key or another endpoint is set, else offline."
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
    openai_api_key: SecretStr | None = Field(
        default=None, validation_alias="OPENAI_API_KEY", description="Key of the model endpoint; a server of your own may need none."
    )
    openai_base_url: str = Field(
        default="https://api.openai.com/v1", validation_alias="OPENAI_BASE_URL", description="Any OpenAI-compatible endpoint."
    )
    inference: Literal["auto", "replicate", "local"] = Field(
        default="auto", description="Who looks at videos; auto: replicate beside this machine if its token is set."
    )
    replicate_api_token: SecretStr | None = Field(
        default=None, validation_alias="REPLICATE_API_TOKEN", description="Token of the hosted detectors."
    )
    replicate_base_url: str = Field(
        default="https://api.replicate.com", validation_alias="REPLICATE_BASE_URL", description="Where Replicate's API is."
    )
    detectors: Path | None = Field(default=None, description="Your table of hosted detectors, beside the shipped one (YAML).")
    whisper_model: Path | None = Field(default=None, description="Folder of a faster-whisper model; with it, speech is heard by that.")
    own_detectors: Path | None = Field(default=None, description="Your own ONNX detectors on this machine (YAML).")
    risks: Path | None = Field(default=None, description="Your risk definitions: what they name is changed, the rest stays (YAML).")
    policy: Path | None = Field(default=None, description="Your screening policy (YAML); unset, the shipped one.")
    video_max_gib: float = Field(default=2.0, gt=0, description="Larger videos are refused.")
    video_max_hours: float = Field(default=2.0, gt=0, description="Longer videos are refused.")
    second_review: float = Field(default=0.05, ge=0, le=1, description="Share of the videos that two people verify, each blind.")
    roles: str = Field(default="", description="Roles of the person at this machine, by comma, such as owner.")
    smtp_url: SecretStr | None = Field(
        default=None,
        description="Mail server, smtp://user:password@host:587 or smtps://…; unset, mails are files under PRESSROOM_HOME/outbox.",
    )
    mail_from: str = Field(default="Pressroom <pressroom@localhost>", description="Who mails come from.")
    mail_to: str = Field(default="", description="Who is told of reports, verdicts and failures, by comma.")
    keep_artefacts_days: float = Field(default=7, ge=0, description="Frames, sound and raw output of a video that ended are kept so long.")
    keep_failed_days: float = Field(default=14, ge=0, description="The same of a video that failed.")
    keep_sources_days: float = Field(default=90, ge=0, description="Uploads, transcripts and raw answers of models are kept so long.")
    keep_temporary_hours: float = Field(default=24, ge=1, description="What runs that died left on this machine is kept so long.")
    cdn_url: str | None = Field(default=None, description="Where a CDN serves the object store, as https://media.example.com.")
    cloudflare_zone: str | None = Field(default=None, description="Zone of the CDN, which forgets what retention deletes.")
    cloudflare_api_token: SecretStr | None = Field(default=None, description="Token that may purge the zone's cache.")
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
        # The value is not repeated: a person may have put a key into it.
        if value and not _FOLDER_URL.match(value) and not _BUCKET_URL.match(value):
            raise ValueError("must start with file:/// (an absolute folder) or be s3://bucket or s3://bucket/prefix, without keys")
        return value

    @field_validator("aws_endpoint_url_s3")
    @classmethod
    def _is_endpoint(cls, value: str | None) -> str | None:
        if value and not _ENDPOINT.match(value):
            raise ValueError("must be https://host or http://host:port, without a bucket or keys")
        return value

    @cached_property
    def llm_kind(self) -> Literal["openai", "offline"]:
        """Who writes, with `auto` decided: an endpoint that is not OpenAI's own may need no key. Raises BadInput when OpenAI is asked for
        and has none."""
        is_usable = self.openai_api_key is not None or not _OPENAI.match(self.openai_base_url)
        if self.llm == "openai" and not is_usable:
            raise BadInput("PRESSROOM_LLM=openai needs OPENAI_API_KEY: set it, or use PRESSROOM_LLM=offline")
        if self.llm == "auto":
            return "openai" if is_usable else "offline"
        return self.llm

    @cached_property
    def hosted_inference(self) -> bool:
        """Whether hosted models look at videos, with `auto` decided. Raises BadInput when they are asked for and have no token."""
        if self.inference == "replicate" and not self.replicate_api_token:
            raise BadInput("PRESSROOM_INFERENCE=replicate needs REPLICATE_API_TOKEN: set it, or use PRESSROOM_INFERENCE=local")
        return self.inference != "local" and self.replicate_api_token is not None

    @property
    def objects_bucket(self) -> tuple[str, str] | None:
        """Bucket and key prefix ("" or "a/b/") of an S3 object store; None where the store is a folder."""
        if not self.store_url or not self.store_url.startswith("s3:"):
            return None
        bucket, _, prefix = self.store_url.removeprefix("s3://").partition("/")
        return bucket, f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    @property
    def objects_folder(self) -> Path:
        """Folder of the object store. Raises BadInput where the store is a bucket."""
        if self.objects_bucket:
            raise BadInput("PRESSROOM_STORE_URL is a bucket, not a folder")
        return Path(unquote(urlsplit(self.store_url).path)) if self.store_url else self.home.absolute() / "objects"


def load_settings(**overrides: Any) -> Settings:
    """The settings of this process. Raises BadInput with one line that names the first bad variable."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        variable = name if name.isupper() else f"PRESSROOM_{name.upper()}"
        raise BadInput(f"{variable}: {complaint(first)}") from None
