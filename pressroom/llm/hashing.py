"""What makes two requests the same: the document whose hash is the ledger's key."""

import hashlib
import json

from pydantic import JsonValue

from pressroom.llm.schema import strict_schema
from pressroom.llm.types import Provider, Request, Scope, T


def request_document(request: Request[T], provider: Provider, scope: Scope) -> dict[str, JsonValue]:
    """Everything that decides the answer, and whose it is.

    The provider's name is part of it, so that an offline answer is never replayed as a hosted one; the API that carries the request
    is not, so that changing from Responses to Chat Completions pays for nothing twice. The site is part of it (the account for
    calls of the house), so that nobody is given what another one paid for.
    """
    return {
        "site": str(scope.site_id or scope.account_id),
        "generation": scope.generation_of(request.item),
        "item": request.item,
        "purpose": request.purpose,
        "prompt": {"id": request.prompt_id, "version": request.prompt_version},
        "provider": provider.name,
        "model": provider.model,
        "parameters": {"temperature": request.temperature, "max_output_tokens": request.max_output_tokens},
        "instructions": request.instructions,
        "input": request.input,
        "answer": {"name": request.answer.__name__, "schema": strict_schema(request.answer)},
    }


def request_hash(document: dict[str, JsonValue]) -> str:
    """SHA-256, in hex, of the document as canonical JSON."""
    # Escaped, so that half of a surrogate pair, which has no UTF-8, hashes too.
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
