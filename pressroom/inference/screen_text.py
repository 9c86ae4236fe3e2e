"""Text on the screen, read on this machine: rapidocr on onnxruntime, with the PP-OCR models that come in its wheel."""

from collections.abc import Callable
from importlib.metadata import version

from pydantic import JsonValue

from pressroom.inference.frames import FrameRunner

# Languages in other letters than the reader's alphabet, which has Latin, Chinese and Japanese ones. It answers the others with look-alikes
# ("Привет" becomes zeros), so a video in one of these is not read, even if some Latin letters in it are.
_OTHER_LETTERS = (
    "am ar as be bg bn bo ckb dv el fa gu he hi hy ka kk km kn ko ky lo mk ml mn mr my ne or pa ps ru sa sd si sr ta te tg th ti ug uk ur "
    "yi"
)
OTHER_LETTERS = frozenset(_OTHER_LETTERS.split())
# Peak of one process on 1,280 × 720 frames: 410 to 580 MiB.
MEMORY_MIB = 600


def screen_text(workers: int | None = None) -> FrameRunner:
    """The reader of burnt-in text: one signal "text" for each line and the time it stands there; `score` is the reader's confidence.

    A frame takes 0.3 to 1 s on one core. `workers`: processes, by default one for each core.
    """
    return FrameRunner(
        detector="screen_text",
        version=f"rapidocr-{version('rapidocr')}",
        work="pressroom.inference.screen_text:reader",
        large=True,
        memory_mib=MEMORY_MIB,
        workers=workers,
        partial=unreadable,
    )


def unreadable(language: str) -> str:
    """One sentence on what cannot be read in a video of this language (BCP 47), or nothing."""
    if language.lower().split("-")[0] not in OTHER_LETTERS:
        return ""
    return (
        f"The reader on this machine knows Latin, Chinese and Japanese letters, not those of the video's language ({language}): "
        "set REPLICATE_API_TOKEN to use a hosted one."
    )


def reader(setup: JsonValue) -> Callable[[str], list[JsonValue]]:
    """Runs in a child: the models loaded, and a function that reads one picture. One thread, so that the answer is the same everywhere."""
    import cv2
    import numpy as np
    from PIL import Image
    from rapidocr import RapidOCR
    from rapidocr.utils.output import RapidOCROutput

    cv2.setNumThreads(1)
    engine = RapidOCR(
        params={
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            "Global.log_level": "critical",
        }
    )

    def read(path: str) -> list[JsonValue]:
        with Image.open(path) as picture:  # decoded here, because rapidocr reads half a JPEG as if it were whole
            pixels = np.asarray(picture.convert("RGB"))[:, :, ::-1]
        height, width = pixels.shape[:2]
        result = engine(np.ascontiguousarray(pixels))
        if not isinstance(result, RapidOCROutput) or result.boxes is None or result.txts is None or result.scores is None:
            return []
        size = np.array([width, height])
        return [
            ["text", round(float(score), 4), _corners(np.asarray(points) / size), str(text)]
            for points, text, score in zip(result.boxes, result.txts, result.scores, strict=True)
            if str(text).strip()
        ]

    return read


def _corners(points: object) -> list[JsonValue]:
    """The upright box around four points, inside the picture."""
    import numpy as np

    inside = np.clip(np.asarray(points, dtype=float), 0.0, 1.0)
    return [round(float(value), 4) for value in (*inside.min(axis=0), *inside.max(axis=0))]
