"""Plausible instances of a JSON schema: readable words, the same for the same seed."""

import random
from typing import Any

_NOUNS = (
    "garden winter kitchen harbour morning recipe window market lantern autumn bridge copper meadow pocket season journal paper river "
    "ladder basket corner village orchard station"
)
_VERBS = "brings holds keeps shows needs saves carries follows teaches changes"
NOUNS, VERBS = _NOUNS.split(), _VERBS.split()
# Fields whose name has one of these are prose; all others are a few words.
PROSE = ("description", "text", "body", "reason", "caption", "value", "summary", "detail", "content", "post")
DEEPEST = 8  # a schema that refers to itself ends here


def sample(schema: dict[str, Any], seed: str) -> Any:
    """An instance of `schema`. `seed` decides every choice in it."""
    return _Sampler(schema.get("$defs", {}), random.Random(seed)).instance(schema, "", 0)


class _Sampler:
    def __init__(self, defs: dict[str, Any], rng: random.Random) -> None:
        self.defs = defs
        self.rng = rng

    def instance(self, schema: dict[str, Any], name: str, depth: int) -> Any:
        if "$ref" in schema:
            return self.instance(self.defs[schema["$ref"].rsplit("/", 1)[-1]], name, depth + 1)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.rng.choice(schema["enum"])
        if "anyOf" in schema:
            ends = [branch for branch in schema["anyOf"] if branch.get("type") == "null"]
            return self.instance(self.rng.choice(ends if ends and depth >= DEEPEST else schema["anyOf"]), name, depth)
        kind = schema.get("type", "string")
        match kind[0] if isinstance(kind, list) else kind:
            case "object":
                return {key: self.instance(value, key, depth + 1) for key, value in schema.get("properties", {}).items()}
            case "array":
                size = 0 if depth >= DEEPEST else max(schema.get("minItems", 0), min(3, schema.get("maxItems", 3)))
                return [self.instance(schema["items"], name, depth + 1) for _ in range(size)]
            case "integer":
                return int(max(schema.get("minimum", 1), min(schema.get("maximum", 9), self.rng.randint(1, 9))))
            case "number":
                return float(max(schema.get("minimum", 0), min(schema.get("maximum", 1), round(self.rng.random(), 2))))
            case "boolean":
                return self.rng.random() < 0.5
            case "null":
                return None
        return self.words(name)

    def words(self, name: str) -> str:
        if any(part in name.lower() for part in PROSE):
            return " ".join(self.sentence() for _ in range(3))
        return " ".join(self.rng.sample(NOUNS, 4)).capitalize()

    def sentence(self) -> str:
        one, two, three, four, five = self.rng.sample(NOUNS, 5)
        return f"A {one} {two} {self.rng.choice(VERBS)} the {three} {four} near the {five}."
