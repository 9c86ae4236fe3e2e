"""Site files: YAML in, checked sites out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pressroom.errors import BadInput
from pressroom.platforms.registry import platforms
from pressroom.records import Site
from pressroom.wording import complaint


def read_sites(paths: Sequence[Path]) -> list[Site]:
    """The sites of the files, in order. A file may hold several YAML documents.

    Raises BadInput that names file and key when a file cannot be read, a key is unknown or a value wrong, or two sites share a slug.
    """
    found: dict[str, tuple[Path, Site]] = {}
    for path in paths:
        for document in _documents(path):
            site = _site(path, document)
            if site.slug in found:
                raise BadInput(
                    f"{path}: slug '{site.slug}' is already the slug of the site in {found[site.slug][0]}; a slug belongs to one site"
                )
            found[site.slug] = (path, site)
    return [site for _, site in found.values()]


def _documents(path: Path) -> list[Any]:
    import yaml

    try:
        documents = [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document is not None]
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise BadInput(f"{path}{where}: no valid YAML ({getattr(error, 'problem', None) or error})") from None
    if not documents:
        raise BadInput(f"{path}: holds no site; examples/sites has examples")
    return documents


def _site(path: Path, document: Any) -> Site:
    if not isinstance(document, dict):
        raise BadInput(f"{path}: a site is a mapping of keys to values, not a {type(document).__name__}")
    try:
        site = Site.model_validate(document)
    except ValidationError as error:
        raise BadInput(f"{path}: {_first_problem(error)}") from None
    unknown = [slug for slug in site.platforms if slug not in platforms()]
    if unknown or not site.platforms:
        raise BadInput(f"{path}: platforms: {', '.join(unknown) or 'none given'}; known are {', '.join(platforms())}")
    return site


def _first_problem(error: ValidationError) -> str:
    # An unknown key first: `feild` is the cause, that `field` is missing only follows from it.
    found = error.errors(include_url=False)
    first = min(found, key=lambda problem: problem["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = Site.model_fields if len(first["loc"]) == 1 else Site.model_fields["automation"].annotation.model_fields  # type: ignore[union-attr]
        return f"unknown key '{key}'; known are {', '.join(known)}"
    if first["type"] == "missing":
        return f"key '{key}' is missing"
    return f"{key}: {complaint(first)}"
