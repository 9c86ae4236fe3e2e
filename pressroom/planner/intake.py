"""Keyword files on their way in: from the site's inbox to rows, then to `imported/` or, with a report, to `rejected/`."""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from pressroom.errors import BadInput
from pressroom.objects.store import ObjectStore
from pressroom.planner.formats import read_keywords
from pressroom.records import KeywordFile, Record
from pressroom.store.keywords import Imported, import_keywords
from pressroom.store.runs import SiteDay

# A copy over a network writes at least every few seconds.
_STILL_GROWING = dt.timedelta(seconds=5)
# File systems take 255 bytes, and ".report.json" comes behind it. The end is kept: it has the suffix.
_LONGEST_NAME = 200


class Intake(Record):
    """What the inbox held: files that were imported, and files that could not be read with the reason."""

    imported: tuple[Imported, ...] = ()
    refused: tuple[str, ...] = ()


def inbox_of(slug: str) -> str:
    return f"sites/{slug}/keywords/inbox/"


def inbox_key(slug: str, name: str, data: bytes) -> str:
    """Where a file called `name` is put so that the site's next run imports it. The digest's folder keeps two files of one name apart.

    What no key may have becomes "_", a leading dot too: a hidden file would be left in the inbox.
    """
    plain = re.sub(r"[\\/\x00-\x1f]|^\.", "_", _cut(name))
    return f"{inbox_of(slug)}{_digest(data)}/{plain}"


def waiting_files(objects: ObjectStore, now: dt.datetime) -> dict[str, list[str]]:
    """Keys in the inboxes, by site, known or not. A file that changed within the last seconds may still be growing: it waits."""
    waiting: dict[str, list[str]] = {}
    for slug in _site_folders(objects):
        if keys := [stored.key for stored in objects.list(inbox_of(slug)) if now - stored.modified > _STILL_GROWING]:
            waiting[slug] = keys
    return waiting


def _site_folders(objects: ObjectStore) -> Iterator[str]:
    """The folders under sites/, each found by one look past the one before: what they hold, frames of videos too, is not gone over."""
    after = "sites/"
    while first := next(objects.list("sites/", after=after), None):
        slug = first.key.split("/")[1]
        yield slug
        after = f"sites/{slug}0"  # "0" comes after "/"


def import_inbox(desk: SiteDay, objects: ObjectStore) -> Intake:
    """Imports every file of the site's inbox. A file leaves it after its rows are committed: a crash between only reads it again."""
    imported, refused = [], []
    now = dt.datetime.now(dt.UTC)
    for key, _, modified in objects.list(inbox_of(desk.site.slug)):
        name = PurePosixPath(key).name
        try:
            data = objects.read(key)
        except BadInput as error:  # a name that is no key, or no right to read it: it stays where it is, and the others go on
            refused.append(str(error))
            continue
        if now - modified <= _STILL_GROWING and not _is_whole(key, data):
            continue  # the next run takes it
        try:
            file = read_keywords(data, name, brand_words=desk.site.brand_words)
        except BadInput as error:
            refused.append(str(error))
            _move_away(objects, desk.site.slug, key, data, desk.day, "rejected", {"file": name, "reason": str(error)})
            continue
        with desk.transaction() as session:
            imported.append(import_keywords(session, desk.site, file, name=name, data=data, day=desk.day, run_id=desk.run.id))
        if file.rejected:
            _move_away(objects, desk.site.slug, key, data, desk.day, "rejected", _row_report(name, file))
        else:
            _move_away(objects, desk.site.slug, key, data, desk.day, "imported", None)
    return Intake(imported=tuple(imported), refused=tuple(refused))


def _is_whole(key: str, data: bytes) -> bool:
    """Whether the folder that `inbox_key` chose says so: a file that a person copies there may still be growing."""
    return PurePosixPath(key).parent.name == _digest(data)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:8]


def _cut(name: str) -> str:
    return name.encode(errors="replace")[-_LONGEST_NAME:].decode(errors="ignore")


def _row_report(name: str, file: KeywordFile) -> dict[str, object]:
    return {
        "file": name,
        "reason": f"rows left out: {len(file.rejected)}; keywords imported: {len(file.keywords)}",
        "rows": [row.model_dump(mode="json") for row in file.rejected],
    }


def _move_away(objects: ObjectStore, site: str, key: str, data: bytes, day: dt.date, to: str, report: dict[str, object] | None) -> None:
    """Out of the inbox, into a folder named by the content: two files of one name on one day are both kept."""
    target = f"sites/{site}/keywords/{to}/{day}/{_digest(data)}/{PurePosixPath(key).name}"
    if report:
        folder, _, name = target.rpartition("/")
        objects.write(f"{folder}/{_cut(name)}.report.json", json.dumps(report, ensure_ascii=False, indent=2).encode())
    objects.move(key, target)
