"""The benchmarks, each a process of its own that prints its ratios: `make bench`, or `python -m bench NAME ...` for some of them."""

import argparse
import subprocess
import sys
from pathlib import Path

NAMES = ("demo", "gateway", "drafts", "celery_drafts", "sampling", "hosted", "uploads", "source", "queue", "kills", "clustering")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--data", type=Path, metavar="FILE", help="labelled set for clustering: a CSV with the columns text and category")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in NAMES]:
        parser.error(f"no benchmark {unknown[0]!r}: there are {', '.join(NAMES)}")
    failed = [name for name in arguments.names or NAMES if not run(name, arguments.data)]
    if failed:
        sys.exit(f"bench: {', '.join(failed)} did not come to an end")


def run(name: str, data: Path | None) -> bool:
    """Whether the benchmark came to its end. What it misses of its targets it says itself."""
    if name == "clustering" and not data:
        print("bench.clustering: left out; it measures on a labelled set, a CSV with the columns text and category: make bench DATA=FILE")
        return True
    files = [str(data)] if name == "clustering" else []
    return subprocess.run([sys.executable, "-m", f"bench.{name}", *files], check=False).returncode == 0


if __name__ == "__main__":
    main()
