"""The process in which an upload is decoded: `python -m pressroom.compliance.child`, started by `taking` and by nobody else.

It reads two JSON lines from standard input, the rules when it starts and the video's place when that is there, and writes what it has, one
JSON line each, to standard output, so that whatever happens to it, everything up to that moment is known. It has no key, no database and no
network to offer to a file that takes it over.
"""

import json
import math
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

# Seconds beyond the parent's deadline at which the system ends this process even if the parent is gone and the decoder hangs.
GRACE_S = 10


def main() -> None:
    rules = json.loads(_line())
    _limit(rules["memory_mib"])
    channel = os.fdopen(os.dup(1), "w", encoding="ascii", buffering=1)
    os.dup2(2, 1)  # a codec that prints does not print into the messages

    def tell(kind: str, value: Any) -> None:
        channel.write(json.dumps([kind, value]) + "\n")

    try:
        _take(rules, tell)
    except MemoryError:
        tell("memory", None)
    except BrokenPipeError:
        os._exit(1)
    channel.flush()
    os._exit(0)  # a thread waits on standard input, a codec may hang in its clean-up: nothing is left to be saved


def _line() -> bytes:
    """What the parent says next. Does not return when the parent is gone."""
    return sys.stdin.buffer.readline() or os._exit(1)


def _take(given: dict[str, Any], tell: Any) -> None:
    from pressroom.compliance.pictures import look
    from pressroom.compliance.probe import read_index
    from pressroom.compliance.sampling import Sampling, missing_ms, plan_looks
    from pressroom.compliance.sound import listen
    from pressroom.errors import Refused

    rules, job = Sampling.model_validate(given), json.loads(_line())
    _end_with(rules.deadline_s)
    tell("started", None)
    path, folder, begin = Path(job["path"]), Path(job["folder"]), time.perf_counter()
    try:
        index = read_index(path, rules)
    except Refused as refused:
        tell("refused", str(refused))
        return
    plan = plan_looks(index.times, [bool(key) for key in index.keys], index.probe.duration_ms, rules)
    missing = missing_ms(index.claimed_ms, index.found_ms)
    tell("probe", {"probe": index.probe.model_dump(mode="json"), "missing_ms": missing, "planned": len(plan)})
    begin = _lap(tell, "index", begin)
    if index.audio_stream is not None:
        for second in listen(path, index, folder / "audio.wav"):
            tell("heard", second.model_dump(mode="json"))
        begin = _lap(tell, "sound", begin)
    for seen in look(path, index, plan, folder, rules):
        tell("look", seen.model_dump(mode="json"))
    _lap(tell, "pictures", begin)
    tell("done", None)


def _lap(tell: Any, stage: str, begin: float) -> float:
    now = time.perf_counter()
    tell("seconds", [stage, round(now - begin, 4)])
    return now


def _limit(memory_mib: int) -> None:
    """The system's own limit, where it has one: Windows does not, macOS does not hold it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = memory_mib * 1024**2
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end_with(deadline_s: float) -> None:
    """Ends the work behind its deadline, or with the parent."""
    if sys.platform != "win32":
        signal.alarm(math.ceil(deadline_s) + GRACE_S)  # its default action ends a process inside of a codec too
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """The parent holds the other end of standard input and writes nothing more: an end of file is its death."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main()
