"""Once a day: what is over its time goes."""

import dagster as dg

from content_assets.in_flight import UNFINISHED
from content_assets.partitions import PARTITION_TAG, VIDEOS
from pressroom.compliance.retention import cdn_of, partitions_to_retire, retention_rules, sweep
from pressroom.settings import load_settings
from pressroom.store.retention import retired_among
from resources.objects import ObjectsResource
from resources.store import StoreResource


@dg.op(description="Deletes what is over its time, and removes the partitions of videos with which retention is done.")
def delete_what_is_over(context: dg.OpExecutionContext, store: StoreResource, objects: ObjectsResource) -> None:
    """A run of its own and no tick: a day's deletions may take minutes. Killed half-way, the next one goes on."""
    settings = load_settings()
    done = sweep(
        store.store,
        objects.open(),
        retention_rules(settings),
        home=settings.home,
        folder=None if settings.objects_bucket else settings.objects_folder,
        cdn=cdn_of(settings),
        tell=context.log.info,
    )
    context.log.info(done.told())
    retired = retire_partitions(context.instance, store)
    context.add_output_metadata(
        {
            "deleted": done.told(),
            "bytes": done.bytes,
            "held": list(done.held),
            "kept": done.kept,
            "failed": done.failed,
            "partitions removed": len(retired),
        }
    )
    if done.failed:
        first = "; ".join(f"{key}: {why}" for key, why in list(done.failed.items())[:3])
        raise dg.Failure(f"{len(done.failed)} could not be deleted: {first}", allow_retries=False)


def retire_partitions(instance: dg.DagsterInstance, store: StoreResource) -> list[str]:
    """Removes the partitions of retired videos, never while a run is in flight; returns their keys. Reports and rows stay."""
    partitions = instance.get_dynamic_partitions(VIDEOS)
    with store.store.transaction() as session:
        retired = set(retired_among(session, partitions))
    # Looked at after the database: a run that began since is in one of the two.
    in_flight = {run.tags.get(PARTITION_TAG, "") for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))}
    gone = partitions_to_retire(partitions, retired, in_flight)
    for key in gone:
        instance.delete_dynamic_partition(VIDEOS, key)
    return gone


@dg.job(description="Deletes what is over its time: artefacts, sources, temporary files. Reports, people's work and the log stay.")
def keep_retention() -> None:
    delete_what_is_over()


@dg.schedule(job=keep_retention, cron_schedule="15 2 * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def retention() -> dg.RunRequest:
    """Every night. A day that was missed costs nothing: the next night's sweep finds its videos too."""
    return dg.RunRequest()
