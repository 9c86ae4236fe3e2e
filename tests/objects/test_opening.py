"""Which store the settings name."""

import subprocess
import sys
from pathlib import Path

import pytest

from pressroom.errors import BadInput
from pressroom.objects.opening import open_objects
from pressroom.objects.s3 import Place, S3Store
from pressroom.objects.store import FolderStore
from pressroom.settings import load_settings
from resources.objects import ObjectsResource


def test_without_a_setting_it_is_a_folder_at_home(tmp_path: Path) -> None:
    store = open_objects(load_settings(home=tmp_path))
    assert isinstance(store, FolderStore)
    assert store.folder == tmp_path / "objects"


def test_a_file_url_is_a_folder_and_an_s3_url_a_bucket(monkeypatch: pytest.MonkeyPatch, s3_port: int, bucket: str, tmp_path: Path) -> None:
    monkeypatch.setenv("PRESSROOM_STORE_URL", f"file://{tmp_path}/a%20b")
    ObjectsResource().open().write("v/film.mp4", b"here")
    assert (tmp_path / "a b" / "v" / "film.mp4").read_bytes() == b"here"
    monkeypatch.setenv("PRESSROOM_STORE_URL", f"s3://{bucket}/desk")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{s3_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    store = ObjectsResource().open()
    store.write("v/film.mp4", b"there")
    assert store.read("v/film.mp4") == b"there"
    assert store.location("v/film.mp4") == f"s3://{bucket}/desk/v/film.mp4"
    assert isinstance(store, S3Store)
    assert ObjectsResource().open() is store  # its connections and signed URLs serve the next tick too


@pytest.mark.parametrize("variable", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_half_a_key_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv("PRESSROOM_STORE_URL", "s3://a-bucket")
    monkeypatch.setenv(variable, "half")
    with pytest.raises(BadInput, match="set both, or neither"):
        open_objects(load_settings())


@pytest.mark.parametrize(
    ("endpoint", "region", "signed"),
    [
        ("https://s3.us-west-004.backblazeb2.com", None, "us-west-004"),
        ("https://s3.eu-central-003.backblazeb2.com", "elsewhere", "elsewhere"),
        ("https://s3.eu-west-1.amazonaws.com", None, "eu-west-1"),
        ("http://minio:9000", None, None),
        (None, None, None),
    ],
)
def test_the_region_is_the_one_in_the_endpoints_name(endpoint: str | None, region: str | None, signed: str | None) -> None:
    assert Place("a-bucket", endpoint=endpoint, region=region).signing_region == signed


def test_boto3_is_not_imported_before_a_bucket_is_used() -> None:
    code = "import sys, pressroom.objects.opening; print('boto3' in sys.modules or 'botocore' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
