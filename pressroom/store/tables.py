"""The tables. Every row that belongs to an account or a site says so, from the first migration."""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

AccountId = Annotated[uuid.UUID, mapped_column(sa.ForeignKey("accounts.id"), index=True)]
SiteId = Annotated[uuid.UUID, mapped_column(sa.ForeignKey("sites.id"), index=True)]
Now = Annotated[dt.datetime, mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())]
Json = Annotated[dict[str, Any], mapped_column(JSONB)]
Strings = Annotated[list[str], mapped_column(JSONB)]


class Base(DeclarativeBase):
    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {dt.datetime: sa.DateTime(timezone=True), Decimal: sa.Numeric(14, 6)}


class AccountRow(Base):
    __tablename__ = "accounts"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[Now]


class SiteRow(Base):
    """`definition` is the site's YAML as applied; `fence` grows with every run that takes the site."""

    __tablename__ = "sites"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    account_id: Mapped[AccountId]
    slug: Mapped[str] = mapped_column(unique=True)
    definition: Mapped[Json]
    fence: Mapped[int] = mapped_column(sa.BigInteger, server_default="0")
    held_by: Mapped[str | None]
    created_at: Mapped[Now]
    updated_at: Mapped[Now]


class KeywordImportRow(Base):
    """One file that was read. The same bytes for the same site are one import."""

    __tablename__ = "keyword_imports"
    __table_args__ = (sa.UniqueConstraint("site_id", "sha256"),)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    account_id: Mapped[AccountId]
    site_id: Mapped[SiteId]
    name: Mapped[str]
    sha256: Mapped[str]
    format: Mapped[str]
    encoding: Mapped[str]
    day: Mapped[dt.date]
    accepted: Mapped[int]
    rejected: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    run_id: Mapped[str | None]
    imported_at: Mapped[Now]


class KeywordRow(Base):
    """A phrase of a site with its newest figures, their day, and the import and row that brought them."""

    __tablename__ = "keywords"
    __table_args__ = (sa.Index("ix_keywords_site_id_first_seen", "site_id", "first_seen"),)
    account_id: Mapped[AccountId]
    site_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("sites.id"), primary_key=True)
    normalised: Mapped[str] = mapped_column(primary_key=True)
    phrase: Mapped[str]
    volume: Mapped[int | None] = mapped_column(sa.BigInteger)
    volume_low: Mapped[int | None] = mapped_column(sa.BigInteger)
    volume_high: Mapped[int | None] = mapped_column(sa.BigInteger)
    difficulty: Mapped[float | None]
    cpc: Mapped[float | None]
    intent: Mapped[str | None]
    language: Mapped[str | None]
    country: Mapped[str | None]
    source: Mapped[str]
    source_row: Mapped[int | None]
    import_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("keyword_imports.id"))
    first_seen: Mapped[dt.date]
    measured_on: Mapped[dt.date]


class ClusteringRow(Base):
    """One clustering of a site: `input_version` is the keywords' data version that it was made from."""

    __tablename__ = "clusterings"
    __table_args__ = (sa.UniqueConstraint("site_id", "input_version"),)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    account_id: Mapped[AccountId]
    site_id: Mapped[SiteId]
    day: Mapped[dt.date]
    input_version: Mapped[str]
    run_id: Mapped[str | None]
    created_at: Mapped[Now]


class ClusterRow(Base):
    """A cluster as one clustering saw it; `cluster_id` is the id that survives from one clustering to the next."""

    __tablename__ = "clusters"
    clustering_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("clusterings.id"), primary_key=True)
    cluster_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    account_id: Mapped[AccountId]
    site_id: Mapped[SiteId]
    name: Mapped[str]
    head: Mapped[str]
    volume: Mapped[int] = mapped_column(sa.BigInteger)
    intent: Mapped[str | None]
    keywords: Mapped[Strings]


class ModelCallRow(Base):
    """The call ledger: one request to a model and its answer. `pending` is written before the request leaves.

    A call for the house itself (an evaluation, a calibration) has no site. `remote_id` names an answer that the endpoint makes in the
    background; `batch_id` the batch that a `batched` call went out with.
    """

    __tablename__ = "model_calls"
    __table_args__ = (
        sa.Index("ix_model_calls_run_id", "run_id"),
        sa.Index("ix_model_calls_batch_id", "batch_id"),
        sa.Index("ix_model_calls_site_id_created_at", "site_id", "created_at"),
        sa.Index("ix_model_calls_item", "item", postgresql_ops={"item": "text_pattern_ops"}),  # the calls of one video
    )
    request_hash: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[AccountId]
    site_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("sites.id"))
    purpose: Mapped[str]
    item: Mapped[str]
    generation: Mapped[str]
    prompt_id: Mapped[str]
    prompt_version: Mapped[str]
    provider: Mapped[str]
    model: Mapped[str]
    request: Mapped[Json]
    status: Mapped[str]  # pending, batched, answered, failed
    owner: Mapped[int | None] = mapped_column(sa.BigInteger)
    remote_id: Mapped[str | None]
    batch_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("model_batches.id"))
    attempts: Mapped[int] = mapped_column(server_default="0")
    answer: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    input_tokens: Mapped[int] = mapped_column(server_default="0")
    cached_tokens: Mapped[int] = mapped_column(server_default="0")
    cache_write_tokens: Mapped[int] = mapped_column(server_default="0")
    output_tokens: Mapped[int] = mapped_column(server_default="0")
    reasoning_tokens: Mapped[int] = mapped_column(server_default="0")
    images: Mapped[int] = mapped_column(server_default="0")
    compute_ms: Mapped[int] = mapped_column(server_default="0")
    cost_usd: Mapped[Decimal | None]
    error: Mapped[str | None]
    asset: Mapped[str | None]
    run_id: Mapped[str | None]
    created_at: Mapped[Now]
    answered_at: Mapped[dt.datetime | None]


class ModelBatchRow(Base):
    """Calls of one run to one model that went out together, to be collected later. The id is written into the batch's metadata."""

    __tablename__ = "model_batches"
    __table_args__ = (sa.Index("ix_model_batches_state", "state"),)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    account_id: Mapped[AccountId]
    site_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("sites.id"))
    day: Mapped[dt.date | None]
    run_id: Mapped[str | None]
    owner: Mapped[int | None] = mapped_column(sa.BigInteger)
    provider: Mapped[str]
    model: Mapped[str]
    state: Mapped[str]  # submitting, submitted, collected, failed
    remote_id: Mapped[str | None]
    requests: Mapped[int]
    answered: Mapped[int] = mapped_column(server_default="0")
    failed: Mapped[int] = mapped_column(server_default="0")
    error: Mapped[str | None]
    created_at: Mapped[Now]
    collected_at: Mapped[dt.datetime | None]


class ModelLaneRow(Base):
    """The pace of one model at one endpoint, shared by every process: what went out lately, what the endpoint said, whether it is down."""

    __tablename__ = "model_lanes"
    name: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[Json]


class ModelDemandRow(Base):
    """What one process has in flight and waiting on a lane, for one site ("" for the house). Counts only while its owner lives."""

    __tablename__ = "model_demands"
    lane: Mapped[str] = mapped_column(sa.ForeignKey("model_lanes.name"), primary_key=True)
    owner: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    site: Mapped[str] = mapped_column(primary_key=True)
    in_flight: Mapped[int]
    waiting: Mapped[int]
    tokens: Mapped[int]  # of the next call that waits, estimated


class EmbeddingSpaceRow(Base):
    """One kind of vector, with the cosines that mean something in it. Vectors of two spaces are never compared."""

    __tablename__ = "embedding_spaces"
    name: Mapped[str] = mapped_column(primary_key=True)
    dimension: Mapped[int]
    related: Mapped[float]
    repeat: Mapped[float]
    calibration: Mapped[str]
    created_at: Mapped[Now]


class EmbeddingRow(Base):
    """The vector of one text of a site, by the text's SHA-256. On-device vectors are made anew faster than they are read: not kept."""

    __tablename__ = "embeddings"
    site_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("sites.id"), primary_key=True)
    space: Mapped[str] = mapped_column(sa.ForeignKey("embedding_spaces.name"), primary_key=True)
    text_hash: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[AccountId]
    vector: Mapped[list[float]] = mapped_column(sa.ARRAY(sa.REAL))


class IdeaRow(Base):
    __tablename__ = "ideas"
    __table_args__ = (sa.Index("ix_ideas_site_id_day", "site_id", "day"),)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    account_id: Mapped[AccountId]
    site_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("sites.id"))
    day: Mapped[dt.date]
    ordinal: Mapped[int]
    title: Mapped[str]
    description: Mapped[str]
    topic_category: Mapped[str]
    angle: Mapped[str]
    audience: Mapped[str]
    format: Mapped[str]
    cluster_id: Mapped[uuid.UUID]
    cluster: Mapped[str]
    keywords: Mapped[Strings]
    call: Mapped[str] = mapped_column(sa.ForeignKey("model_calls.request_hash"))
    model: Mapped[str]
    nearest: Mapped[uuid.UUID | None]
    similarity: Mapped[float | None]
    superseded_at: Mapped[dt.datetime | None]
    run_id: Mapped[str | None]
    created_at: Mapped[Now]


class DraftRow(Base):
    """State and pointer. `touched` is set by a person's first act; from then on a run only adds candidate versions."""

    __tablename__ = "drafts"
    __table_args__ = (sa.UniqueConstraint("idea_id", "platform"),)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    account_id: Mapped[AccountId]
    site_id: Mapped[SiteId]
    idea_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("ideas.id"))
    platform: Mapped[str]
    state: Mapped[str]
    current: Mapped[int]
    touched: Mapped[bool] = mapped_column(server_default=sa.false())
    created_at: Mapped[Now]
    updated_at: Mapped[Now]


class DraftVersionRow(Base):
    __tablename__ = "draft_versions"
    __table_args__ = (sa.UniqueConstraint("draft_id", "call"),)
    draft_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("drafts.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[AccountId]
    site_id: Mapped[SiteId]
    origin: Mapped[str]
    text: Mapped[str]
    parts: Mapped[Json]
    violations: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    prompt_version: Mapped[str | None]
    call: Mapped[str | None] = mapped_column(sa.ForeignKey("model_calls.request_hash"))
    model: Mapped[str | None]
    author: Mapped[str | None]
    run_id: Mapped[str | None]
    created_at: Mapped[Now]


class SiteDayRow(Base):
    """What one asset last made of one site and day. A row with `complete` says that nothing of it is missing."""

    __tablename__ = "site_days"
    __table_args__ = (sa.Index("ix_site_days_site_id_day", "site_id", "day"),)
    site_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("sites.id"), primary_key=True)
    day: Mapped[dt.date] = mapped_column(primary_key=True)
    asset: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[AccountId]
    data_version: Mapped[str]
    complete: Mapped[bool]
    counts: Mapped[Json]
    run_id: Mapped[str | None]
    finished_at: Mapped[Now]


class DueRow(Base):
    """A site's scheduled day, claimed by the run that does it: once, whatever the ticks did."""

    __tablename__ = "due"
    site_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("sites.id"), primary_key=True)
    day: Mapped[dt.date] = mapped_column(primary_key=True)
    account_id: Mapped[AccountId]
    run_id: Mapped[str]
    claimed_at: Mapped[Now]


class AutomationRunRow(Base):
    """One piece of work for a site and day, mirroring its Dagster runs (`run_id` is the newest, `root_run_id` the first).

    `generation` names the answers that it asks for: "" or the root run of the fresh run that began it. `regenerated` are the items
    that it asks anew, all others replayed.
    """

    __tablename__ = "automation_runs"
    __table_args__ = (sa.Index("ix_automation_runs_site_id_day", "site_id", "day"),)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    account_id: Mapped[AccountId]
    site_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("sites.id"))
    day: Mapped[dt.date]
    root_run_id: Mapped[str] = mapped_column(unique=True)
    run_id: Mapped[str]
    generation: Mapped[str] = mapped_column(server_default="")
    regenerated: Mapped[list[str]] = mapped_column(JSONB, server_default="[]")
    trigger: Mapped[str]
    state: Mapped[str]
    error: Mapped[str | None]
    started_at: Mapped[Now]
    ended_at: Mapped[dt.datetime | None]
    steps: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default="[]")


class ReportRow(Base):
    """The newest daily report of a site and day; the rendered files are in the object store."""

    __tablename__ = "reports"
    site_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("sites.id"), primary_key=True)
    day: Mapped[dt.date] = mapped_column(primary_key=True)
    account_id: Mapped[AccountId]
    document: Mapped[Json]
    version: Mapped[str]
    html_key: Mapped[str]
    json_key: Mapped[str]
    markdown_key: Mapped[str]
    run_id: Mapped[str | None]
    created_at: Mapped[Now]


class VideoRow(Base):
    """One upload: one version of one object. `key` is its partition; what is known of the file is in `probe`."""

    __tablename__ = "videos"
    __table_args__ = (
        sa.UniqueConstraint("object_key", "object_version"),
        sa.Index("ix_videos_account_id_sha256", "account_id", "sha256"),
        sa.Index("ix_videos_state", "state"),
    )
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    account_id: Mapped[AccountId]
    site_id: Mapped[SiteId]
    object_key: Mapped[str]
    object_version: Mapped[str]  # the store's version id, else its etag
    size: Mapped[int] = mapped_column(sa.BigInteger)
    uploaded_at: Mapped[dt.datetime]
    state: Mapped[str] = mapped_column(server_default="uploaded")
    reason: Mapped[str | None]  # why it is refused, failed or blocked, in one sentence
    title: Mapped[str | None]
    description: Mapped[str | None]
    sha256: Mapped[str | None]
    probe: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    media: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))  # the frames, the audio and the speech in it
    duplicate_of: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("videos.id"))
    near: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default="[]")  # earlier videos that look like it
    run_id: Mapped[str | None]
    seen_at: Mapped[Now]
    requested_at: Mapped[dt.datetime | None]
    ended_at: Mapped[dt.datetime | None]  # when it came to a state that it does not leave by itself
    cleaned_at: Mapped[dt.datetime | None]
    retired_at: Mapped[dt.datetime | None]


class VideoHashRow(Base):
    """The difference hash of one sampled frame. `bands` are its four 16-bit quarters, each with its place: two hashes that differ in up
    to three bits share one."""

    __tablename__ = "video_hashes"
    __table_args__ = (sa.Index("ix_video_hashes_bands", "bands", postgresql_using="gin"),)
    video_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("videos.id"), primary_key=True)
    at_ms: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[AccountId]
    hash: Mapped[int] = mapped_column(sa.BigInteger)
    bands: Mapped[list[int]] = mapped_column(ARRAY(sa.Integer))


class DetectionRow(Base):
    """What one detector last said of a video: its coverage, and where its raw output and its track are."""

    __tablename__ = "detections"
    video_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("videos.id"), primary_key=True)
    detector: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[AccountId]
    site_id: Mapped[SiteId]
    version: Mapped[str]
    coverage: Mapped[Json]
    raw_key: Mapped[str | None]
    vtt_key: Mapped[str | None]
    calls: Mapped[int] = mapped_column(server_default="0")
    replayed: Mapped[int] = mapped_column(server_default="0")
    cost_usd: Mapped[Decimal] = mapped_column(server_default="0")
    seconds: Mapped[float] = mapped_column(server_default="0")
    run_id: Mapped[str | None]
    finished_at: Mapped[Now]


class SignalRow(Base):
    __tablename__ = "signals"
    __table_args__ = (sa.ForeignKeyConstraint(["video_id", "detector"], ["detections.video_id", "detections.detector"]),)
    video_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    detector: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[AccountId]
    site_id: Mapped[SiteId]
    version: Mapped[str]
    start_ms: Mapped[int]
    end_ms: Mapped[int]
    label: Mapped[str]
    score: Mapped[float | None]
    box: Mapped[list[float] | None] = mapped_column(JSONB(none_as_null=True))
    text: Mapped[str | None]
    frame: Mapped[int | None]
    call: Mapped[str | None] = mapped_column(sa.ForeignKey("model_calls.request_hash"))


class ScreeningRow(Base):
    """A video judged by one version of a policy. The newest is the one that stands."""

    __tablename__ = "screenings"
    video_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("videos.id"), primary_key=True)
    policy: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[AccountId]
    site_id: Mapped[SiteId]
    outcome: Mapped[str]
    verdict: Mapped[Json]
    data_version: Mapped[str]
    report: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    html_key: Mapped[str | None]
    json_key: Mapped[str | None]
    vtt_key: Mapped[str | None]
    run_id: Mapped[str | None]
    created_at: Mapped[Now]


class TriggerRow(Base):
    __tablename__ = "triggers"
    __table_args__ = (sa.ForeignKeyConstraint(["video_id", "policy"], ["screenings.video_id", "screenings.policy"]),)
    video_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    policy: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    account_id: Mapped[AccountId]
    site_id: Mapped[SiteId]
    code: Mapped[str]
    severity: Mapped[int]
    start_ms: Mapped[int]
    end_ms: Mapped[int]
    trigger: Mapped[Json]  # the whole record


class TaskRow(Base):
    """A person's work on one screening. `version` grows with every change: who saves on an older one is refused."""

    __tablename__ = "verification_tasks"
    __table_args__ = (
        sa.UniqueConstraint("video_id", "policy", "round"),
        sa.Index("ix_verification_tasks_state", "state", "severity", "opened_at"),
    )
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    account_id: Mapped[AccountId]
    site_id: Mapped[SiteId]
    video_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("videos.id"))
    policy: Mapped[str]
    round: Mapped[int]  # 1; 2 for the blind second review
    severity: Mapped[int]
    priority: Mapped[bool]
    role: Mapped[str | None]  # the role that may take it; none: every operator
    state: Mapped[str]  # open, claimed, decided, superseded
    version: Mapped[int] = mapped_column(server_default="1")
    holder: Mapped[str | None]
    lease_until: Mapped[dt.datetime | None]
    skipped_by: Mapped[Strings] = mapped_column(server_default="[]")
    opened_at: Mapped[Now]
    claimed_at: Mapped[dt.datetime | None]
    decided_at: Mapped[dt.datetime | None]


class LabelRow(Base):
    """What one person says of one trigger, or of one that is missing. A later label supersedes an earlier one; none is deleted."""

    __tablename__ = "labels"
    __table_args__ = (sa.Index("ix_labels_task_id", "task_id"),)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    account_id: Mapped[AccountId]
    site_id: Mapped[SiteId]
    task_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("verification_tasks.id"))
    trigger: Mapped[int | None]
    kind: Mapped[str]  # confirm, reject, wrong_time, wrong_code, missed
    code: Mapped[str]
    start_ms: Mapped[int | None]
    end_ms: Mapped[int | None]
    reason: Mapped[str | None]
    author: Mapped[str]
    created_at: Mapped[Now]
    superseded_at: Mapped[dt.datetime | None]


class VerdictRow(Base):
    """The decision on one task. Never changed; an appeal is another one that names it."""

    __tablename__ = "verdicts"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    account_id: Mapped[AccountId]
    site_id: Mapped[SiteId]
    task_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("verification_tasks.id"), unique=True)
    video_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("videos.id"), index=True)
    verdict: Mapped[str]  # approved, rejected, changes_needed
    reason: Mapped[str]
    author: Mapped[str]
    created_at: Mapped[Now]


class OutboxRow(Base):
    """Something that must happen because of a row written in the same transaction. `done_at`: it has."""

    __tablename__ = "outbox"
    __table_args__ = (sa.Index("ix_outbox_done_at", "done_at"),)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    account_id: Mapped[AccountId]
    kind: Mapped[str]  # verdict, mail
    payload: Mapped[Json]
    attempts: Mapped[int] = mapped_column(server_default="0")
    error: Mapped[str | None]
    not_before: Mapped[Now]
    created_at: Mapped[Now]
    done_at: Mapped[dt.datetime | None]


class AuditRow(Base):
    """Who did what to what, and what it was before. Rows are only added: a trigger of the database refuses all else."""

    __tablename__ = "audit_log"
    __table_args__ = (sa.Index("ix_audit_log_entity", "entity", "entity_id"),)
    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(), primary_key=True)
    account_id: Mapped[AccountId]
    at: Mapped[Now]
    who: Mapped[str]
    what: Mapped[str]
    entity: Mapped[str]
    entity_id: Mapped[str]
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
