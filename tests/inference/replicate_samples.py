"""A painted video, and the real gateway before the simulated Replicate."""

import math
import struct
import wave
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import SecretStr

from pressroom.inference.catalogue import Catalogue, HostedModel, catalogue
from pressroom.inference.hosted import HostedModels, HostedRunner, hosted_runners
from pressroom.inference.replicate_account import Signing
from pressroom.inference.types import Media
from pressroom.llm.gateway import Exchange
from pressroom.llm.pace import Rules
from pressroom.llm.types import Budget, Limits, Scope
from pressroom.records import Detector, Frame
from pressroom.store.calls import Ledger
from pressroom.store.engine import Store
from pressroom.store.lanes import LaneBook
from pressroom.store.locks import OwnerLock
from simulators.replicate import ReplicateSimulator
from tests.samples import SITE, site_applied

TOKEN = "r8_test_4f9c2d7e81a0b3c6"
SCOPE = Scope(SITE.account_id, SITE.id, run_id="run-1", asset="compliance/detectors")
EVERY_MS = 2000  # between two frames


def one_model(detector: Detector, **changes: Any) -> Catalogue:
    """The shipped table with one detector only, changed."""
    entry = catalogue().detectors[detector]
    return Catalogue(detectors={detector: HostedModel.model_validate(entry.model_dump() | changes)})


def paint(folder: Path, colours: Sequence[str], *, same: dict[int, int] | None = None, audio: Path | None = None) -> Media:
    """A video of one frame every two seconds, each of one colour; `same` says which frame stands for which. Every frame is another file."""
    for size in ("large", "small"):
        (folder / size).mkdir(parents=True, exist_ok=True)
    frames = []
    for number, colour in enumerate(colours):
        frame = Frame(
            number=number,
            at_ms=number * EVERY_MS,
            key=f"{number:06d}.jpg",
            hash=f"{number:016x}",
            sharpness=1,
            same_as=(same or {}).get(number),
        )
        for size, width in (("large", 128), ("small", 64)):
            image = Image.new("RGB", (width, width * 9 // 16), colour)
            for dot in range(8):  # its number in black and white dots, so that no two files are the same
                image.paste("white" if number >> dot & 1 else "black", (dot * 4, 0, dot * 4 + 4, 4))
            image.save(folder / size / frame.key, "JPEG")
        frames.append(frame)
    return Media("video-1", len(colours) * EVERY_MS, tuple(frames), folder, audio=audio)


def hum(path: Path, seconds: float) -> Path:
    """A tone as the sound of a video: 16-bit mono WAV at 16 kHz."""
    tone = [round(8000 * math.sin(at / 8)) for at in range(1600)]
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(struct.pack("<1600h", *tone) * round(10 * seconds))
    return path


@contextmanager
def detectors_of(
    store: Store,
    base_url: str,
    table: Catalogue | None = None,
    *,
    tries: int = 2,
    timeout_s: float | None = None,
    budget: Budget | None = None,
    item_usd: Decimal | None = None,
    signed: Signing | None = None,
) -> Iterator[dict[Detector, HostedRunner]]:
    """The runners of one process before the endpoint. `timeout_s` puts a deadline of the gateway's before that of the prediction."""
    with store.transaction() as session:
        site_applied(session)
    models = HostedModels(table or catalogue(), token=SecretStr(TOKEN), base_url=base_url, signed=signed, timeout_s=timeout_s)
    limits = Limits(Rules(in_flight=64), tries=tries, first_wait_s=0.01, item_usd=item_usd)
    for provider in models.providers():
        provider.warm_up()
    with (
        OwnerLock(store) as owner,
        Exchange(models, Ledger(store, owner), LaneBook(store, owner), limits=limits, budget=budget) as exchange,
    ):
        yield hosted_runners(models, lambda detector: exchange.gateway(SCOPE))


def quiet(done: int, total: int) -> None:
    """Progress that nobody looks at."""


__all__ = ["SCOPE", "TOKEN", "ReplicateSimulator", "detectors_of", "hum", "one_model", "paint", "quiet"]
