"""The published JSON Schema of the compliance report.

docs/compliance-report.schema.json is what `python -m pressroom.reports.screening_schema` prints; a test holds that it is current.
"""

import json
import sys
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from pressroom.reports.screening import SCHEMA_VERSION, ScreeningReport


class _AsWritten(GenerateJsonSchema):
    """A report that was written has all of its fields, also those that the code may leave to their defaults."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        return True

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False  # a title would be the field's name once more


def report_schema() -> dict[str, Any]:
    """The schema of `ScreeningReport` as JSON, draft 2020-12.

    Fields that it does not know are allowed: a later report of the same schema version may have more of them.
    """
    schema = _open(ScreeningReport.model_json_schema(mode="serialization", schema_generator=_AsWritten))
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:pressroom:compliance-report:{SCHEMA_VERSION}",
        "title": "Pressroom compliance report",
    }
    return head | {name: value for name, value in schema.items() if name != "title"}


def _open(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_open(value) for value in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: _open(value) for name, value in schema.items() if (name, value) != ("additionalProperties", False)}


def schema_text() -> str:
    return json.dumps(report_schema(), ensure_ascii=False, indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
