"""Taking a video apart against ffmpeg's command: `python -m bench.sampling`. The files are made first, which takes most of the time.

Compared on one 5-minute 720p H.264 file with a keyframe every 60 pictures: `take_apart`, in its process, with that process's start, its
index of all packets and its JPEGs in three sizes, against `ffmpeg -skip_frame nokey` and `ffmpeg -vf fps=1` writing JPEGs of the same
three sizes with a quality of about the same bytes (-q:v 4). The file has no sound for these; what sound costs is a line of its own.
"""

import argparse
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bench.parts import line
from pressroom.compliance.sampling import Sampling
from pressroom.compliance.taking import Taken, take_apart

T = TypeVar("T")
SECONDS, FPS = 300, 30
PIECE_S = 20  # is made once and repeated: a whole number of groups of 60 and of 600 pictures
MOST, LEAST = 1.3, 5.0
RULES = Sampling()
PICTURE = f"testsrc2=size=1280x720:rate={FPS}:duration={PIECE_S},noise=alls=6:allf=t"  # moves, has text and grain, as footage does


def ffmpeg(*arguments: str) -> None:
    import imageio_ffmpeg

    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *arguments], check=True)


def made(folder: Path, gop: int, *, sound: bool = False) -> Path:
    """The file with a keyframe every `gop` pictures, and B-pictures between."""
    piece, whole = folder / "piece.mkv", folder / f"gop{gop}{'-sound' if sound else ''}.mp4"
    coding = f"-c:v libx264 -preset veryfast -b:v 4M -bf 3 -pix_fmt yuv420p -g {gop} -keyint_min {gop} -sc_threshold 0".split()
    ffmpeg("-f", "lavfi", "-i", PICTURE, *coding, str(piece))
    tone = ("-f", "lavfi", "-i", f"sine=frequency=300:sample_rate=48000:duration={SECONDS}", "-c:a", "aac") if sound else ()
    ffmpeg("-stream_loop", str(SECONDS // PIECE_S - 1), "-i", str(piece), *tone, "-c:v", "copy", str(whole))
    return whole


def by_ffmpeg(path: Path, folder: Path, *, before: tuple[str, ...] = (), chain: str = "") -> int:
    """Writes JPEGs of our three sizes with the command; the number of pictures."""
    for size in ("large", "small", "thumb"):
        (folder / size).mkdir(parents=True)
    split = f"[0:v:0]{chain}split=3[large][b][c];[b]scale={RULES.small_px}:-2[small];[c]scale={RULES.thumb_px}:-2[thumb]"
    outputs: list[str] = []
    for size in ("large", "small", "thumb"):
        outputs += ["-map", f"[{size}]", "-fps_mode", "passthrough", "-q:v", "4", str(folder / size / "%08d.jpg")]
    ffmpeg(*before, "-i", str(path), "-filter_complex", split, *outputs)
    return sum(1 for _ in (folder / "large").iterdir())


def timed(work: Callable[[Path], T], times: int) -> tuple[float, float, T]:
    """The median wall-clock seconds of so many turns, each in an empty folder, the processor's of each, and what the last one gave."""
    seconds: list[float] = []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(times):
        with tempfile.TemporaryDirectory(prefix="pressroom-bench-") as folder:
            begin = time.perf_counter()
            found = work(Path(folder))
            seconds.append(time.perf_counter() - begin)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return statistics.median(seconds), processor / times, found


def stages(taken: Taken) -> str:
    return ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in taken.seconds.items())


def taken_from(path: Path) -> Callable[[Path], Taken]:
    return lambda folder: take_apart(path, folder, RULES)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.sampling", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=3, help="turns of each, of which the median counts (default: 3)")
    times = parser.parse_args().times
    with tempfile.TemporaryDirectory(prefix="pressroom-bench-") as folder:
        files = Path(folder)
        short, long, sounding = made(files, 60), made(files, 600), made(files, 60, sound=True)

        ours, ours_cpu, taken = timed(taken_from(short), times)
        most_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        keyframes, keyframes_cpu, count = timed(lambda out: by_ffmpeg(short, out, before=("-skip_frame", "nokey")), times)
        each_second, _, seconds_count = timed(lambda out: by_ffmpeg(short, out, chain="fps=1,"), 1)
        ratio, gain = ours / keyframes, each_second / ours
        line(
            "sampling.keyframes",
            f"{ours:.2f} s for {len(taken.frames)} frames ({stages(taken)})",
            f"{ratio:.2f} × ffmpeg -skip_frame nokey ({keyframes:.2f} s, {count} frames)",
            target=f"<= {MOST}",
            met=ratio <= MOST,
        )
        line(
            "sampling.processor", f"{ours_cpu:.2f} s", f"{ours_cpu / keyframes_cpu:.2f} × ffmpeg -skip_frame nokey ({keyframes_cpu:.2f} s)"
        )
        line(
            "sampling.fps",
            f"{ours:.2f} s",
            f"{gain:.1f} × faster than ffmpeg -vf fps=1 ({each_second:.2f} s, {seconds_count} frames)",
            target=f">= {LEAST:g}",
            met=gain >= LEAST,
        )
        promise(taken, "sampling.gap")
        long_s, _, filled = timed(taken_from(long), 1)
        speed = f"{SECONDS / long_s:.0f} × real time"
        line("sampling.long_groups", f"{long_s:.2f} s for {len(filled.frames)} frames ({stages(filled)})", speed)
        promise(filled, "sampling.long_groups_gap")
        with_sound, _, heard = timed(taken_from(sounding), 1)
        line("sampling.with_sound", f"{with_sound:.2f} s ({stages(heard)})", f"{SECONDS / with_sound:.0f} × real time")
        line("sampling.memory", f"{most_mib:.0f} MiB at most in the process that decodes")


def promise(taken: Taken, name: str) -> None:
    gap = taken.largest_gap_ms / 1000
    line(name, f"{gap:.2f} s", target=f"<= {RULES.max_gap_s:g} s", met=gap <= RULES.max_gap_s)


if __name__ == "__main__":
    main()
