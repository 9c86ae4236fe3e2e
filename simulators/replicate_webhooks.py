"""Webhooks as Replicate sends them: a prediction's document, with a signature that the receiver can check."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import urllib.request
import uuid
from typing import Any

SECRET = "whsec_" + base64.b64encode(b"what only the simulated Replicate knows").decode()


async def deliver(document: dict[str, Any], url: str, timestamp: int) -> None:
    """Posts the document, once. Where nobody takes it, it is lost."""
    body = json.dumps(document).encode()
    headers = {"content-type": "application/json", **signed(body, f"msg_{uuid.uuid4().hex}", timestamp)}

    def post() -> None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10).close()

    await asyncio.to_thread(post)


def signed(body: bytes, identifier: str, timestamp: int, secret: str = SECRET) -> dict[str, str]:
    """The three headers of a webhook: HMAC-SHA256 over `id.timestamp.body` with the key behind `whsec_`."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{identifier}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": identifier, "webhook-timestamp": str(timestamp), "webhook-signature": signature}
