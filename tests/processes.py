"""Processes that tests start and kill: forked from one server that has done the imports, 2 to 4 of the seconds that each would take."""

import multiprocessing

import psutil

DECODER = "pressroom.compliance.child"  # the module that a video is taken apart in
PROCESSES = multiprocessing.get_context("forkserver")
# One list for all tests of a worker: the server starts with the first process, and imports nothing later.
PROCESSES.set_forkserver_preload(
    [
        "definitions",
        "cli.main",
        "cli.run",
        "openai",
        "numpy",
        "tenacity.asyncio",
        "pressroom.llm.opening",
        "pressroom.store.engine",
        "pressroom.planner.ideas",
        "pressroom.writer.drafts",
        "pressroom.accounts.sites",
        "pressroom.store.migrate",
        "graspologic_native",
        "safetensors.numpy",
        "tokenizers",
        "rich._emoji_codes",
        "tests.asking",
        "tests.databases",
        "tests.warm",
    ]
)


def children(module: str) -> list[psutil.Process]:
    """The processes of `python -m module` that this one has started and that live; other tests of this process have theirs."""
    return [child for child in psutil.Process().children() if module in child.cmdline()]
