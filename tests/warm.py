"""Imported by the server that test processes are forked from: what the first run loads, they have."""

import gc
import os
import shutil
import tempfile
from contextlib import chdir
from pathlib import Path

from cli.executing import dagster_instance
from content_assets.partitions import SITES
from definitions import defs
from pressroom.writer import drafts

drafts.warm_up()
for job in ("daily_content", "daily_report"):
    defs.resolve_job_def(job)
# What Dagster imports, and the schema that it writes, for an instance in a folder.
with tempfile.TemporaryDirectory() as folder, chdir(folder):
    shutil.copy(Path(__file__).parents[1] / "dagster.yaml", folder)
    os.environ.pop("DAGSTER_HOME", None)
    with dagster_instance() as instance:
        instance.get_dynamic_partitions(SITES)
gc.freeze()  # a collection in a process would else copy every page that it looks at
