"""The detectors on this machine: which there are, and for those that there are not, what to configure."""

from pressroom.inference.extras import NUDENET_LICENCE, nudenet_runner, own_runners
from pressroom.inference.screen_text import screen_text
from pressroom.inference.transcript import pocketsphinx_transcript, whisper_transcript
from pressroom.inference.types import Runner
from pressroom.records import Coverage, Detector
from pressroom.settings import Settings

_HOSTED = "set REPLICATE_API_TOKEN to use a hosted model"
_OWN = "or describe an ONNX file of your own in PRESSROOM_OWN_DETECTORS"
MISSING: dict[Detector, str] = {
    "objects": f"No model on this machine finds objects: {_HOSTED}, {_OWN}.",
    "violence": f"No model on this machine finds violence: {_HOSTED}, {_OWN}.",
    "nudity": f"No model on this machine finds nudity: {_HOSTED}, {_OWN}, or install nudenet (AGPL-3.0).",
}


def local_runners(settings: Settings) -> dict[Detector, Runner]:
    """Every detector that runs on this machine, by what it detects. The user's own model goes before an extra.

    Raises BadInput where a setting names a model that is not there.
    """
    listener = whisper_transcript(settings.whisper_model) if settings.whisper_model else pocketsphinx_transcript()
    runners: dict[Detector, Runner] = {"transcript": listener, "screen_text": screen_text()}
    if nudity := nudenet_runner():
        runners["nudity"] = nudity
    for own in own_runners(settings.own_detectors) if settings.own_detectors else ():
        runners[own.detector] = own
    return runners


def local_coverage(detector: Detector, *, of_s: float = 0.0) -> Coverage:
    """For a detector that `local_runners` does not have: not analysed, and what to configure. `of_s` is the video's length in seconds."""
    reason = MISSING.get(detector, f"Nothing on this machine detects {detector}: {_HOSTED}.")
    return Coverage(detector=detector, state="unsupported", of_s=of_s, largest_gap_s=of_s, reason=reason)


def licence_notes(settings: Settings) -> tuple[str, ...]:
    """What the user should know of the licences of the detectors in use."""
    nudity = local_runners(settings).get("nudity")
    return (NUDENET_LICENCE,) if nudity and nudity.version.startswith("nudenet-") else ()
