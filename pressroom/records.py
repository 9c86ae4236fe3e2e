"""The nouns of the product, as frozen Pydantic models. They know nothing of storage, models or Dagster."""

import datetime as dt
import hashlib
import uuid
import zoneinfo
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

# Ids are uuid5 under this namespace, so that writing twice is writing once.
NAMESPACE = uuid.UUID("6f1f0c5e-9c0e-5d3a-8a52-5f0b6d1f7a10")

Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=63)]
Language = Annotated[str, Field(pattern=r"^[a-z]{2}(-[A-Z]{2})?$")]
Intent = Literal["informational", "navigational", "commercial", "transactional"]
DraftState = Literal["generated", "reviewed", "edited", "ready", "published", "failed", "archived"]
Origin = Literal["ai", "human"]
Severity = Literal["error", "warning"]


def stable_id(*parts: object) -> uuid.UUID:
    """The uuid5 of `parts` joined with "/": the same parts give the same id on every machine."""
    return uuid.uuid5(NAMESPACE, "/".join(str(part) for part in parts))


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def version_of(records: Iterable[Record], *, without: Collection[str] = ()) -> str:
    """The data version of `records`: 16 hex digits that change when one of their fields does, those in `without` aside."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(record.model_dump_json(exclude=set(without)).encode())
    return digest.hexdigest()[:16]


def version_of_text(text: str) -> str:
    """The version of a text: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


class Automation(Record):
    """When a site's content is made. `at` is the site's own wall clock."""

    enabled: bool = True
    at: dt.time = dt.time(6, 0)
    ideas_per_day: int = Field(default=4, ge=3, le=5)

    @field_validator("at", mode="before")
    @classmethod
    def _clock(cls, value: object) -> object:
        # YAML 1.1 reads an unquoted 10:30 as the base-60 number 630, which would pass as half past ten seconds.
        return f"{value // 60:02}:{value % 60:02}" if isinstance(value, int) else value


class Site(Record):
    """A website or brand that content is made for, as its YAML file says."""

    slug: Slug
    name: str = Field(min_length=1)
    domain: str = Field(min_length=1)
    account: Slug = "default"
    time_zone: str = "UTC"
    language: Language = "en"
    field: str = Field(min_length=1, description="The field of work, as a content strategist would name it.")
    audience: str = Field(min_length=1)
    platforms: tuple[Slug, ...] = ("linkedin", "x", "instagram")
    sectors: tuple[str, ...] = ()
    brand_words: tuple[str, ...] = Field(default=(), description="Words that most keywords share; they carry no topic.")
    granularity: Literal["broad", "balanced", "fine"] = "balanced"
    automation: Automation = Automation()

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            zoneinfo.ZoneInfo(value)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"'{value}' is no IANA time zone, for example Europe/Lisbon") from None
        return value

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        return zoneinfo.ZoneInfo(self.time_zone)

    @property
    def id(self) -> uuid.UUID:
        return stable_id("site", self.slug)

    @property
    def account_id(self) -> uuid.UUID:
        return stable_id("account", self.account)


def quoted_volume(volume: int | None, low: int | None, high: int | None) -> str | None:
    """Searches a month as they may be quoted: a range stays a range, since its middle was never measured."""
    if low is not None and high is not None and low < high:
        return f"{low:,} to {high:,}"
    return None if volume is None else f"{volume:,}"


class Keyword(Record):
    """One phrase and what is known of it. `phrase` is as written, `normalised` is its key inside a site."""

    phrase: str
    normalised: str
    volume: int | None = Field(default=None, ge=0, description="Searches a month; the middle of the range where a range is given.")
    volume_low: int | None = Field(default=None, ge=0)
    volume_high: int | None = Field(default=None, ge=0)
    difficulty: float | None = Field(default=None, ge=0, le=100)
    cpc: float | None = Field(default=None, ge=0, description="Cost per click in the account's currency.")
    intent: Intent | None = None
    language: str | None = None
    country: str | None = None
    source: str = Field(default="", description="File that brought the newest figures.")
    source_row: int | None = Field(default=None, ge=1, description="Row in that file, counted from 1.")

    @property
    def searches(self) -> str | None:
        """Searches a month as they may be quoted."""
        return quoted_volume(self.volume, self.volume_low, self.volume_high)


class RejectedRow(Record):
    """A row of a keyword file that was left out, and why."""

    row: int
    reason: str
    text: str = ""


class KeywordFile(Record):
    """What one keyword file holds. `keywords` has each normalised phrase once."""

    format: str
    encoding: str
    keywords: tuple[Keyword, ...]
    rejected: tuple[RejectedRow, ...] = ()


class Cluster(Record):
    """A named group of keywords; `id` survives re-clustering. `keywords` are normalised phrases, largest volume first."""

    id: uuid.UUID
    name: str
    head: str
    keywords: tuple[str, ...]
    volume: int = 0
    intent: Intent | None = None


class Idea(Record):
    """One content idea for a site and day. Immutable: a later one supersedes it, nothing replaces it."""

    id: uuid.UUID
    ordinal: int
    title: str
    description: str
    topic_category: str
    angle: str
    audience: str
    format: str
    cluster_id: uuid.UUID
    cluster: str
    keywords: tuple[str, ...]
    call: str = Field(description="Request hash of the model call that proposed it.")
    model: str
    nearest: uuid.UUID | None = Field(default=None, description="The most similar earlier idea.")
    similarity: float | None = None


class Violation(Record):
    """One broken rule: what was measured, what the limit is, and where (`part`, for example "posts[1]")."""

    code: str
    severity: Severity
    measured: JsonValue
    limit: JsonValue
    message: str
    part: str | None = None

    @property
    def is_error(self) -> bool:
        return self.severity == "error"


class DraftVersion(Record):
    """One text of a draft. `parts` is the platform's structure, `text` its rendering."""

    number: int
    origin: Origin
    text: str
    parts: dict[str, JsonValue]
    violations: tuple[Violation, ...] = ()
    prompt_version: str | None = None
    call: str | None = None
    model: str | None = None
    author: str | None = None


class Draft(Record):
    """One idea on one platform, with the version that stands."""

    id: uuid.UUID
    idea_id: uuid.UUID
    platform: Slug
    state: DraftState
    version: DraftVersion

    @staticmethod
    def id_for(idea_id: uuid.UUID, platform: str) -> uuid.UUID:
        return stable_id("draft", idea_id, platform)


class Usage(Record):
    """What one model call used, as the endpoint billed it: tokens, images, milliseconds of a machine."""

    input: int = 0
    cached: int = 0  # of the input: read from the endpoint's cache
    cache_write: int = 0  # of the input: written into it
    output: int = 0
    reasoning: int = 0  # of the output
    images: int = 0
    compute_ms: int = 0


@dataclass
class Tally:
    """What one run asked of its models so far. An offline answer counts as paid at a cost of 0."""

    paid: int = 0
    replayed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = field(default_factory=Decimal)
    unpriced: int = 0


# The media line. Times are whole milliseconds of presentation time, counted from the first frame; a span is [start_ms, end_ms).

VideoState = Literal["uploaded", "processing", "verification", "completed", "refused", "duplicate", "failed", "blocked"]
Detector = Literal["transcript", "screen_text", "objects", "nudity", "violence", "flagged_terms", "picture", "sound"]
Modality = Literal["visual", "speech", "text", "sound"]
RiskAction = Literal["pass", "review", "block", "escalate"]
Outcome = Literal["block", "review", "incomplete", "clear"]


class Upload(Record):
    """One version of one object under `uploads/`. `version` is the store's version id, else its etag."""

    site: Slug
    object_key: str
    version: str
    size: int
    uploaded_at: dt.datetime

    @property
    def key(self) -> str:
        """The partition: no two versions of an object share one, and it never comes to mean another."""
        named = hashlib.sha256(f"{self.object_key}\0{self.version}".encode("utf-8", "surrogateescape")).hexdigest()[:8]
        return f"{self.site}--{self.uploaded_at.astimezone(dt.UTC):%Y%m%dT%H%M%SZ}--{named}"

    @property
    def name(self) -> str:
        """The file's own name, without its folders."""
        return self.object_key.rsplit("/", 1)[-1]


class Video(Record):
    """One upload as the database knows it. `reason` says in one sentence why it is refused, failed or blocked."""

    id: uuid.UUID
    account_id: uuid.UUID
    site_id: uuid.UUID
    upload: Upload
    state: VideoState
    reason: str | None = None
    title: str | None = None
    description: str | None = None
    sha256: str | None = None
    probe: "Probe | None" = None
    duplicate_of: str | None = Field(default=None, description="Key of the first video with the same bytes.")
    near: tuple["Near", ...] = ()

    @property
    def key(self) -> str:
        return self.upload.key

    @property
    def folder(self) -> str:
        """Where its artefacts are in the object store."""
        return f"sites/{self.upload.site}/videos/{self.key}/"


class Near(Record):
    """An earlier video that looks like this one: `share` of this one's frames are in it, 0 to 1."""

    key: str
    share: float


class Probe(Record):
    """What a video file is, as its packets say: the header's own figures are not believed where they differ."""

    container: str
    size: int = Field(description="Bytes.")
    duration_ms: int
    start_ms: int = Field(default=0, description="Presentation time of the first frame in the file's own clock.")
    video_codec: str
    pixel_format: str
    width: int = Field(description="As shown: after rotation.")
    height: int
    rotation: int = Field(default=0, description="Degrees clockwise that the decoded picture is turned before it is shown.")
    fps: float = Field(description="Frames a second, on average.")
    video_packets: int
    keyframes: int
    largest_keyframe_gap_ms: int
    audio_codec: str | None = None
    sample_rate: int | None = None
    channels: int | None = None


class Frame(Record):
    """One sampled frame. `key` is its JPEG's file name; `same_as` is the frame that stands for it when detectors are paid by the frame."""

    number: int
    at_ms: int
    key: str
    hash: str = Field(pattern=r"^[0-9a-f]{16}$", description="64-bit difference hash.")
    sharpness: float = Field(description="Variance of the Laplacian of the 8-bit luma.")
    black: bool = False
    frozen: bool = False
    flash: bool = False
    same_as: int | None = None


class Coverage(Record):
    """How much of a video a detector looked at. What is not `analysed` is never called clean.

    `seconds` of `of_s` were looked at; `largest_gap_s` is the longest stretch between two looks. `stood_for` of the `looks` were
    near-identical frames that another one stands for. `reason` is one sentence for people wherever something is missing.
    """

    detector: Detector
    state: Literal["analysed", "failed", "skipped", "unsupported"]
    version: str = ""
    seconds: float = 0.0
    of_s: float = 0.0
    largest_gap_s: float | None = None
    looks: int = 0
    stood_for: int = 0
    reason: str = ""

    @property
    def fraction(self) -> float:
        """The part that was looked at, 0 to 1."""
        return min(1.0, self.seconds / self.of_s) if self.of_s > 0 else 0.0


class Signal(Record):
    """One normalised finding of one detector. `score` is None where the model gives none; `box` is left, top, right, bottom, 0 to 1."""

    detector: Detector
    number: int
    start_ms: int
    end_ms: int
    label: str
    version: str
    score: float | None = Field(default=None, ge=0, le=1)
    box: tuple[float, float, float, float] | None = None
    text: str | None = None
    frame: int | None = None
    call: str | None = Field(default=None, description="Request hash of the paid call that found it.")


# Where flagged words were found.
Source = Literal["transcript", "screen_text", "title", "description"]


class Evidence(Record):
    """What a trigger stands on: one signal, with its frame or its words."""

    detector: Detector
    signal: int
    at_ms: int
    label: str
    score: float | None = None
    frame: int | None = None
    text: str | None = None
    source: Source | None = Field(default=None, description="Of flagged words: where they were found.")


class Trigger(Record):
    """Signals merged under one risk code."""

    number: int
    code: str
    title: str
    severity: int = Field(ge=0, le=3)
    modality: Modality
    action: RiskAction
    start_ms: int
    end_ms: int
    peak: float | None = None
    detectors: tuple[Detector, ...]
    evidence: tuple[Evidence, ...]
    rule: str = Field(description="The rule in one line: label, threshold, minimum length.")
    crosswalk: dict[str, str] = Field(default_factory=dict)


class Verdict(Record):
    """The machine's outcome for a video under one policy, why, and what was not analysed: always said beside it."""

    outcome: Outcome
    why: str
    policy: str
    priority: bool = Field(default=False, description="A trigger escalates: it goes first, and to the role that may.")
    role: str | None = None
    not_analysed: tuple[str, ...] = ()
