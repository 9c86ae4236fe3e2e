"""Data blocks: how text that others wrote stands in a prompt, so that it is read and never obeyed."""

import json
import re
from typing import Any

from pydantic_core import to_jsonable_python


def data(value: Any, name: str) -> str:
    """`value` as JSON in a data block called `name`. Nothing inside can close the block: angle brackets are JSON escapes."""
    if not re.fullmatch(r"[a-z]+(-[a-z]+)*", name):
        raise ValueError(f"a data block is named in lower case words, not {name!r}")
    text = json.dumps(to_jsonable_python(value), ensure_ascii=False)
    harmless = re.sub("[<>&]", lambda found: f"\\u{ord(found[0]):04x}", text)
    return f'<data name="{name}">\n{harmless}\n</data>'
