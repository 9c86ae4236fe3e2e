"""Both object stores, the bucket behind real HTTP: moto's server, and a wire in front of it on which things go wrong."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from pressroom.objects.s3 import Place, S3Store
from pressroom.objects.store import FolderStore, ObjectStore
from tests.objects.wire import Wire

os.environ["AWS_EC2_METADATA_DISABLED"] = "true"  # nobody is asked whether this machine is one of Amazon's


@pytest.fixture(scope="session")
def s3_port() -> Iterator[int]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture(scope="session")
def s3(s3_port: int) -> Any:
    """A plain client, for what the store itself has no business doing."""
    return boto3.client(
        "s3", endpoint_url=f"http://127.0.0.1:{s3_port}", region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
    )


@pytest.fixture
def bucket(s3: Any) -> str:
    """A bucket of the test's own that keeps versions."""
    name = f"b-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def place(bucket: str, port: int) -> Place:
    return Place(bucket, "desk/", f"http://127.0.0.1:{port}", "us-east-1", SecretStr("key"), SecretStr("secret"))


@pytest.fixture
def remote(bucket: str, s3_port: int) -> S3Store:
    return S3Store(place(bucket, s3_port), attempts=2, timeout_s=10)


@pytest.fixture(scope="session")
def the_wire(s3_port: int) -> Iterator[Wire]:
    with Wire(s3_port) as wire:
        yield wire


@pytest.fixture
def wire(the_wire: Wire) -> Wire:
    the_wire.mend()
    return the_wire


@pytest.fixture
def shaky(bucket: str, wire: Wire) -> S3Store:
    """The bucket over the wire."""
    return S3Store(place(bucket, wire.port), attempts=2, timeout_s=2)


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "objects")


@pytest.fixture
def plain_remote(s3: Any, s3_port: int) -> S3Store:
    """A bucket that keeps no versions."""
    name = f"b-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    return S3Store(place(name, s3_port), attempts=2, timeout_s=10)


@pytest.fixture(params=["folder", "remote", "plain_remote"])
def objects(request: pytest.FixtureRequest) -> ObjectStore:
    store: ObjectStore = request.getfixturevalue(request.param)
    return store
