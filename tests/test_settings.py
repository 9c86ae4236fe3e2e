"""Settings: each is told of where people look, and a wrong one is one line."""

from pathlib import Path

import pytest

from pressroom.errors import BadInput
from pressroom.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parents[1]
VARIABLES = [str(field.validation_alias or f"PRESSROOM_{name.upper()}") for name, field in Settings.model_fields.items()]


@pytest.mark.parametrize("variable", VARIABLES)
def test_every_setting_stands_in_the_readme_and_in_the_example(variable: str) -> None:
    assert f"`{variable}`" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"# {variable}=" in (ROOT / ".env.example").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PRESSROOM_LLM", "maybe", "'auto', 'openai' or 'offline'"),
        ("PRESSROOM_LLM_MAX_IN_FLIGHT", "0", "greater than or equal to 1"),
        ("PRESSROOM_START_DATE", "soon", "valid date"),
        ("PRESSROOM_DATABASE_URL", "mysql://here/x", "must start with postgresql://"),
        ("PRESSROOM_STORE_URL", "folder", "must start with file:///"),
    ],
)
def test_a_wrong_setting_is_one_line_with_its_name(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(BadInput) as caught:
        load_settings()
    assert str(caught.value).startswith(variable)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """`OPENAI_API_KEY=` in a .env file that was copied from the example."""
    monkeypatch.setenv("OPENAI_API_KEY", "")
    assert load_settings().llm_kind == "offline"
