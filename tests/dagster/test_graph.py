"""The asset graph as a whole: what every asset says of itself, and what importing it costs."""

import inspect
import subprocess
import sys
from pathlib import Path
from typing import get_args

import dagster as dg
import pytest

from content_assets.partitions import site_days, videos
from definitions import defs
from docs.asset_graph import PICTURE, SNAPSHOT, draw, snapshot

ROOT = Path(__file__).resolve().parents[2]
ASSETS = sorted(defs.resolve_all_asset_specs(), key=lambda spec: spec.key.to_user_string())
# Packages that take long to load and that most processes never need.
HEAVY = (
    "openai",
    "replicate",
    "boto3",
    "av",
    "pocketsphinx",
    "rapidocr",
    "ahocorasick",
    "PIL",
    "httpx",
    "onnxruntime",
    "sklearn",
    "scipy",
    "numpy",
    "wordllama",
    "graspologic_native",
    "alembic",
    "jinja2",
)


@pytest.mark.parametrize("spec", ASSETS, ids=lambda spec: spec.key.to_user_string())
def test_every_asset_says_what_it_is_and_whose(spec: dg.AssetSpec) -> None:
    assert spec.description
    assert len(spec.description) > 30
    assert spec.owners
    assert spec.kinds
    assert spec.code_version
    line = "compliance" if spec.group_name == "compliance" else "content"
    assert spec.tags.get("line") == line
    assert spec.group_name == spec.key.path[0]
    assert spec.partitions_def == (videos if line == "compliance" else site_days)


def test_every_asset_function_is_annotated() -> None:
    """Without it Dagster pickles what a function returns, and a backfill in a single run fails."""
    for assets in defs.resolve_asset_graph().assets_defs:
        function = assets.op.compute_fn.decorated_fn
        returns = inspect.signature(function).return_annotation
        assert returns is dg.MaterializeResult or dg.MaterializeResult in get_args(returns), f"{function.__name__} returns {returns}"


def test_every_asset_has_a_check_for_its_partitions() -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        assert graph.get(key).check_keys, f"{key.to_user_string()} has no asset check"


def test_picture_and_snapshot_are_of_this_graph() -> None:
    assert SNAPSHOT.read_text(encoding="utf-8") == snapshot(), "the graph changed: if that is meant, `make graph`"
    assert PICTURE.read_text(encoding="utf-8") == draw(), "the picture is of another graph: `make graph`"


def test_importing_the_definitions_loads_no_heavy_package() -> None:
    """Every run and every tick pays for it: the OpenAI SDK alone is 0.9 s."""
    command = f"import sys, definitions; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_the_definitions_stay_a_table_of_contents() -> None:
    assert len((ROOT / "definitions.py").read_text(encoding="utf-8").splitlines()) < 80


def test_one_run_of_a_site_at_a_time_whoever_started_it() -> None:
    """The limit is on the tag that every partitioned run has."""
    import yaml

    limits = yaml.safe_load((ROOT / "dagster.yaml").read_text(encoding="utf-8"))["concurrency"]["runs"]["tag_concurrency_limits"]
    assert limits == [{"key": "dagster/partition/site", "value": {"applyLimitPerUniqueValue": True}, "limit": 1}]
