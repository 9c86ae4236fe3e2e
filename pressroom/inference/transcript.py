"""What is said, heard on this machine: pocketsphinx with its English model, or faster-whisper where the user has it and a model."""

import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from pydantic import JsonValue

from pressroom.errors import BadInput
from pressroom.inference.child import Lost, answer_all, sensible_workers
from pressroom.inference.types import Detection, Media, Progress
from pressroom.records import Coverage, Detector, Signal

if TYPE_CHECKING:
    import numpy as np

RATE = 16_000
# An utterance is decoded as a whole, and what it takes grows faster than its length: longer ones are cut, where it is quietest in their
# last third.
UTTERANCE_S = 30
# Unclear sound opens ever more paths to follow. With 3,000 at a time instead of 30,000, hoarse speech was heard in 0.26 instead of 0.73
# of its length, and in the same words.
MOST_PATHS = 3000
# Digital silence is nothing that the model has ever heard, and it finds a "the" or a "dog" in it. Nobody speaks at 60 dB under full scale.
INAUDIBLE = 33
# People pause for less inside a phrase, and a caption of more words is not read at a glance.
PAUSE_MS = 600
PHRASE_WORDS = 14
# Silence and noises are words to pocketsphinx: <s>, <sil>, [NOISE]; "the(2)" is the second way to say "the".
NO_WORD = ("<", "[", "+")


@dataclass(frozen=True)
class Transcript:
    """The listener. `work` (see `Child`) makes a function from `{audio, start_ms, end_ms}` to phrases `{text, start_ms, end_ms, score}`.

    A stretch of speech may take `start_s` plus `per_s` times its length. `languages`: the only ones it knows (BCP 47), empty for all.
    """

    version: str
    work: str
    setup: JsonValue
    memory_mib: int
    start_s: float
    per_s: float
    languages: tuple[str, ...] = ()
    workers: int | None = None
    detector: Detector = "transcript"

    async def detect(self, media: Media, progress: Progress) -> Detection:
        """One signal "speech" for each phrase.

        A video without sound, or in which nobody speaks, counts as listened to, as a whole: there is nothing in it that was not heard.
        """
        language = media.language.lower().split("-")[0]
        if self.languages and language not in self.languages:
            return Detection(_coverage(self, media, [], "unsupported", _other_language(media.language)))
        if media.audio is None:
            return Detection(_coverage(self, media, [], "analysed", "The video has no sound: there is nothing to hear."))
        answers = await answer_all(
            self.work,
            self.setup,
            [{"audio": str(media.audio.absolute()), "start_ms": start, "end_ms": end, "language": language} for start, end in media.speech],
            workers=self.workers or sensible_workers(self.memory_mib),
            deadline_s=lambda index: self.start_s + self.per_s * (media.speech[index][1] - media.speech[index][0]) / 1000,
            progress=progress,
        )
        missed = [span for span, answer in zip(media.speech, answers, strict=True) if isinstance(answer, Lost)]
        whys = [answer.why for answer in answers if isinstance(answer, Lost)]
        heard = [phrase for answer in answers if not isinstance(answer, Lost) for phrase in cast(list[dict[str, Any]], answer)]
        state = "failed" if missed and len(missed) == len(media.speech) else "analysed"
        reason = f"{len(missed)} of {len(media.speech)} stretches of speech could not be heard: {whys[0]}." if missed else ""
        return Detection(_coverage(self, media, missed, state, reason), _signals(self, heard), cast(JsonValue, heard))


def pocketsphinx_transcript(workers: int | None = None) -> Transcript:
    """The listener that comes with the product: English only, far from the state of the art, and to be trusted little.

    A phrase's score is the mean posterior of its words: under 0.3 they are mostly made up.
    """
    return Transcript(
        version=f"pocketsphinx-{version('pocketsphinx')}/en-us",
        work="pressroom.inference.transcript:pocketsphinx_listener",
        setup=None,
        memory_mib=200,
        start_s=60,
        per_s=10,
        languages=("en",),
        workers=workers,
    )


def whisper_transcript(folder: Path) -> Transcript:
    """faster-whisper with the model in `folder`; nothing is downloaded. Raises BadInput where the package or the model is missing."""
    if find_spec("faster_whisper") is None:
        raise BadInput("PRESSROOM_WHISPER_MODEL is set, but faster-whisper is not installed: pip install faster-whisper")
    if not (folder / "model.bin").is_file():
        raise BadInput(f"PRESSROOM_WHISPER_MODEL: {folder} is not the folder of a faster-whisper model (no model.bin)")
    return Transcript(
        version=f"faster-whisper-{version('faster-whisper')}/{folder.name}",
        work="pressroom.inference.transcript:whisper_listener",
        setup=str(folder.absolute()),
        memory_mib=4096,
        start_s=120,
        per_s=20,
        workers=1,  # it uses all cores itself
    )


def pocketsphinx_listener(setup: JsonValue) -> Callable[[dict[str, Any]], list[dict[str, JsonValue]]]:
    """Runs in a child: a decoder, and a function that hears one stretch of speech."""
    from pocketsphinx import Decoder

    decoder = Decoder(loglevel="FATAL", samprate=float(RATE), maxhmmpf=MOST_PATHS)

    def listen(request: dict[str, Any]) -> list[dict[str, JsonValue]]:
        words = []
        stretch = samples_between(request["audio"], request["start_ms"], request["end_ms"])
        for start_ms, samples in utterances(stretch, request["start_ms"]):
            if samples.max() < INAUDIBLE and samples.min() > -INAUDIBLE:
                continue
            # What was heard before must not colour this one (scores went from 0.26 to 0.55), or the result depends on who heard what.
            decoder.reinit_feat()
            decoder.start_utt()
            decoder.process_raw(samples.tobytes(), full_utt=True)
            decoder.end_utt()
            for part in decoder.seg() or ():
                if not part.word.startswith(NO_WORD):
                    start, end = start_ms + part.start_frame * 10, start_ms + part.end_frame * 10 + 10
                    words.append(Word(part.word.split("(")[0], start, end, part.prob))
        return [phrase(row) for row in phrases(words)]

    return listen


def whisper_listener(setup: JsonValue) -> Callable[[dict[str, Any]], list[JsonValue]]:
    """Runs in a child: the model in the folder `setup`. A phrase's score is the mean probability of its tokens."""
    import math

    import numpy as np
    from faster_whisper import WhisperModel

    model = WhisperModel(str(setup), device="cpu", compute_type="int8", local_files_only=True)

    def listen(request: dict[str, Any]) -> list[JsonValue]:
        start_ms = request["start_ms"]
        samples = samples_between(request["audio"], start_ms, request["end_ms"]).astype(np.float32) / 32768
        found, _ = model.transcribe(samples, language=request["language"], beam_size=5, condition_on_previous_text=False)
        return [
            {
                "text": one.text.strip(),
                "start_ms": start_ms + round(one.start * 1000),
                "end_ms": start_ms + round(one.end * 1000),
                "score": round(min(1.0, math.exp(one.avg_logprob)), 4),
            }
            for one in found
            if one.text.strip()
        ]

    return listen


def samples_between(audio: str, start_ms: int, end_ms: int) -> "np.ndarray[Any, Any]":
    """The stretch of a 16-bit mono WAV at 16 kHz as int16 array (n,). Raises ValueError for another kind of file."""
    import numpy as np

    with wave.open(audio, "rb") as file:
        if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, RATE):
            raise ValueError("the sound is not 16-bit mono at 16 kHz")
        first = min(file.getnframes(), start_ms * RATE // 1000)
        file.setpos(first)
        return np.frombuffer(file.readframes(max(0, end_ms * RATE // 1000 - first)), dtype="<i2")


def utterances(samples: "np.ndarray[Any, Any]", start_ms: int) -> Iterator[tuple[int, "np.ndarray[Any, Any]"]]:
    """`samples` (int16, n) in pieces of at most UTTERANCE_S, each with its time in ms: long speech is cut where it is quietest."""
    import numpy as np

    window = RATE // 50  # 20 ms
    while len(samples) > UTTERANCE_S * RATE:
        first = UTTERANCE_S * RATE * 2 // 3
        last = samples[first : UTTERANCE_S * RATE].astype(np.float64)
        loudness = np.square(last[: len(last) // window * window].reshape(-1, window)).sum(axis=1)
        cut = first + int(loudness.argmin()) * window + window // 2
        yield start_ms, samples[:cut]
        samples, start_ms = samples[cut:], start_ms + cut * 1000 // RATE
    if len(samples) >= window:
        yield start_ms, samples


class Word(NamedTuple):
    text: str
    start_ms: int
    end_ms: int
    posterior: float


def phrases(words: Sequence[Word]) -> list[list[Word]]:
    """Words in their order as phrases: a pause of PAUSE_MS or PHRASE_WORDS words end one."""
    rows: list[list[Word]] = []
    for word in words:
        if not rows or word.start_ms - rows[-1][-1].end_ms >= PAUSE_MS or len(rows[-1]) >= PHRASE_WORDS:
            rows.append([])
        rows[-1].append(word)
    return rows


def phrase(words: Sequence[Word]) -> dict[str, JsonValue]:
    score = min(1.0, max(0.0, sum(word.posterior for word in words) / len(words)))
    return {
        "text": " ".join(word.text for word in words),
        "start_ms": words[0].start_ms,
        "end_ms": words[-1].end_ms,
        "score": round(score, 4),
    }


def _signals(runner: Transcript, heard: Sequence[dict[str, Any]]) -> tuple[Signal, ...]:
    return tuple(
        Signal(detector="transcript", number=number, label="speech", version=runner.version, **phrase)
        for number, phrase in enumerate(heard)
    )


def _coverage(runner: Transcript, media: Media, missed: Sequence[tuple[int, int]], state: str, reason: str) -> Coverage:
    """Silence has been listened to by whoever found the speech in it, so all counts that was not missed."""
    gaps = [end - start for start, end in missed]
    whole = state == "analysed"
    return Coverage(
        detector="transcript",
        state=cast(Any, state),
        version=runner.version,
        seconds=max(0, media.duration_ms - sum(gaps)) / 1000 if whole else 0.0,
        of_s=media.duration_ms / 1000,
        largest_gap_s=(max(gaps, default=0) if whole else media.duration_ms) / 1000,
        looks=len(media.speech) - len(missed) if whole and media.audio else 0,
        reason=reason,
    )


def _other_language(language: str) -> str:
    return (
        f"The listener on this machine knows English only, and the video's language is {language}: set REPLICATE_API_TOKEN, "
        "or PRESSROOM_WHISPER_MODEL to the folder of a faster-whisper model."
    )
