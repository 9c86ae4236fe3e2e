"""Takes a video apart in a process of its own: frames, sound, what was measured, and how much of the video that was."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from pydantic import Field

from pressroom.compliance.sampling import Look, Sampling, frames_of, largest_gap_ms, picture_coverage, picture_signals
from pressroom.compliance.sound import Heard, sound_coverage, sound_signals, speech_spans
from pressroom.errors import Refused, Transient
from pressroom.records import Coverage, Frame, Probe, Record, Signal

# Looks done and looks planned.
Progress = Callable[[int, int], None]

# All that a decoder needs of our environment. Keys and passwords stay here: the file is a stranger's.
PASSED_ON = ("PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONPYCACHEPREFIX", "VIRTUAL_ENV")
# One thread each for numpy's libraries, which would reserve memory for every core, and one heap for our few threads.
OWN = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2", "PYTHONUNBUFFERED": "1"}
LAST_LINES = 20
# How Python says it where memory ran out at a moment when the child could not say it itself.
OUT_OF_MEMORY = ("MemoryError", "can't start new thread", "Cannot allocate memory", "failed to map segment")


class Taken(Record):
    """A video taken apart. Frames are JPEGs `key` under `large`, `small` and `thumb` of the folder; times are ms from the first frame.

    `loudness` is dBFS for each second of `audio`. `complete` is false where the work ended early: the coverages say why, and how far it
    came. `seconds` are the wall-clock seconds of each stage: start (how long the video waited for the process), index, sound, pictures.
    """

    probe: Probe
    frames: tuple[Frame, ...]
    largest_gap_ms: int
    audio: Path | None = None
    loudness: tuple[float, ...] = ()
    speech: tuple[tuple[int, int], ...] = ()
    signals: tuple[Signal, ...] = ()
    picture: Coverage
    sound: Coverage
    complete: bool = True
    seconds: dict[str, float] = Field(default_factory=dict)


@dataclass
class _Account:
    """What the child has told so far."""

    probe: Probe | None = None
    missing_ms: int = 0
    planned: int = 0
    looks: list[Look] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    refused: str = ""
    out_of_memory: bool = False
    done: bool = False

    def note(self, kind: str, value: Any) -> None:
        match kind:
            case "probe":
                self.probe = Probe.model_validate(value["probe"])
                self.missing_ms, self.planned = value["missing_ms"], value["planned"]
            case "heard":
                self.heard.append(Heard.model_validate(value))
            case "look":
                self.looks.append(Look.model_validate(value))
            case "seconds":
                self.seconds[value[0]] = value[1]
            case "refused":
                self.refused = value
            case "memory":
                self.out_of_memory = True
            case "done":
                self.done = True


def take_apart(path: Path, folder: Path, rules: Sampling, progress: Progress | None = None) -> Taken:
    """What `Decoder.take_apart` gives for a file that is here already."""
    with Decoder(rules) as decoder:
        return decoder.take_apart(path, folder, progress)


class Decoder:
    """A process that takes one video apart, and is gone at the end of the block, whatever happened in it.

    It starts with the block and waits for its video: its start, a second of imports, passes while the video is fetched.
    """

    def __init__(self, rules: Sampling) -> None:
        self._rules = rules
        self._account = _Account()
        self._last = deque[str](maxlen=LAST_LINES)

    def __enter__(self) -> "Decoder":
        self._child = _start()
        self._reader = threading.Thread(target=_keep_last, args=(self._child.stderr, self._last), daemon=True)
        self._reader.start()
        _send(self._child, self._rules.model_dump(mode="json"))
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.wait()
        self._reader.join(timeout=1)
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            if pipe:
                _close(pipe)

    def take_apart(self, path: Path, folder: Path, progress: Progress | None = None) -> Taken:
        """Frames, sound and measurements of the video at `path`, written under `folder`. The deadline counts from here. Once for a decoder.

        A video that stops decoding, or for which time or memory run out, gives what it gave: `complete` is then false. Raises Refused,
        with the reason for its owner, when the file is not a video that can be screened; Transient when the machine and not the file is
        in the way.
        """
        folder.mkdir(parents=True, exist_ok=True)
        child, begin, overdue = self._child, time.perf_counter(), threading.Event()

        def end() -> None:
            overdue.set()
            child.kill()

        clock = threading.Timer(self._rules.deadline_s, end)
        clock.daemon = True
        clock.start()
        try:
            _send(child, {"path": str(path.absolute()), "folder": str(folder.absolute())})
            _listen(child, self._account, begin, progress)
            status = child.wait()
        finally:
            clock.cancel()
        self._reader.join(timeout=1)  # what it said last
        return _taken(self._account, folder, self._rules, _trouble(self._account, status, overdue.is_set(), self._rules, self._last))


def _start() -> "subprocess.Popen[bytes]":
    """A fresh interpreter, so that nothing of ours is in its memory."""
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ} | OWN
    source = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "pressroom.compliance.child"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=source, env=environment)


def _send(child: "subprocess.Popen[bytes]", message: dict[str, Any]) -> None:
    assert child.stdin
    try:
        child.stdin.write(json.dumps(message).encode() + b"\n")
        child.stdin.flush()  # and stays open: its end is our death
    except BrokenPipeError:
        return  # it died; its status says of what


def _listen(child: "subprocess.Popen[bytes]", account: _Account, begin: float, progress: Progress | None) -> None:
    assert child.stdout
    for line in child.stdout:
        if not line.endswith(b"\n"):  # killed in the middle of it
            return
        kind, value = json.loads(line)
        if kind == "started":
            account.seconds["start"] = round(time.perf_counter() - begin, 4)
        account.note(kind, value)
        if kind == "look" and progress:
            progress(len(account.looks), max(account.planned, len(account.looks)))


def _keep_last(errors: IO[bytes], last: deque[str]) -> None:
    """Reads to the end: a decoder may complain about every packet of two hours."""
    for line in errors:
        last.append(line.decode(errors="replace").rstrip()[:500])


def _close(pipe: IO[bytes]) -> None:
    try:
        pipe.close()
    except BrokenPipeError:
        return


def _trouble(account: _Account, status: int, overdue: bool, rules: Sampling, last: deque[str]) -> str:
    """Why the child came to no good end, one sentence; "" if it did.

    Raises Refused where it said so, Transient where the machine is to blame, RuntimeError for a bug of ours.
    """
    if account.refused:
        raise Refused(account.refused)
    if account.done:
        return ""
    if overdue:
        return f"Decoding was ended at its deadline of {rules.deadline_s:g} s."
    if account.out_of_memory or any(sign in line for line in last for sign in OUT_OF_MEMORY):
        return f"Decoding needs more than the {rules.memory_mib} MiB of memory it may use."
    if status in (-signal.SIGTERM, -signal.SIGINT):
        raise Transient("The process that decodes a video was told to stop.")
    if status < 0 and "start" not in account.seconds:
        raise Transient(f"The process that decodes a video was ended before it had seen it ({signal.Signals(-status).name}).")
    if status < 0:
        return f"The decoder crashed on it ({signal.Signals(-status).name})."
    said = next((line for line in reversed(last) if line.strip()), "")
    if "No space left on device" in said:
        raise Transient("No space is left on the disk for the frames of a video.")
    raise RuntimeError(f"the process that decodes a video ended with status {status}: {said}")


def _taken(account: _Account, folder: Path, rules: Sampling, trouble: str) -> Taken:
    probe, looks, heard = account.probe, account.looks, account.heard
    if probe is None or not (looks or heard or not trouble):
        raise Refused(f"The video could not be read. {trouble}")
    frames = frames_of(looks, rules)
    picture = picture_coverage(looks, probe, account.missing_ms, rules, trouble)
    sound = sound_coverage(heard, probe, account.missing_ms, "" if "sound" in account.seconds else trouble)
    return Taken(
        probe=probe,
        frames=frames,
        largest_gap_ms=largest_gap_ms(looks, probe.duration_ms),
        audio=folder / "audio.wav" if heard else None,
        loudness=tuple(second.level_db for second in heard),
        speech=speech_spans(heard),
        signals=picture_signals(looks, frames, probe.duration_ms) + sound_signals(heard),
        picture=picture.model_copy(update={"stood_for": sum(frame.same_as is not None for frame in frames)}),
        sound=sound,
        complete=not trouble,
        seconds=account.seconds,
    )
