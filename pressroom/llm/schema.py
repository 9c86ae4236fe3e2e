"""The strict JSON schema of an answer: what an endpoint can hold a model to. The rest is held by Pydantic and by rules."""

from functools import cache
from typing import Any

from pydantic import BaseModel

# Lengths, formats and counts are left out: endpoints differ in which of them they take, and refuse the whole request over one.
KEPT = ("type", "description", "enum", "required", "additionalProperties")


@cache
def strict_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of `model` with every property required and no other allowed. Do not change what it returns: it is kept.

    Raises TypeError for a part that has no strict form: a dict with free keys, a tuple with a type for each place, a value of any type.
    """
    schema = model.model_json_schema()
    defs = schema.pop("$defs", {})
    if "$ref" in schema:  # a model that refers to itself stands in $defs; the root has to be an object
        schema = dict(_target(schema["$ref"], defs))
    strict = _strict(schema, defs, model.__name__)
    if strict.get("type") != "object":
        raise TypeError(f"{model.__name__}: an answer has to be an object with fields")
    if defs:
        strict["$defs"] = {name: _strict(part, defs, f"{model.__name__}.{name}") for name, part in defs.items()}
    return strict


def _strict(schema: dict[str, Any], defs: dict[str, Any], path: str) -> dict[str, Any]:
    if "$ref" in schema:
        if schema.keys() == {"$ref"}:
            return {"$ref": schema["$ref"]}
        # A reference may have nothing beside it, so a field's own description is merged into a copy of what it refers to.
        return _strict({**_target(schema["$ref"], defs), **{k: v for k, v in schema.items() if k != "$ref"}}, defs, path)
    if len(schema.get("allOf", ())) == 1:
        return _strict({**schema["allOf"][0], **{k: v for k, v in schema.items() if k != "allOf"}}, defs, path)
    strict = {key: schema[key] for key in KEPT if key in schema}
    if "const" in schema:
        strict["enum"] = [schema["const"]]
    if branches := schema.get("anyOf") or schema.get("oneOf"):
        strict["anyOf"] = [_strict(branch, defs, path) for branch in branches]
    elif schema.get("type") == "array":
        if not isinstance(schema.get("items"), dict) or "prefixItems" in schema:
            raise TypeError(f"{path}: a list needs one type for all its items")
        strict["items"] = _strict(schema["items"], defs, f"{path}[]")
    elif schema.get("type") == "object":
        if schema.get("additionalProperties") not in (None, False) or "properties" not in schema:
            raise TypeError(f"{path}: free keys have no strict schema; use a list of objects")
        strict["properties"] = {name: _strict(part, defs, f"{path}.{name}") for name, part in schema["properties"].items()}
        strict |= {"required": list(schema["properties"]), "additionalProperties": False}
    elif "type" not in strict and "enum" not in strict:
        raise TypeError(f"{path}: a value of any type has no strict schema")
    return strict


def _target(ref: str, defs: dict[str, Any]) -> dict[str, Any]:
    target: dict[str, Any] = defs[ref.removeprefix("#/$defs/")]
    return target
