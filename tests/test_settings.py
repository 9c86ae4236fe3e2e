"""Settings: each is told of where people look, and a wrong one is one line."""

from pathlib import Path

import pytest

from pressroom.errors import BadInput
from pressroom.llm.models import model_routes
from pressroom.llm.offline_provider import OfflineProvider
from pressroom.llm.openai_provider import OpenAIProvider
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
        ("PRESSROOM_LLM", "maybe", "expected auto, openai or offline, not 'maybe'"),
        ("PRESSROOM_LLM_MAX_IN_FLIGHT", "0", "expected 1 or more, not '0'"),
        ("PRESSROOM_LLM_RPM", "many", "expected a whole number, not 'many'"),
        ("PRESSROOM_VIDEO_MAX_HOURS", "inf", "expected a number, not 'inf'"),
        ("PRESSROOM_START_DATE", "soon", "expected a day, YYYY-MM-DD, not 'soon'"),
        ("PRESSROOM_ACCOUNT", "My Desk", "expected small letters and digits, with single hyphens between, not 'My Desk'"),
        ("PRESSROOM_LLM", "sk-secret-of-mine-in-the-wrong-place", "not 'sk-s"),
        ("PRESSROOM_DATABASE_URL", "mysql://here/x", "must start with postgresql://"),
        ("PRESSROOM_STORE_URL", "folder", "must start with file:///"),
        ("PRESSROOM_STORE_URL", "file:///srv/a#b", "must start with file:///"),
        ("PRESSROOM_STORE_URL", "s3://", "s3://bucket"),
        ("PRESSROOM_STORE_URL", "s3://bucket/../other", "s3://bucket/prefix"),
        ("PRESSROOM_STORE_URL", "s3://id:secret@bucket", "without keys"),
        ("AWS_ENDPOINT_URL_S3", "s3.us-west-004.backblazeb2.com", "must be https://host"),
        ("AWS_ENDPOINT_URL_S3", "https://id:secret@host", "without a bucket or keys"),
    ],
)
def test_a_wrong_setting_is_one_line_with_its_name(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(BadInput) as caught:
        load_settings()
    assert str(caught.value).startswith(variable)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "key", "kind"),
    [
        (None, None, "offline"),
        (None, "sk-1", "openai"),
        ("http://127.0.0.1:11434/v1", None, "openai"),
        ("https://models.example/openai.com/v1", None, "openai"),
        ("https://notopenai.com/v1", None, "openai"),
        ("https://eu.api.openai.com/v1", None, "offline"),
        ("https://API.OpenAI.com:443/v1/", None, "offline"),
    ],
)
def test_an_endpoint_that_is_not_openais_own_is_asked_without_a_key(
    monkeypatch: pytest.MonkeyPatch, url: str | None, key: str | None, kind: str
) -> None:
    for name, value in (("OPENAI_BASE_URL", url), ("OPENAI_API_KEY", key)):
        monkeypatch.setenv(name, value or "")
    settings = load_settings(llm="auto")
    assert settings.llm_kind == kind
    (provider,) = model_routes(settings).of("draft").providers
    assert isinstance(provider, OpenAIProvider if kind == "openai" else OfflineProvider)
    if kind == "openai":
        assert load_settings(llm="openai").llm_kind == "openai"
    else:
        with pytest.raises(BadInput, match="OPENAI_API_KEY"):
            _ = load_settings(llm="openai").llm_kind


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """`OPENAI_API_KEY=` in a .env file that was copied from the example."""
    monkeypatch.setenv("OPENAI_API_KEY", "")
    assert load_settings().llm_kind == "offline"


@pytest.mark.parametrize(
    ("url", "bucket"),
    [
        ("s3://my-bucket", ("my-bucket", "")),
        ("s3://my-bucket/", ("my-bucket", "")),
        ("s3://my-bucket/desk", ("my-bucket", "desk/")),
        ("s3://my-bucket/a/b/", ("my-bucket", "a/b/")),
        ("file:///srv/pressroom", None),
        (None, None),
    ],
)
def test_a_store_url_is_a_bucket_with_a_prefix_or_a_folder(url: str | None, bucket: tuple[str, str] | None) -> None:
    settings = load_settings(store_url=url)
    assert settings.objects_bucket == bucket
    if bucket:
        with pytest.raises(BadInput, match="is a bucket, not a folder"):
            _ = settings.objects_folder


def test_the_folder_of_a_file_url_is_read_as_a_url(tmp_path: Path) -> None:
    assert load_settings(store_url=f"file://{tmp_path}/a%20b").objects_folder == tmp_path / "a b"
    assert load_settings(home=tmp_path).objects_folder == tmp_path / "objects"
