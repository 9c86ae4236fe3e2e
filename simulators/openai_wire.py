"""What goes over OpenAI's wire: requests, read as strictly as the endpoint reads them, and the documents that answer them."""

import hashlib
import json
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Api = Literal["responses", "chat", "embeddings"]

MODELS = ("gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "gpt-4o", "gpt-4o-mini", "gpt-5", "gpt-5-mini", "gpt-5-nano", "o3", "o4-mini")
GAVE_UP = "The model failed to generate a response."
UNKNOWN_MODEL = "The model `{model}` does not exist or you do not have access to it."
SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
REASONING = re.compile(r"^(o\d|gpt-5)")

_SHARED = """metadata model parallel_tool_calls prompt_cache_key safety_identifier service_tier store stream temperature tools
    tool_choice top_p user"""
_RESPONSES = """background conversation include input instructions max_output_tokens max_tool_calls previous_response_id prompt
    reasoning text top_logprobs truncation"""
_CHAT = """frequency_penalty logit_bias logprobs max_completion_tokens max_tokens messages modalities n presence_penalty
    reasoning_effort response_format seed stop top_logprobs verbosity"""
_STRICT = """$defs $ref additionalProperties anyOf const description enum exclusiveMaximum exclusiveMinimum format items maxItems
    maximum minItems minimum multipleOf pattern properties required title type"""
PARAMETERS: dict[Api, frozenset[str]] = {
    "responses": frozenset(f"{_SHARED} {_RESPONSES}".split()),
    "chat": frozenset(f"{_SHARED} {_CHAT}".split()),
    "embeddings": frozenset(["dimensions", "encoding_format", "input", "model", "user"]),
}
STRICT_KEYWORDS = frozenset(_STRICT.split())


class Refused(Exception):
    """The request is not one that the endpoint would take: status, code, message and parameter of the error document."""

    def __init__(self, status: int, code: str | None, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.param = status, code, param


class Tokens(NamedTuple):
    input: int
    cached: int
    output: int
    reasoning: int


@dataclass(frozen=True)
class Asked:
    """One request to a model, as it came; `number` counts from 1."""

    api: Api
    model: str
    instructions: str
    input: str
    schema_name: str
    schema: dict[str, Any]
    limit: int | None
    body: dict[str, Any]
    number: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    at: float = field(default_factory=time.monotonic)

    @property
    def seed(self) -> str:
        return hashlib.sha256(f"{self.model}\n{self.instructions}\n{self.input}".encode()).hexdigest()

    @property
    def input_tokens(self) -> int:
        if self.api == "embeddings":
            texts = self.body["input"]
            return sum(map(tokens, [texts] if isinstance(texts, str) else texts))
        return tokens(self.instructions) + tokens(self.input) + tokens(json.dumps(self.schema))

    @property
    def most_tokens(self) -> int:
        """What the request counts against a limit of tokens: its input and the most that it lets the model write."""
        return self.input_tokens + (self.limit or 0)


def read_request(api: Api, body: dict[str, Any], models: tuple[str, ...]) -> Asked:
    """The request for a text, checked as the real endpoint checks it. Raises Refused."""
    model = read_model(api, body, models)
    if body.get("stream"):
        raise Refused(400, "unsupported_value", "Unsupported value: 'stream' is not simulated.", param="stream")
    if REASONING.match(model):
        for name in ("temperature", "top_p", "max_tokens"):
            if body.get(name) is not None:
                message = f"Unsupported parameter: '{name}' is not supported with this model."
                raise Refused(400, "unsupported_parameter", message, param=name)
    if api == "responses":
        if body.get("background") and body.get("store") is False:
            raise Refused(400, "invalid_value", "A response in the background must be stored: set 'store' to true.", param="store")
        instructions, words = body.get("instructions") or "", _words(body.get("input"), "input")
        form, where = (body.get("text") or {}).get("format") or {}, "text.format"
        limit = body.get("max_output_tokens")
        if limit is not None and limit < 16:
            message = f"Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got {limit} instead."
            raise Refused(400, "integer_below_min_value", message, param="max_output_tokens")
    else:
        messages = body.get("messages")
        words = _words(messages, "messages", but=("system", "developer"))
        instructions = "\n".join(m["content"] for m in messages or () if m["role"] in ("system", "developer"))
        form, where = body.get("response_format") or {}, "response_format"
        if form.get("type") == "json_schema":
            form, where = {"type": "json_schema", **(form.get("json_schema") or {})}, "response_format.json_schema"
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
    schema: dict[str, Any] = {}
    if form.get("type") == "json_schema":
        schema = form.get("schema") or {}
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", str(form.get("name", ""))):
            raise Refused(400, "invalid_value", f"Invalid '{where}.name': expected letters, digits, _ and -.", param=f"{where}.name")
        if form.get("strict") is True:
            hold_strict(schema, str(form["name"]))
    return Asked(api, model, instructions, words, str(form.get("name", "")), schema, limit, body)


def read_model(api: Api, body: dict[str, Any], models: Iterable[str]) -> str:
    """The name of the model; refuses a parameter that the API does not have. Raises Refused."""
    hold_parameters(body, PARAMETERS[api])
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Refused(400, "missing_required_parameter", "you must provide a model parameter", param="model")
    if not is_served(model, models):
        raise Refused(404, "model_not_found", UNKNOWN_MODEL.format(model=model), param="model")
    return model


def is_served(model: str, models: Iterable[str]) -> bool:
    """Whether it is one of the models, or a dated snapshot of one."""
    return not {model, SNAPSHOT.sub("", model)}.isdisjoint(models)


def hold_parameters(body: dict[str, Any], known: frozenset[str]) -> None:
    if unknown := sorted(body.keys() - known):
        raise Refused(400, "unknown_parameter", f"Unknown parameter: '{unknown[0]}'.", param=unknown[0])


def _words(value: Any, param: str, *, but: tuple[str, ...] = ()) -> str:
    """The text of an `input` or of `messages`, without the roles in `but`."""
    if isinstance(value, str) and param == "input":
        return value
    if not isinstance(value, list) or not all(isinstance(m, dict) and isinstance(m.get("content"), str) and m.get("role") for m in value):
        raise Refused(400, "invalid_type", f"Invalid type for '{param}': expected messages with a role and a text.", param=param)
    return "\n".join(message["content"] for message in value if message["role"] not in but)


def hold_strict(schema: dict[str, Any], name: str) -> None:
    """Raises Refused with the endpoint's words when a strict schema is not one."""
    if schema.get("type") != "object":
        message = f"Invalid schema for response_format '{name}': schema must be a JSON Schema of 'type: \"object\"'."
        raise Refused(400, "invalid_json_schema", message)
    open_ends: list[tuple[str, Any]] = [("root", schema)]
    while open_ends:
        path, part = open_ends.pop()
        why = ""
        if not isinstance(part, dict):
            why = "a schema must be an object"
        elif extra := sorted(part.keys() - STRICT_KEYWORDS):
            why = f"'{extra[0]}' is not permitted"
        elif "$ref" in part and part.keys() - {"$ref", "$defs"}:
            why = "$ref cannot have keywords beside it"
        elif not part.keys() & {"type", "anyOf", "$ref", "enum", "const"}:
            why = "schema must have a 'type' key"
        elif part.get("type") == "object":
            if part.get("additionalProperties") is not False:
                why = "'additionalProperties' is required to be supplied and to be false"
            elif sorted(part.get("required", ())) != sorted(part.get("properties", {})):
                why = "'required' is required to be supplied and to be an array including every key in properties"
        if why:
            raise Refused(400, "invalid_json_schema", f"Invalid schema for response_format '{name}': In context=({path}), {why}.")
        for key in ("properties", "$defs"):
            open_ends += [(f"{path}.{child}", value) for child, value in part.get(key, {}).items()]
        open_ends += [(f"{path}.anyOf", branch) for branch in part.get("anyOf", ())]
        if "items" in part:
            open_ends.append((f"{path}.items", part["items"]))


def response(asked: Asked, text: str, ending: str, spent: Tokens) -> dict[str, Any]:
    """The document of a response. `ending` is empty for a good one, else `incomplete`, `filtered`, `refusal` or `failed`."""
    part: dict[str, Any] = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    if ending == "refusal":
        part = {"type": "refusal", "refusal": text}
    reason = {"incomplete": "max_output_tokens", "filtered": "content_filter"}.get(ending)
    failed = ending == "failed"
    status = "failed" if failed else "incomplete" if reason else "completed"
    message = {"id": f"msg_{asked.seed[:32]}", "type": "message", "status": status, "role": "assistant", "content": [part]}
    thinking = [{"id": f"rs_{asked.seed[:32]}", "type": "reasoning", "summary": []}] if spent.reasoning else []
    return {
        "id": f"resp_{asked.seed[:24]}{asked.number:08d}",
        "object": "response",
        "created_at": int(time.time()),
        "status": status,
        "background": bool(asked.body.get("background")),
        "error": {"code": "server_error", "message": GAVE_UP} if failed else None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": asked.instructions or None,
        "max_output_tokens": asked.limit,
        "model": asked.model,
        "output": [] if failed else [*thinking, message],
        "parallel_tool_calls": True,
        "store": asked.body.get("store", True),
        "temperature": asked.body.get("temperature", 1.0),
        "text": asked.body.get("text", {"format": {"type": "text"}}),
        "tool_choice": "auto",
        "tools": [],
        "usage": None
        if failed
        else {
            "input_tokens": spent.input,
            "input_tokens_details": {"cached_tokens": spent.cached, "cache_write_tokens": 0},
            "output_tokens": spent.output,
            "output_tokens_details": {"reasoning_tokens": spent.reasoning},
            "total_tokens": spent.input + spent.output,
        },
    }


def completion(asked: Asked, text: str, ending: str, spent: Tokens) -> dict[str, Any]:
    refused = ending == "refusal"
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if refused else text,
        "refusal": text if refused else None,
        "annotations": [],
    }
    reason = {"incomplete": "length", "filtered": "content_filter"}.get(ending, "stop")
    return {
        "id": f"chatcmpl-{asked.seed[:21]}{asked.number:08d}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": asked.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
        "usage": {
            "prompt_tokens": spent.input,
            "completion_tokens": spent.output,
            "total_tokens": spent.input + spent.output,
            "prompt_tokens_details": {"cached_tokens": spent.cached, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": spent.reasoning, "audio_tokens": 0},
        },
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }


def tokens(text: str) -> int:
    return -(-len(text) // 4)  # four letters to a token, as English has on average


def document(body: bytes) -> dict[str, Any]:
    with suppress(ValueError):
        parsed = json.loads(body)
        if isinstance(parsed, dict):
            return parsed
    raise Refused(400, None, "We could not parse the JSON body of your request.")
