"""How long the demo takes, and what of it is ours: `python -m bench.demo`.

The first run starts an embedded PostgreSQL in an empty folder, migrates, imports, clusters and writes; the second replays. Beside both, in
the same run, what any Dagster process costs before it does anything: the import of dagster and a run of a job with one empty asset.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EMPTY = """
import dagster as dg

@dg.asset
def nothing() -> None:
    pass

dg.materialize([nothing])
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="pressroom-bench-") as folder:
        home = Path(folder)
        (home / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text(encoding="utf-8"), encoding="utf-8")
        (home / "examples").symlink_to(ROOT / "examples")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PRESSROOM_", "OPENAI_", "DAGSTER_"))}
        environment |= {"PYTHONPATH": str(ROOT), "PRESSROOM_HOME": str(home / "home"), "PRESSROOM_LLM": "offline"}

        def seconds(*command: str) -> float:
            begin = time.perf_counter()
            subprocess.run([sys.executable, *command], cwd=home, env=environment, check=True, capture_output=True)
            return time.perf_counter() - begin

        pressroom = ("-c", "import sys; from cli.main import main; sys.argv = sys.argv[1:]; main()", "pressroom")
        empty = min(seconds("-c", EMPTY) for _ in range(3))
        first, second = seconds(*pressroom, "demo"), seconds(*pressroom, "demo")
        subprocess.run([sys.executable, *pressroom, "db", "stop"], cwd=home, env=environment, check=True, capture_output=True)
    print(f"bench.demo: an empty Dagster run {empty:.1f} s")
    print(f"bench.demo: first demo {first:.1f} s = {first / empty:.1f} × the empty run; second {second:.1f} s = {second / empty:.1f} ×")


if __name__ == "__main__":
    main()
