"""What the simulated models see and hear: a function of the bytes that they are sent, in the shape of the model that they stand for.

A picture's colours decide: much red is violence and a weapon, much magenta is nudity, much yellow is a line of text. Sound that is not
silent has a sentence every five seconds. So a test paints what it wants found.
"""

import io
import json
import wave
from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

ENOUGH = 0.2  # of a picture's pixels have a colour: then it is there
# Each colour as the least and the most of red, green and blue; JPEG changes them by some ten steps.
COLOURS = {"red": ((150, 0, 0), (255, 90, 90)), "magenta": ((150, 0, 150), (255, 90, 255)), "yellow": ((150, 150, 0), (255, 255, 110))}
TEXT = "GUARANTEED WINS 100%"
SENTENCE_S, LOUD = 5, 200  # of 32,767
SENTENCES = ("Welcome to the harbour.", "This cure works in three days.", "We will shoot at dawn.", "Thank you for watching.")


@dataclass(frozen=True)
class Asked:
    """One prediction as it was asked for. `files` has the bytes behind each input that names a file, in order."""

    number: int
    model: str  # owner/name
    version: str
    input: dict[str, Any]
    files: tuple[bytes, ...]
    identity: str  # SHA-256 of version and input, with files by their content: the same question however they were sent


Answers = Callable[[Asked], Any]


def answer(asked: Asked) -> Any:
    """The output of the model of this name; a picture's colours for one that is not known."""
    name = asked.model.rpartition("/")[2]
    seen = [colours(file) for file in asked.files] or [frozenset[str]()]
    first = seen[0]
    match name:
        case "whisper":
            said = sentences(asked.files[0]) if asked.files else []
            segments = [{"id": number, "start": at, "end": at + SENTENCE_S, "text": f" {text}"} for number, (at, text) in enumerate(said)]
            return {"transcription": " ".join(text for _, text in said), "detected_language": "english", "segments": segments}
        case "incredibly-fast-whisper":
            said = sentences(asked.files[0]) if asked.files else []
            chunks: list[dict[str, Any]] = [{"text": f" {text}", "timestamp": [at, at + SENTENCE_S]} for at, text in said]
            if chunks:
                chunks[-1]["timestamp"][1] = None  # as the real one leaves it where the sound ends
            return {"text": " ".join(text for _, text in said), "chunks": chunks}
        case "grounding-dino":
            return {"detections": [_thing(asked.files[0])] if "red" in first else [], "result_image": None}
        case "yolo-world":
            left, top, right, bottom = _thing(asked.files[0])["bbox"] if "red" in first else (0, 0, 0, 0)
            thing = {"x0": left, "y0": top, "x1": right, "y1": bottom, "score": 0.82, "cls": "gun"}
            return {"json_str": json.dumps({"Det-0": thing} if "red" in first else {}), "media_path": None}
        case "nsfw_image_detection":
            return "nsfw" if "magenta" in first else "normal"
        case "nsfw-image-detection-2026":
            return [
                {"label": "nsfw" if (bad := "magenta" in one) else "normal", "score": 0.97 if bad else 0.02, "flagged": bad} for one in seen
            ]
        case "llama-guard-4-12b":
            return "unsafe\nS1,S9" if "red" in first else "safe"
        case "text-extract-ocr":
            return TEXT if "yellow" in first else ""
    return sorted(first)


def nothing(asked: Asked) -> Any:
    """The output of the model of this name where there is nothing to be seen or heard: to find that out costs no time."""
    return answer(replace(asked, files=()))


def colours(content: bytes) -> frozenset[str]:
    """The colours that a picture has enough of; none for what is no picture."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content)) as image:
            pixels = image.convert("RGB").resize((32, 32)).tobytes()
    except (UnidentifiedImageError, OSError):
        return frozenset()
    dots = list(zip(pixels[::3], pixels[1::3], pixels[2::3], strict=True))
    return frozenset(
        name for name, (least, most) in COLOURS.items() if sum(_between(dot, least, most) for dot in dots) > ENOUGH * len(dots)
    )


def sentences(content: bytes) -> list[tuple[int, str]]:
    """When each sentence begins, in seconds, and the sentence: one for each five seconds that are not silent. 16-bit WAV."""
    try:
        with wave.open(io.BytesIO(content)) as sound:
            step, samples = SENTENCE_S * sound.getframerate() * sound.getnchannels(), array("h", sound.readframes(sound.getnframes()))
    except (wave.Error, EOFError, ValueError):
        return []
    loud = [at for at in range(0, len(samples), step) if max(map(abs, samples[at : at + step : 7]), default=0) > LOUD]
    return [(at // step * SENTENCE_S, SENTENCES[at // step % len(SENTENCES)]) for at in loud]


def _thing(content: bytes) -> dict[str, Any]:
    """A gun in the middle of the picture, in pixels."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        width, height = image.size
    return {"bbox": [width // 4, height // 4, 3 * width // 4, 3 * height // 4], "label": "gun", "confidence": 0.82}


def _between(dot: tuple[int, int, int], least: tuple[int, int, int], most: tuple[int, int, int]) -> bool:
    return all(low <= value <= high for low, value, high in zip(least, dot, most, strict=True))
