"""A run's hold on one video: what its steps read from and write to."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from pressroom.objects.store import ObjectStore
from pressroom.records import Site, Video, VideoState
from pressroom.store.engine import Store
from pressroom.store.videos import end_video, video_by_key


@dataclass(frozen=True)
class VideoDesk:
    """`folder` is the run's own on this machine, gone when the run ends; `video` is as the step found it."""

    video: Video
    site: Site
    store: Store
    objects: ObjectStore
    run_id: str
    folder: Path

    @property
    def is_screened(self) -> bool:
        """False for a video that was refused or is a duplicate: no detector looks at it."""
        return self.video.state not in ("refused", "duplicate")

    def write(self, work: Callable[[Session], None]) -> None:
        """Does `work` in a transaction, again for some seconds when the database goes away."""
        self.store.retrying(work)

    def end(self, state: VideoState, reason: str | None = None) -> Video:
        """Books what became of the video, and returns it."""

        def book(session: Session) -> Video:
            end_video(session, self.video, state, reason)
            return video_by_key(session, self.video.key)[0]

        return self.store.retrying(book)
