"""The design that Pressroom replaces, as a team would write it: one Celery task for each draft, on Redis, with a client of its own.

Prompts, rules and refinements are Pressroom's, so that both ask the same words of the same endpoint. What is missing is what the
comparison is about: a call is held by a process, and nothing remembers its answer but the draft at its end.

    python -m celery -A bench.celery_tasks worker --concurrency 2
"""

import asyncio
import hashlib
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from celery import Celery
from celery.signals import worker_ready
from openai import OpenAI

from bench import parts
from pressroom.llm.types import Answer, Request, T
from pressroom.platforms.base import DraftBrief
from pressroom.platforms.registry import platform
from pressroom.records import Usage
from pressroom.settings import load_settings
from pressroom.store.engine import Store, connect
from pressroom.writer.drafts import write_draft

TABLE = "CREATE TABLE queued_drafts (id uuid PRIMARY KEY, platform text NOT NULL, text text NOT NULL, parts jsonb NOT NULL)"
SAVE = sa.text(
    "INSERT INTO queued_drafts VALUES (:id, :platform, :text, CAST(:parts AS jsonb))"
    " ON CONFLICT (id) DO UPDATE SET text = excluded.text, parts = excluded.parts"
)

app = Celery("bench", broker=os.environ.get("BENCH_BROKER", "memory://"))
app.conf.update(
    task_ignore_result=True,
    task_acks_late=os.environ.get("BENCH_ACKS_LATE") == "1",
    worker_prefetch_multiplier=1,  # as Celery's guide advises for long tasks; the default of 4 would hold more back at a kill
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    # Redis gives a task of a dead worker to another one after this time. Celery's default is an hour; nobody waits for that here.
    broker_transport_options={"visibility_timeout": int(os.environ.get("BENCH_VISIBILITY_S", "3600"))},
)


class Direct:
    """Asks with a client that is made for the task, as the tasks of many products do; the SDK's own retries are on."""

    async def ask(self, request: Request[T]) -> Answer[T]:
        with OpenAI() as client:
            response = client.responses.create(**parts.parameters(request))
        text = response.output_text
        call = hashlib.sha256(f"{request.item}\n{request.input}".encode()).hexdigest()
        value = request.answer.model_validate_json(text)
        return Answer("valid", value, text, call, response.model, replayed=False, usage=Usage(), cost_usd=None)


@cache
def store() -> Store:
    """The database of this worker process."""
    return connect(load_settings())


@app.task(name="draft")  # type: ignore[untyped-decorator]
def draft(brief: dict[str, Any], slug: str) -> None:
    written = asyncio.run(write_draft(DraftBrief.model_validate(brief), platform(slug), Direct())).draft
    row = {"id": written.id, "platform": slug, "text": written.version.text, "parts": json.dumps(written.version.parts)}
    with store().transaction() as session:
        session.execute(SAVE, row)


@worker_ready.connect  # type: ignore[untyped-decorator]
def say_ready(**_: Any) -> None:
    """For who started the worker: it takes tasks from now on."""
    if path := os.environ.get("BENCH_READY"):
        Path(path).touch()
