"""The database as a Dagster resource: it takes a run's site once, whatever number of assets the run has."""

import datetime as dt
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import dagster as dg
from pydantic import Field, PrivateAttr

from pressroom.compliance.desk import VideoDesk
from pressroom.errors import Permanent
from pressroom.objects.store import ObjectStore
from pressroom.settings import load_settings
from pressroom.store.engine import Store, open_store
from pressroom.store.locks import hold_site, hold_video
from pressroom.store.runs import Run, SiteDay, Trigger, begin_run, end_run
from pressroom.store.sites import site_by_slug
from pressroom.store.videos import video_by_key

TRIGGER_TAG = "pressroom/trigger"


class StoreResource(dg.ConfigurableResource):
    """PostgreSQL: the one of PRESSROOM_DATABASE_URL, else the embedded server under PRESSROOM_HOME."""

    wait_for_site: float = Field(
        default=600, description="Seconds a run waits for a site that another run holds, before it ends as blocked."
    )

    wait_for_video: float = Field(default=60, description="Seconds a run waits for a video that another run holds.")

    _store: Store = PrivateAttr()
    _stack: ExitStack = PrivateAttr()
    _days: dict[str, SiteDay] = PrivateAttr(default_factory=dict)
    _folders: dict[str, Path] = PrivateAttr(default_factory=dict)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator["StoreResource", None, None]:
        with ExitStack() as stack:
            self._store = stack.enter_context(closing(open_store(load_settings())))
            self._stack = stack
            yield self

    @property
    def store(self) -> Store:
        return self._store

    def site_day(self, context: dg.AssetExecutionContext, *, books: bool = True) -> SiteDay:
        """The run's hold on its partition's site and day, taken by the first asset that asks. `books` says that the run makes content:
        it gets a row among the automation runs, and a scheduled one claims its due day."""
        partition = context.partition_key
        if partition not in self._days:
            self._days[partition] = self._take(context, books=books)
        return self._days[partition]

    def _take(self, context: dg.AssetExecutionContext, *, books: bool) -> SiteDay:
        keys = context.partition_key.keys_by_dimension
        day = dt.date.fromisoformat(keys["date"])
        trigger: Trigger = "scheduled" if context.run.tags.get(TRIGGER_TAG) == "scheduled" else "manual"
        run = Run(id=context.run.run_id, root=context.run.root_run_id or context.run.run_id, trigger=trigger)
        with self._store.transaction() as session:
            site = site_by_slug(session, keys["site"])
        held = self._stack.enter_context(
            hold_site(self._store, site.id, run.id, wait_s=self.wait_for_site, on_wait=lambda line: context.log.info(line))
        )
        desk = SiteDay(site=site, day=day, run=run, store=self._store, held=held)
        if books:
            desk.write(lambda session: begin_run(session, site, day, run))
            self._stack.callback(desk.write, lambda session: end_run(session, run, interrupted=desk.at_work))
        return desk

    def video(self, context: dg.AssetExecutionContext, objects: ObjectStore) -> VideoDesk:
        """The run's hold on its partition's video, taken by the first asset that asks; the video itself as it stands now."""
        key = context.partition_key
        with self._store.transaction() as session:
            video, site = video_by_key(session, key)
        if key not in self._folders:
            held = hold_video(self._store, video.id, key, wait_s=self.wait_for_video, on_wait=lambda line: context.log.info(line))
            self._stack.enter_context(held)
            work = load_settings().home.absolute() / "work"
            try:
                work.mkdir(parents=True, exist_ok=True)
                self._folders[key] = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{key}.", dir=work)))
            except OSError as error:
                raise Permanent(f"{work}: cannot be written ({error.strerror}); make room, or change PRESSROOM_HOME") from None
        return VideoDesk(video, site, self._store, objects, context.run.run_id, self._folders[key])
