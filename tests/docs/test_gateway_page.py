"""What docs/gateway.md says runs as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "gateway.md"


def test_the_example_of_the_gateway_alone_pays_once_and_replays(environment: dict[str, str], tmp_path: Path) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

    def say() -> str:
        done = subprocess.run([sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert say().endswith("offline 0 paid")
    assert say().endswith("offline 0.000000 replayed")
