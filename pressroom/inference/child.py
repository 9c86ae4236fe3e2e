"""Work on untrusted pictures and sound in processes of its own: each answer has a deadline, and a process that dies costs one answer.

`multiprocessing` is not used: its spawned processes import the caller's main module first, which under Dagster is all of Dagster. A child
here is a fresh interpreter that imports one function. It talks JSON lines, never pickles: what it decodes is not trusted, nor is what it
says.
"""

import asyncio
import contextlib
import importlib
import json
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from pressroom.inference.types import Progress

# Loading a model took 1.5 to 2.5 s on two cores; a machine that is busy or swapping takes many times that.
START_S = 120.0
# Frames of one video that each kill a process are one bad video, not bad luck: the rest is given up instead of waiting for every deadline.
MOST_LOST = 5
# One answer is one line: a screen full of text is some 20 KB, an hour of words 2 MB.
LINE_BYTES = 64 << 20
# A child whose parent is gone must not work on for ever: it ends itself this long after its deadline.
ORPHAN_S = 10


@dataclass(frozen=True)
class Lost:
    """Why a request has no answer, as the end of a sentence. `fatal`: its process went with it."""

    why: str
    fatal: bool = False


class Child:
    """One process that answers requests one after the other; started by the first, and anew after one that it did not survive."""

    def __init__(self, work: str, setup: JsonValue) -> None:
        """`work` is `module:function`; the function takes `setup` and returns what answers one request."""
        self.work = work
        self.setup = setup
        self._process: asyncio.subprocess.Process | None = None

    async def ask(self, request: JsonValue, *, deadline_s: float) -> JsonValue | Lost:
        """The answer, or why there is none."""
        if self._process is None and (lost := await self._start()):
            return lost
        answer = await self._exchange({"request": request, "deadline_s": deadline_s}, deadline_s)
        if isinstance(answer, Lost):
            return answer
        return Lost(answer["error"]) if "error" in answer else answer["answer"]

    async def close(self) -> None:
        """End the process, whatever it is doing."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        if process.stdin:
            process.stdin.close()
        await process.wait()

    async def _start(self) -> Lost | None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "from pressroom.inference.child import serve; serve()",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=LINE_BYTES,
            env=_environment(),
        )
        answer = await self._exchange({"work": self.work, "setup": self.setup}, START_S)
        if isinstance(answer, dict) and "error" in answer:
            await self.close()
            return Lost(answer["error"], fatal=True)
        return answer if isinstance(answer, Lost) else None

    async def _exchange(self, message: JsonValue, deadline_s: float) -> dict[str, Any] | Lost:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            async with asyncio.timeout(deadline_s):
                process.stdin.write(json.dumps(message).encode() + b"\n")
                await process.stdin.drain()
                line = await process.stdout.readline()
            answer = json.loads(line)
            return answer if isinstance(answer, dict) else {"error": "the process answered nonsense"}
        except TimeoutError:
            await self.close()
            return Lost(f"no answer within {deadline_s:.0f} s", fatal=True)
        except (OSError, ValueError):  # the pipe broke, the line is half a line, empty or too long
            await self.close()
            return Lost("the process died", fatal=True)
        except asyncio.CancelledError:
            await self.close()
            raise


async def answer_all(
    work: str, setup: JsonValue, requests: Sequence[JsonValue], *, workers: int, deadline_s: Callable[[int], float], progress: Progress
) -> list[JsonValue | Lost]:
    """An answer for each request, in their order, by at most `workers` processes. `deadline_s` is given the request's index.

    The answers do not depend on `workers`. When MOST_LOST processes were lost, what is left is given up.
    """
    answers: list[JsonValue | Lost] = [Lost("given up after other failures")] * len(requests)
    waiting = iter(range(len(requests)))
    done = lost = 0

    async def drain() -> None:
        nonlocal done, lost
        child = Child(work, setup)
        try:
            for index in waiting:
                if lost >= MOST_LOST:
                    return
                answer = answers[index] = await child.ask(requests[index], deadline_s=deadline_s(index))
                lost += isinstance(answer, Lost) and answer.fatal
                done += 1
                progress(done, len(requests))
        finally:
            await child.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(min(workers, len(requests))):
            group.create_task(drain())
    return answers


def sensible_workers(memory_mib: int) -> int:
    """Processes of `memory_mib` each that this machine has cores and free memory for, at least one."""
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, psutil.virtual_memory().available // (memory_mib << 20)))


def serve() -> None:
    """The child's life: load what the first line names, then answer each line until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries that print must not speak for us
    first = json.loads(sys.stdin.readline())
    work: Callable[[Any], Any] | None = None

    def say(make: Callable[[], Any]) -> None:
        try:
            message = {"answer": make()}
        except Exception as error:  # noqa: BLE001 - whatever a library raises on a broken picture is the answer
            message = {"error": _one_line(error)}
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    def load() -> None:
        nonlocal work
        module, _, name = first["work"].partition(":")
        work = getattr(importlib.import_module(module), name)(first["setup"])

    say(load)
    for line in sys.stdin:
        message = json.loads(line)
        if hasattr(signal, "alarm"):
            signal.alarm(math.ceil(message["deadline_s"]) + ORPHAN_S)
        assert work is not None
        say(lambda message=message, work=work: work(message["request"]))  # type: ignore[misc]
        if hasattr(signal, "alarm"):
            signal.alarm(0)


def _environment() -> dict[str, str]:
    """Ours, with the same import path; one thread for each process, so that several do not fight over the cores."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}


def _one_line(error: Exception) -> str:
    text = (str(error).strip().splitlines() or [""])[0][:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
