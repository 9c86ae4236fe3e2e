"""What of the bucket is a video to screen, and that it is booked once."""

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from pressroom.objects.days import UPLOADS, dated, parted
from pressroom.objects.store import ObjectStore, Version
from pressroom.records import Upload
from pressroom.store.engine import Store
from pressroom.store.sites import all_sites
from pressroom.store.videos import add_uploads, known_uploads, waiting_videos

# The name only says what somebody means to be a video: what it is, its content decides.
VIDEO_NAMES = (
    *(".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg"),
    *(".mpg", ".mts", ".mxf", ".ogv", ".qt", ".ts", ".vob", ".webm", ".wmv"),
)
WORDS_ENDING = ".json"
# A file in a folder is there before it is whole; one that has not changed for so long is.
SETTLED_AFTER = dt.timedelta(seconds=5)
# From the day before: uploads are dated in the uploader's zone, and a day that has just begun is not begun everywhere.
FRESH_DAYS = 1
# Late and out-of-order keys: this window is walked every so often.
LOOK_BACK_DAYS = 7
LOOK_BACK_EVERY = dt.timedelta(minutes=10)
MOST_LEFT = 20  # reasons told in a tick


@dataclass
class Arrivals:
    """What a listing holds: uploads by site, and what is left alone, with the reason."""

    uploads: dict[str, list[Upload]] = field(default_factory=lambda: defaultdict(list))
    left: dict[str, str] = field(default_factory=dict)


def listed_after(now: dt.datetime, looked_back_at: dt.datetime | None) -> tuple[str, dt.datetime]:
    """The key after which a tick lists, and when the look-back window was walked last, this tick included."""
    if looked_back_at is None or now - looked_back_at >= LOOK_BACK_EVERY:
        return dated(now.date() - dt.timedelta(days=LOOK_BACK_DAYS)), now
    return dated(now.date() - dt.timedelta(days=FRESH_DAYS)), looked_back_at


def arrivals(
    versions: Iterable[Version], sites: Collection[str], now: dt.datetime, *, booked: Collection[tuple[str, str]] = ()
) -> Arrivals:
    """The uploads in a listing that are not `booked` yet, as (object key, version); several versions of one key are several videos."""
    found = Arrivals()
    for version in versions:
        if version.is_marker or (version.key, version.id) in booked or is_words(version.key):
            continue
        place = parted(version.key)
        if reason := _why_not(version, place and place[1], sites, now):
            found.left[version.key] = reason
        elif place:
            site = place[1]
            upload = Upload(site=site, object_key=version.key, version=version.id, size=version.size, uploaded_at=version.modified)
            found.uploads[site].append(upload)
    return found


def is_words(key: str) -> bool:
    """Whether the object is what goes with a video: its title and description, in a file of its name and `.json`."""
    return key.lower().removesuffix(WORDS_ENDING).endswith(VIDEO_NAMES) and key.lower().endswith(WORDS_ENDING)


def _why_not(version: Version, site: str | None, sites: Collection[str], now: dt.datetime) -> str | None:
    name = version.key.rsplit("/", 1)[-1]
    if site is None:
        return f"not under {UPLOADS}YYYY/MM/DD/<site>/"
    if not name.lower().endswith(VIDEO_NAMES):
        return "not the name of a video"
    if version.size == 0:
        return "empty"
    if now - version.modified < SETTLED_AFTER:
        return "may still be growing"
    return None if site in sites else f"site '{site}' is unknown: apply it, or move the file"


@dataclass(frozen=True)
class Seen:
    """What a look into the bucket came to: the keys of videos that no run has begun with, and what was left alone."""

    waiting: list[str]
    booked: list[str]
    left: dict[str, str]

    def told(self) -> str:
        """What was left alone, in one line."""
        shown = [f"{key}: {reason}" for key, reason in sorted(self.left.items())[:MOST_LEFT]]
        more = len(self.left) - len(shown)
        return "; ".join(shown) + (f"; and {more} more" if more > 0 else "")


def look(store: Store, objects: ObjectStore, *, after: str, now: dt.datetime, most: int) -> Seen:
    """Books the new uploads whose keys come after `after`; returns at most `most` videos that wait, the oldest first."""
    listed = list(objects.versions(UPLOADS, after=after))

    def book(session: Session) -> Seen:
        sites = {site.slug: site for site in all_sites(session)}
        found = arrivals(listed, sites, now, booked=known_uploads(session, [version.key for version in listed]))
        booked = [key for slug, uploads in found.uploads.items() for key in add_uploads(session, sites[slug], uploads)]
        return Seen(waiting_videos(session, limit=most), booked, found.left)

    return store.retrying(book)
