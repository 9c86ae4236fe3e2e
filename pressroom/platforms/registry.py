"""Which platforms there are: every module of this package that has a `PLATFORM`, in the order of the blocks in platforms.yaml."""

import importlib
import pkgutil
from functools import cache

import pressroom.platforms
from pressroom.errors import BadInput
from pressroom.platforms import rules
from pressroom.platforms.base import Platform


@cache
def platforms() -> dict[str, Platform]:
    """Every platform by its slug. Raises BadInput when a platform has no block in platforms.yaml."""
    modules = [
        importlib.import_module(f"pressroom.platforms.{module.name}") for module in pkgutil.iter_modules(pressroom.platforms.__path__)
    ]
    found: dict[str, Platform] = {module.PLATFORM.slug: module.PLATFORM for module in modules if hasattr(module, "PLATFORM")}
    order = rules.order()
    if missing := sorted(found.keys() - set(order)):
        raise BadInput(f"{rules.FILE.name}: no block for the platform {missing[0]!r}")
    return {slug: found[slug] for slug in order if slug in found}


def platform(slug: str) -> Platform:
    """The platform `slug`. Raises BadInput that names the known ones."""
    if slug not in platforms():
        raise BadInput(f"unknown platform {slug!r}: expected one of {', '.join(platforms())}")
    return platforms()[slug]
