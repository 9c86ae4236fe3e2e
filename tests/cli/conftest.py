"""The desk of the whole runs, for commands that should not get as far."""

from tests.dagster.conftest import desk, endpoint

__all__ = ["desk", "endpoint"]
