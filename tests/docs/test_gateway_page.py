"""What docs/gateway.md says runs as it stands there."""

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

from pressroom.store.costs import By
from simulators.openai import OpenAISimulator

PAGE = Path(__file__).resolve().parents[2] / "docs" / "gateway.md"


def run_example(environment: dict[str, str], folder: Path) -> str:
    """What the page's program prints, in a process of its own."""
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    done = subprocess.run([sys.executable, "-c", program], env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_example_of_the_gateway_alone_pays_once_and_replays(environment: dict[str, str], tmp_path: Path) -> None:
    assert run_example(environment, tmp_path).endswith("offline 0 paid")
    assert run_example(environment, tmp_path).endswith("offline 0.000000 replayed")


def test_the_example_says_why_an_answer_that_was_paid_has_no_value(environment: dict[str, str], tmp_path: Path) -> None:
    with OpenAISimulator() as simulator:
        simulator.fail("refusal")
        hosted = {"PRESSROOM_LLM": "openai", "OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": simulator.base_url}
        said = run_example(environment | hosted, tmp_path)
    assert said.startswith("refusal: the model refused gpt-4.1-mini 0.0")
    assert said.endswith(" paid")


def test_the_pages_name_every_way_to_add_up_costs() -> None:
    page, readme = (path.read_text(encoding="utf-8") for path in (PAGE, PAGE.parents[1] / "README.md"))
    assert "|".join(get_args(By)) in page
    assert "\\|".join(get_args(By)) in readme
