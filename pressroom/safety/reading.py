"""Reads the YAML files that people edit: one line for each mistake, with the file, the entry and the field."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pressroom.errors import BadInput
from pressroom.wording import complaint

M = TypeVar("M", bound=BaseModel)


class Mistakes(BadInput):
    """A file that cannot be used; `lines` has one for each mistake in it."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)
        more = f" (and {len(self.lines) - 1} more)" if len(self.lines) > 1 else ""
        super().__init__(f"{self.lines[0]}{more}")


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises Mistakes that name the file and, where it is known, the line."""
    import yaml

    try:
        found = yaml.load(path.read_text(encoding="utf-8-sig"), _loader())
    except OSError as error:
        raise Mistakes([f"{path}: cannot be read ({error.strerror})"]) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise Mistakes([f"{path}{where}: no valid YAML ({getattr(error, 'problem', None) or 'it cannot be read'})"]) from None
    except (ValueError, RecursionError):  # not UTF-8, an impossible date, brackets without end
        raise Mistakes([f"{path}: no valid YAML in UTF-8"]) from None
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise Mistakes([f"{path}: expected a mapping, such as 'risks:' with a list"])
    return found


def _loader() -> Any:
    """YAML as people mean it: `no` is a word and not false, 1:20 no base-60 number, and a key may not stand twice."""
    import yaml

    class Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen: set[str] = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"the key '{key.value}' stands twice", key.start_mark)
                seen.add(str(key.value))
            return super().construct_mapping(node, deep)

    kept = ("tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")
    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag in kept]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return Loader


def validated(model: type[M], document: Mapping[str, Any], named: Callable[[tuple[int | str, ...]], str]) -> M:
    """`document` as the model. `named` says an entry for people: ("risks", 3) is "VIO.GORE". Raises Mistakes without the file's name."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise Mistakes(_line(problem, named) for problem in error.errors(include_url=False)) from None


def in_file(path: Path, error: Mistakes) -> Mistakes:
    return Mistakes(f"{path}: {line}" for line in error.lines)


def _line(problem: Any, named: Callable[[tuple[int | str, ...]], str]) -> str:
    where = named(tuple(problem["loc"]))
    message = f"unknown field '{problem['loc'][-1]}'" if problem["type"] == "extra_forbidden" else complaint(problem)
    return f"{where}: {message}" if where else message


def field_path(steps: Iterable[int | str]) -> str:
    """The steps to a field as people write them: detectors[2].threshold, counted from 1."""
    path = ""
    for step in steps:
        path += f"[{step + 1}]" if isinstance(step, int) else f".{step}" if path else step
    return path
