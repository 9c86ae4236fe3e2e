"""A run on a video that failed is told to its owner and the admins, also when its process died without a word."""

import dagster as dg

from content_assets import jobs
from content_assets.partitions import PARTITION_TAG
from pressroom.errors import BadInput
from pressroom.reports.mail import PipelineFailed, announce
from pressroom.store.locks import is_video_held
from pressroom.store.videos import end_video, video_by_key
from resources.store import StoreResource


@dg.run_failure_sensor(monitored_jobs=[jobs.screen_video, jobs.decide_video], default_status=dg.DefaultSensorStatus.RUNNING)
def failed_videos(context: dg.RunFailureSensorContext, store: StoreResource) -> None:
    """Books the mail of a failed run, once for each run, and the end of a video that the run left in the middle."""
    key = context.dagster_run.tags.get(PARTITION_TAG, "")
    notice = PipelineFailed(
        stage=_stage(context),
        error=_error(context),
        run=context.dagster_run.run_id,
        look=f"the log of run {context.dagster_run.run_id} in the Dagster UI, under Runs{_next(context)}",
    )
    with store.store.transaction() as session:
        try:
            video, _ = video_by_key(session, key)
        except BadInput:  # a run without a partition, or of a video of another database
            return
        if video.state == "processing" and not is_video_held(store.store, video.id):
            end_video(session, video, "failed", notice.error)
        announce(session, video, notice)


def _next(context: dg.RunFailureSensorContext) -> str:
    """What a person does. The sensor `verdicts` repeats decisions by itself; a video is screened again only when somebody asks for it."""
    if context.dagster_run.job_name == jobs.decide_video.name:
        return ""
    return "; no run follows by itself: once the cause is gone, Re-execute all there"


def _stage(context: dg.RunFailureSensorContext) -> str:
    failures = context.get_step_failure_events()
    return failures[0].step_key or "start" if failures else "start"


def _error(context: dg.RunFailureSensorContext) -> str:
    """What failed in one line. Of a bug only its kind: its words may hold what belongs in no mail."""
    for event in context.get_step_failure_events():
        told = event.step_failure_data.user_failure_data
        if told and told.description:
            return told.description
        if error := event.step_failure_data.error:
            cause = error.cause or error
            return f"{cause.cls_name or 'an error'}, a bug of ours: the run's log has the traceback"
    return context.failure_event.message or "the run ended before its first step"
