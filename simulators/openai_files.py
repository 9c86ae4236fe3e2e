"""OpenAI's files: uploaded as a form, kept in memory, read again by id."""

import json
import re
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from simulators.loopback import HttpReply, HttpRequest
from simulators.openai_wire import Refused

MOST_BYTES = 200_000_000  # of a file for a batch


@dataclass(frozen=True)
class StoredFile:
    id: str
    name: str
    purpose: str
    content: bytes
    created_at: int

    def document(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": self.created_at,
            "expires_at": self.created_at + 30 * 24 * 3600,
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


class Files:
    """Files by id."""

    def __init__(self) -> None:
        self._files: dict[str, StoredFile] = {}

    def answer(self, request: HttpRequest, parts: list[str]) -> HttpReply:
        """Answers a request to `/v1/files/<parts>`. Raises Refused."""
        match request.method, parts:
            case "POST", []:
                return HttpReply.json(self._upload(request).document())
            case "GET", [identifier]:
                return HttpReply.json(self.find(identifier).document())
            case "GET", [identifier, "content"]:
                return HttpReply(200, self.find(identifier).content, {"content-type": "application/octet-stream"})
            case "DELETE", [identifier]:
                del self._files[self.find(identifier).id]
                return HttpReply.json({"id": identifier, "object": "file", "deleted": True})
        raise Refused(404, None, f"Invalid URL ({request.method} {request.path})")

    def add(self, name: str, purpose: str, content: bytes) -> StoredFile:
        file = StoredFile(f"file-{uuid.uuid4().hex[:22]}", name, purpose, content, int(time.time()))
        self._files[file.id] = file
        return file

    def find(self, identifier: str) -> StoredFile:
        if identifier not in self._files:
            raise Refused(404, None, f"No such File object: {identifier}", param="id")
        return self._files[identifier]

    def _upload(self, request: HttpRequest) -> StoredFile:
        fields = read_form(request)
        purpose = fields.get("purpose", ("", b""))[1].decode(errors="replace")
        if purpose != "batch":
            raise Refused(400, "invalid_value", f"Invalid value: '{purpose}'. Only 'batch' is simulated.", param="purpose")
        if "file" not in fields:
            raise Refused(400, "missing_required_parameter", "Missing required parameter: 'file'.", param="file")
        name, content = fields["file"]
        if len(content) > MOST_BYTES:
            raise Refused(400, None, f"File too large: a file for a batch is at most {MOST_BYTES} bytes.")
        # As with the real endpoint, only the first line is looked at here; the rest when the batch is validated.
        if not _is_json(content.partition(b"\n")[0]):
            raise Refused(400, None, "Invalid file format for Batch API. Must be .jsonl")
        return self.add(name, purpose, content)


def read_form(request: HttpRequest) -> dict[str, tuple[str, bytes]]:
    """File name (empty for a plain field) and content of each field of a multipart form. Raises Refused."""
    boundary = re.search(r'boundary="?([^";]+)', request.headers.get("content-type", ""))
    if not boundary:
        raise Refused(400, None, "Invalid request body: expected multipart/form-data.")
    fields = {}
    for part in request.body.split(b"--" + boundary[1].encode())[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        names = dict(re.findall(r'\b(name|filename)="([^"]*)"', head.decode(errors="replace")))
        fields[names.get("name", "")] = (names.get("filename", ""), content.removesuffix(b"\r\n"))
    return fields


def _is_json(line: bytes) -> bool:
    with suppress(ValueError):
        json.loads(line)
        return True
    return False
