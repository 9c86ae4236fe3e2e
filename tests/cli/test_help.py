"""`--help` answers at once: it loads nothing that only the command itself needs."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("group", "named", "heavy"),
    [
        ([], "screen", {"dagster", "sqlalchemy", "psycopg", "openai"}),
        (["prompts"], "render", {"jinja2", "yaml", "sqlalchemy", "rich.table"}),
        (["risks"], "diff", {"yaml", "ahocorasick"}),
        (["eval"], "--against", {"jinja2", "yaml", "sqlalchemy", "numpy"}),
    ],
)
def test_the_help_of_a_command_loads_nothing_heavy(group: list[str], named: str, heavy: set[str]) -> None:
    command = "import sys; from cli.main import app; from cli.output import guarded; "
    command += f"guarded(app, {[*group, '--help']!r}); print({heavy!r} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, timeout=60, check=True)
    assert named in done.stdout
    assert done.stdout.splitlines()[-1] == "set()"
