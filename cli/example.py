"""The demo's video: put into the bucket like anybody's, then seen by the sensor and screened by its job."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.output import out

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from pressroom.objects.store import ObjectStore
    from pressroom.records import Site
    from pressroom.store.engine import Store

FILM = "morning-brew.mp4"
_SHOWN = 5


def put_example(objects: "ObjectStore", site: "Site") -> None:
    """Puts the example video under today's uploads of the site, unless an earlier demo has."""
    import datetime as dt
    import tempfile

    from pressroom.compliance.example import make_example
    from pressroom.objects.days import UPLOADS, dated

    if any(stored.key.endswith(f"/{site.slug}/{FILM}") for stored in objects.list(UPLOADS)):
        return
    with tempfile.TemporaryDirectory(prefix="pressroom-") as folder:
        make_example(path := Path(folder) / FILM)
        objects.put(path, f"{dated(dt.datetime.now(dt.UTC).date())}{site.slug}/{FILM}")


def screen_uploads(instance: "DagsterInstance") -> None:
    """Does what the daemon does: a tick of the sensor, and the runs that it asks for."""
    from dagster import build_sensor_context, partition_loading_context

    from cli.executing import RunFailed, execute_video
    from definitions import defs
    from resources.objects import ObjectsResource
    from resources.store import StoreResource

    resources = {"store": StoreResource(), "objects": ObjectsResource()}
    with (
        build_sensor_context(instance=instance, definitions=defs, resources=resources) as context,
        partition_loading_context(dynamic_partitions_store=instance),
    ):
        tick = defs.resolve_sensor_def("new_uploads").evaluate_tick(context)
    for request in tick.run_requests or []:
        outcome = execute_video("screen_video", instance, str(request.partition_key))
        if not outcome.ok:
            raise RunFailed(outcome)


def screened(store: "Store", objects: "ObjectStore", site: "Site") -> list[dict[str, Any]]:
    """The site's newest screened videos, as the demo tells of them."""
    from pressroom.store.videos import reports_of, screened_videos, screening_of

    documents = []
    with store.transaction() as session:
        for video in screened_videos(session, site=site.slug, limit=_SHOWN):
            judged, (outcome, html_key) = screening_of(session, video), reports_of(session, video)
            documents.append(
                {
                    "video": video.key,
                    "name": video.upload.name,
                    "state": video.state,
                    "outcome": outcome,
                    "why": judged[0].why if judged else video.reason,
                    "triggers": [trigger.code for trigger in judged[1]] if judged else [],
                    "report": objects.location(html_key) if html_key else None,
                }
            )
    return documents


def show_videos(documents: list[dict[str, Any]]) -> None:
    """A row for each video, and below it where the reports are."""
    from rich.table import Table
    from rich.text import Text

    table = Table("video", "outcome", "triggers", "state", box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for document in documents:
        codes = ", ".join(dict.fromkeys(document["triggers"])) or "none"
        table.add_row(Text(document["name"]), document["outcome"], codes, document["state"])
    out.print(table)
    for document in documents:
        out.print(f"report: {document['report']}", soft_wrap=True, highlight=False)
