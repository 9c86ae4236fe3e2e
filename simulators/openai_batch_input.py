"""What OpenAI's Batch API asks of a batch and of its file, with the codes and words of the real one."""

import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

from simulators.openai_wire import Api, Refused, hold_parameters, is_served

ENDPOINTS: dict[str, Api] = {"/v1/responses": "responses", "/v1/chat/completions": "chat", "/v1/embeddings": "embeddings"}
PARAMETERS = frozenset(["completion_window", "endpoint", "input_file_id", "metadata", "output_expires_after"])
MOST_LINES = 50_000
# The part of a body that holds the words, by API, with the name it has in an error.
WORDS: dict[Api, str] = {"responses": "input", "chat": "messages", "embeddings": "input"}
FIELDS: dict[str, type] = {"custom_id": str, "method": str, "url": str, "body": dict}


class Line(NamedTuple):
    custom_id: str
    body: dict[str, Any]


class Problem(NamedTuple):
    """One entry of a failed batch's `errors.data`; `line` counts from 1."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


def hold_batch(body: dict[str, Any]) -> None:
    """Refuses what the creation of a batch refuses; the file is looked at later. Raises Refused."""
    hold_parameters(body, PARAMETERS)
    for name in ("input_file_id", "endpoint", "completion_window"):
        if not isinstance(body.get(name), str):
            raise Refused(400, "missing_required_parameter", f"Missing required parameter: '{name}'.", param=name)
    if body["endpoint"] not in ENDPOINTS:
        known = ", ".join(f"'{name}'" for name in ENDPOINTS)
        raise Refused(400, "invalid_value", f"Invalid value: '{body['endpoint']}'. Supported values are: {known}.", param="endpoint")
    if body["completion_window"] != "24h":
        message = f"Invalid value: '{body['completion_window']}'. Value must be '24h'."
        raise Refused(400, "invalid_value", message, param="completion_window")
    _hold_metadata(body.get("metadata") or {})


def _hold_metadata(metadata: Any) -> None:
    if not isinstance(metadata, dict) or len(metadata) > 16:
        raise Refused(400, "invalid_type", "Invalid type for 'metadata': expected at most 16 pairs of strings.", param="metadata")
    for name, value in metadata.items():
        if not isinstance(value, str):
            raise Refused(400, "invalid_type", f"Invalid type for 'metadata.{name}': expected a string.", param=f"metadata.{name}")
        if len(name) > 64 or len(value) > 512:
            message = f"Invalid 'metadata.{name[:64]}': a key has at most 64 characters, a value at most 512."
            raise Refused(400, "string_above_max_length", message, param="metadata")


def read_batch(content: bytes, endpoint: str, models: Iterable[str]) -> tuple[list[Line], list[Problem]]:
    """The lines of a batch's file, and all that is wrong with them: with one problem the whole batch fails and nothing is paid.

    The body is only looked at as far as the real validation looks: what the endpoint itself would refuse fails as a line, later.
    """
    rows = content.removesuffix(b"\n").split(b"\n") if content.strip() else []
    if not rows:
        return [], [Problem("empty_file", "The input file is empty. Please ensure that your batch contains at least one request.")]
    if len(rows) > MOST_LINES:
        message = f"The batch input file contains too many requests: the maximum is {MOST_LINES}."
        return [], [Problem("too_many_tasks", message)]
    lines: list[Line] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    for number, row in enumerate(rows, 1):
        found = _read_line(row, endpoint, frozenset(models))
        if isinstance(found, Line):
            found = _fit(found, lines[0] if lines else found, seen)
        if isinstance(found, Line):
            seen.add(found.custom_id)
            lines.append(found)
        else:
            problems.append(found._replace(line=number))
    return lines, problems


def _fit(line: Line, first: Line, seen: set[str]) -> Line | Problem:
    """The line, unless it does not go with those before it."""
    if line.custom_id in seen:
        message = (
            f"The custom_id '{line.custom_id}' for this request is a duplicate of another request. "
            "The custom_id parameter must be unique for each request in a batch."
        )
        return Problem("duplicate_custom_id", message, "custom_id")
    if line.body["model"] != first.body["model"]:
        message = (
            f"The model '{line.body['model']}' for this request does not match the rest of the batch. "
            "Each batch must contain requests for a single model."
        )
        return Problem("mismatched_model", message, "body.model")
    return line


def _read_line(row: bytes, endpoint: str, models: frozenset[str]) -> Line | Problem:
    given: Any = None
    with suppress(ValueError):
        given = json.loads(row)
    if not isinstance(given, dict):
        return Problem("invalid_json_line", "This line is not parseable as valid JSON.")
    for name, kind in FIELDS.items():
        if name not in given:
            return Problem("missing_required_parameter", f"Missing required parameter: '{name}'.", name)
        if not isinstance(given[name], kind):
            return Problem("invalid_type", f"Invalid type for '{name}'.", name)
    if given["method"] != "POST":
        return Problem("invalid_method", f"Invalid value: '{given['method']}'. The method must be 'POST'.", "method")
    if given["url"] != endpoint:
        return Problem("invalid_url", "The URL provided for this request does not match the batch endpoint.", "url")
    return _hold_body(given["body"], ENDPOINTS[endpoint], models) or Line(given["custom_id"], given["body"])


def _hold_body(body: dict[str, Any], api: Api, models: frozenset[str]) -> Problem | None:
    words = WORDS[api]
    if not body.get("model"):
        return Problem("invalid_request", "Model parameter is required.", "body.model")
    if not is_served(str(body["model"]), models):
        return Problem("model_not_found", f"The provided model '{body['model']}' is not supported by the Batch API.", "body.model")
    if not body.get(words):
        return Problem("invalid_request", f"{words.capitalize()} parameter is required.", f"body.{words}")
    if body.get("stream"):
        return Problem("streaming_unsupported", "Streaming is not supported in the Batch API.", "body.stream")
    return None
