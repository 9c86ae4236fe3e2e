"""Hosted detectors against their critical path, against what a limit permits, and what de-duplication saves: `python -m bench.hosted`.

The runners are those of a screening, over an exchange with its ledger and its pace on PostgreSQL. The simulated Replicate is a process of
its own, whose predictions take 1 s and, for the times, see nothing: what a picture costs the simulator is not the product's.
Beside the critical path stands what a bare client needs for the same creates and one look at each, in turn in the same process: aiohttp
alone, without ledger, pace and detectors. CPU time is this process's: neither the endpoint's nor PostgreSQL's is in it.
The limit is the account's real one; what it permits is no more than so many creates in any minute, all of them at once if need be.
"""

import asyncio
import base64
import dataclasses
import gc
import json
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from bench import parts
from bench.gateway import Spent, spent
from pressroom.compliance.sampling import Sampling
from pressroom.compliance.taking import take_apart
from pressroom.inference.catalogue import Catalogue, HostedModel, catalogue
from pressroom.inference.hosted import CREATES_A_MINUTE, IN_FLIGHT, HostedModels, HostedRunner, hosted_limits, hosted_runners
from pressroom.inference.replicate_account import LONGEST_DATA_URI
from pressroom.inference.types import Detection, Media
from pressroom.llm.budget import RunBudget
from pressroom.llm.gateway import Exchange
from pressroom.llm.types import Scope
from pressroom.records import Detector
from pressroom.safety.judging import judge
from pressroom.safety.policy import policy
from pressroom.store.calls import Ledger
from pressroom.store.engine import Store
from pressroom.store.lanes import LaneBook
from pressroom.store.locks import OwnerLock
from tests import videos
from tests.samples import SITE, site_applied

NAME = "hosted"
FRAMES, SECONDS, LATENCY_S, ROUNDS = 60, 120, 1.0, 5
VIDEOS_AT_ONCE = 3  # 723 calls: more than a minute permits
MOST_RATIO, MOST_OVER_LIMIT, LEAST_SAVED = 1.25, 1.05, 0.30
LOOK_AGAIN_S = 0.02  # of the bare client, at what is not done when it should be
TOKEN = "r8_bench_0123456789abcdef"
NOTHING = "simulators.replicate_answers:nothing"
COLOURS = "simulators.replicate_answers:answer"

Found = Mapping[Detector, Detection]


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """The simulated Replicate, as another process sees it."""

    base_url: str

    def stats(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.base_url}/_stats", timeout=10) as reply:
            found: dict[str, Any] = json.load(reply)
        return found


@contextmanager
def endpoint(*, answers: str, latency_s: float = LATENCY_S, rpm: int | None = None) -> Iterator[Endpoint]:
    options = ["--port", "0", "--latency", str(latency_s), "--answers", answers, *(["--rpm", str(rpm)] if rpm else [])]
    command = [sys.executable, "-m", "simulators.replicate", *options]
    with subprocess.Popen(command, cwd=parts.ROOT, env=parts.environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            name, _, url = process.stdout.readline().strip().partition("=")
            if name != "REPLICATE_BASE_URL":
                raise SystemExit("bench: the simulated Replicate did not start")
            yield Endpoint(url)
        finally:
            process.kill()


@contextmanager
def exchange(store: Store, models: HostedModels, *, in_flight: int, creates_a_minute: int | None) -> Iterator[Exchange]:
    """The hosted calls of one run, as `pressroom.inference.opening` makes them, their client imported and made."""
    limits = hosted_limits(in_flight=in_flight, creates_a_minute=creates_a_minute)
    for provider in models.providers():
        provider.warm_up()
    gc.freeze()  # as definitions.py does, in whose processes runs are
    with (
        OwnerLock(store) as owner,
        Exchange(models, Ledger(store, owner), LaneBook(store, owner), limits=limits, budget=RunBudget(parts.A_LOT_USD)) as made,
    ):
        yield made


def runners_of(made: Exchange, models: HostedModels, generation: str) -> dict[Detector, HostedRunner]:
    """The runners of one screening. A generation that is new is asked anew, though the video is the same."""
    scope = Scope(SITE.account_id, SITE.id, run_id="bench", asset="bench", generation=generation)
    return hosted_runners(models, lambda detector: made.gateway(scope))


async def detected(runners: Mapping[Detector, HostedRunner], media: Media) -> Found:
    """What all detectors say of a video, all at work together."""
    found = await asyncio.gather(*(runner.detect(media, lambda done, total: None) for runner in runners.values()))
    return dict(zip(runners, found, strict=True))


def calls_of(found: Found) -> int:
    return sum(detection.calls for detection in found.values())


def taken(path: Path, folder: Path, *, rules: Sampling | None = None) -> Media:
    """The video taken apart as a screening does it."""
    apart = take_apart(path, folder, rules or Sampling())
    assert apart.complete
    return Media(f"video/{path.stem}", apart.probe.duration_ms, apart.frames, folder, apart.audio, apart.speech)


def every_frame(media: Media) -> Media:
    """The same video with no frame standing for another."""
    return dataclasses.replace(media, frames=tuple(frame.model_copy(update={"same_as": None}) for frame in media.frames))


def film(folder: Path) -> Media:
    """Two minutes of 720p with a tone, of which every frame is sent: a frame every two seconds."""
    clip = videos.Clip(videos.moving, SECONDS, fps=2, size=(1280, 720), gop=4, sound=videos.Sound(videos.tone(SECONDS)))
    media = every_frame(taken(videos.make(folder / "film.mp4", clip), folder / "film"))
    assert len(media.frames) == FRAMES, f"{len(media.frames)} frames"
    return media


def timed(store: Store, media: Media, table: Catalogue, *, in_flight: int) -> tuple[list[Spent], list[Spent], int]:
    """What each round without a limit took, ours and the bare client's, and its calls. In each, nothing is known yet of how long runs
    take, and no connection is open."""
    ours: list[Spent] = []
    bare: list[Spent] = []
    asked = documents(media, table)
    with endpoint(answers=NOTHING) as replicate:
        for number in range(ROUNDS):
            models = HostedModels(table, token=SecretStr(TOKEN), base_url=replicate.base_url)
            with exchange(store, models, in_flight=in_flight, creates_a_minute=None) as made:
                runners = runners_of(made, models, f"{len(table.detectors)}-{in_flight}-{number}")
                found: list[Found] = []
                ours.append(spent(lambda: found.append(asyncio.run(detected(runners, media)))))  # noqa: B023 - called at once
            for detection in found[0].values():
                assert detection.coverage.state == "analysed"
                assert not detection.coverage.reason
            assert calls_of(found[0]) == len(asked)
            bare.append(spent(lambda: asyncio.run(send_all(replicate.base_url, asked, in_flight=in_flight))))
            assert replicate.stats()["creates"] == 2 * len(asked) * (number + 1)
    return ours, bare, len(asked)


def documents(media: Media, table: Catalogue) -> list[tuple[HostedModel, Path]]:
    """What is asked: each model of the table about each frame, or about the whole sound."""
    asked = []
    for detector, entry in table.detectors.items():
        frames = [media.large(frame) if entry.frames == "large" else media.small(frame) for frame in media.frames]
        assert media.audio
        asked += [(entry, path) for path in ([media.audio] if detector == "transcript" else frames)]
    return asked


async def send_all(base_url: str, asked: Sequence[tuple[HostedModel, Path]], *, in_flight: int) -> None:
    """Every create, and a look at each when it is done, by aiohttp alone."""
    import aiohttp

    places = asyncio.Semaphore(in_flight)
    headers = {"authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(f"{base_url}/v1/", headers=headers, connector=aiohttp.TCPConnector(limit=0)) as session:

        async def received(method: str, path: str, **sent: Any) -> dict[str, Any]:
            async with session.request(method, path, **sent) as reply:
                assert reply.ok
                found: dict[str, Any] = await reply.json()
                return found

        async def address(path: Path) -> str:
            if path.stat().st_size < LONGEST_DATA_URI * 3 // 4 - 100:
                return f"data:image/jpeg;base64,{base64.b64encode(path.read_bytes()).decode()}"
            with path.open("rb") as file:
                return str((await received("POST", "files", data={"content": file}))["urls"]["get"])

        async def send(entry: HostedModel, path: Path) -> None:
            async with places:
                url = await address(path)
                values = entry.filled({"$image": url, "$images": [url], "$audio": url, "$language": "en"})
                where = "predictions" if entry.version else f"models/{entry.model}/predictions"
                made = await received("POST", where, json={"version": entry.version, "input": values})
                await asyncio.sleep(LATENCY_S)
                while (await received("GET", f"predictions/{made['id']}"))["status"] != "succeeded":
                    await asyncio.sleep(LOOK_AGAIN_S)

        await asyncio.gather(*(send(*each) for each in asked))


def critical_path(store: Store, media: Media, table: Catalogue, *, in_flight: int) -> None:
    """Lines: wall time beside that of the rounds of calls which the places in flight make necessary, and beside the bare client's."""
    ours, bare, calls = timed(store, media, table, in_flight=in_flight)
    path = ceil(calls / in_flight) * LATENCY_S
    (best, median), (bare_best, bare_median) = (walls(rounds) for rounds in (ours, bare))
    detectors = "all five detectors" if len(table.detectors) > 2 else " and ".join(table.detectors)
    parts.line(
        f"{NAME}.path",
        f"{FRAMES} frames + audio, {detectors}, {calls} calls, {in_flight} in flight: {best:.2f} s, median {median:.2f}",
        f"{median / path:.2f} × the critical path of {path:g} s",
        target=f"≤ {MOST_RATIO} ×",
        met=median / path <= MOST_RATIO,
    )
    cpu, bare_cpu = (1000 * statistics.median(each.cpu for each in rounds) / calls for rounds in (ours, bare))
    parts.line(
        f"{NAME}.path",
        f"the same by a bare client: {bare_best:.2f} s, median {bare_median:.2f}, {bare_median / path:.2f} × the path; ours",
        f"{median / bare_median:.2f} × the bare client's; CPU {cpu:.1f} ms a call beside {bare_cpu:.1f}",
    )


def walls(rounds: Sequence[Spent]) -> tuple[float, float]:
    """The shortest round and the median, in s."""
    seconds = [each.wall for each in rounds]
    return min(seconds), statistics.median(seconds)


def limited(store: Store, media: Media) -> None:
    """A line: three such videos at once, with the limit on at both ends."""
    with endpoint(answers=NOTHING, rpm=CREATES_A_MINUTE) as replicate:
        models = HostedModels(catalogue(), token=SecretStr(TOKEN), base_url=replicate.base_url)
        with exchange(store, models, in_flight=IN_FLIGHT, creates_a_minute=CREATES_A_MINUTE) as made:
            each = [runners_of(made, models, f"limited-{number}") for number in range(VIDEOS_AT_ONCE)]

            async def all_of() -> list[Found]:
                return await asyncio.gather(*(detected(runners, media) for runners in each))

            begin = time.perf_counter()
            found = asyncio.run(all_of())
            seconds = time.perf_counter() - begin
        stats = replicate.stats()
    calls = sum(map(calls_of, found))
    assert stats["creates"] == calls > CREATES_A_MINUTE
    permitted = (ceil(calls / CREATES_A_MINUTE) - 1) * 60 + LATENCY_S
    ratio = seconds / permitted
    parts.line(
        f"{NAME}.limit",
        f"{calls} calls, at most {CREATES_A_MINUTE} a minute: {seconds:.1f} s, {stats['most_in_minute']} in the fullest minute, "
        f"{stats['throttled']} refused",
        f"{ratio:.3f} × the {permitted:g} s that the limit permits",
        target=f"≤ {MOST_OVER_LIMIT} ×",
        met=ratio <= MOST_OVER_LIMIT and not stats["throttled"],
    )


def coloured(colour: tuple[int, int, int], painter: videos.Painter, *, share: float = 0.5) -> videos.Painter:
    """`painter` with a band of one colour over the lower part of the picture: what the simulated models find."""

    def paint(at: float, width: int, height: int) -> videos.Picture:
        picture = painter(at, width, height).copy()
        picture[round(height * (1 - share)) :] = colour
        return picture

    return paint


def talking(at: float, width: int, height: int) -> videos.Picture:
    """A head before a wall: it sways by some pixels, and its mouth opens and shuts."""
    import numpy as np
    from PIL import Image, ImageDraw

    across = np.linspace(60, 150, width, dtype=np.uint8)
    image = Image.fromarray(np.repeat(np.stack([across, across, across[::-1]], axis=1)[None], height, axis=0))
    pen, sway, open_px = ImageDraw.Draw(image), 6 * np.sin(at * 1.7), height * 0.03 * (1 + np.sin(at * 9))
    middle, top = width / 2 + sway, height * 0.2
    pen.rectangle((middle - width * 0.2, height * 0.75, middle + width * 0.2, height), fill=(40, 60, 80))
    pen.ellipse((middle - height * 0.22, top, middle + height * 0.22, height * 0.8), fill=(205, 160, 130))
    pen.ellipse((middle - 30, height * 0.62, middle + 30, height * 0.62 + open_px), fill=(90, 40, 40))
    return np.asarray(image)


def slides() -> videos.Painter:
    """Eight slides of 15 s: text on plain paper, one with a red picture, one in yellow."""
    pages = []
    for number in range(8):
        page = videos.with_text(f"Slide {number + 1}: {'quarter ' * (number % 3 + 1)}", videos.plain(235 - 12 * number), px=34 + 4 * number)
        if number == 2:
            page = coloured((220, 30, 30), page)
        if number == 5:
            page = coloured((230, 220, 40), page)
        pages.append((15.0, page))
    return videos.scenes(*pages)


def example_set(folder: Path) -> dict[str, Media]:
    """A talking head, slides and moving scenes, two minutes each, with something to be found in each."""
    magenta, red, yellow = (220, 30, 220), (220, 30, 30), (230, 220, 40)
    painters = {
        "a talking head": videos.scenes(
            (40, talking), (9, coloured(yellow, talking, share=0.3)), (41, talking), (5, coloured(red, talking)), (25, talking)
        ),
        "slides": slides(),
        "moving scenes": videos.scenes(
            (50, videos.moving),
            (7, coloured(red, videos.moving)),
            (33, videos.moving),
            (3, coloured(magenta, videos.moving)),
            (27, videos.moving),
        ),
    }
    clips = {name: videos.Clip(painter, SECONDS, fps=5, size=(640, 360), gop=10) for name, painter in painters.items()}
    return {name: taken(videos.make(folder / f"{name.replace(' ', '-')}.mp4", clip), folder / name) for name, clip in clips.items()}


def triggers_of(found: Found, media: Media) -> list[tuple[str, int, int]]:
    """Code, start and end in ms of each trigger under the shipped policy."""
    signals = [signal for detection in found.values() for signal in detection.signals]
    triggers, _ = judge(signals, [detection.coverage for detection in found.values()], policy("default"), media.duration_ms)
    return [(trigger.code, trigger.start_ms, trigger.end_ms) for trigger in triggers]


def saved(store: Store, folder: Path) -> None:
    """Lines: for each video of the example set the calls with and without de-duplication, and whether the triggers are the same."""
    sent = all_calls = 0
    same = True
    with endpoint(answers=COLOURS, latency_s=0) as replicate:
        models = HostedModels(catalogue(), token=SecretStr(TOKEN), base_url=replicate.base_url)
        with exchange(store, models, in_flight=IN_FLIGHT, creates_a_minute=None) as made:
            for name, media in example_set(folder).items():
                ours = asyncio.run(detected(runners_of(made, models, "own frames"), media))
                every = asyncio.run(detected(runners_of(made, models, "every frame"), every_frame(media)))
                triggers, expected = triggers_of(ours, media), triggers_of(every, media)
                sent, all_calls, same = sent + calls_of(ours), all_calls + calls_of(every), same and triggers == expected
                assert expected, f"{name}: nothing was found"
                told = f"the same {len(triggers)} triggers" if triggers == expected else f"triggers {triggers} instead of {expected}"
                parts.line(f"{NAME}.saved", f"{name}: {calls_of(ours)} of {calls_of(every)} calls, {told}")
    share = 1 - sent / all_calls
    parts.line(
        f"{NAME}.saved",
        f"{sent} of {all_calls} calls, {'the same triggers' if same else 'other triggers'}",
        f"{share:.0%} saved",
        target=f"≥ {LEAST_SAVED:.0%}, the same triggers",
        met=share >= LEAST_SAVED and same,
    )


def main() -> None:
    whole = catalogue()
    some = Catalogue(detectors={name: whole.detectors[name] for name in ("transcript", "objects")})
    with parts.home() as home, parts.store_in(home) as store:
        with store.transaction() as session:
            site_applied(session)
        media = film(home)
        critical_path(store, media, some, in_flight=IN_FLIGHT)
        critical_path(store, media, whole, in_flight=IN_FLIGHT)
        saved(store, home)
        limited(store, media)


if __name__ == "__main__":
    main()
