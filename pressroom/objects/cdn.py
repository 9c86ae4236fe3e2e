"""A CDN in front of the bucket forgets what retention has deleted: Cloudflare's API.

Source: Cloudflare API, "Purge Cached Content by URL" (POST /zones/{zone}/purge_cache).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from pydantic import SecretStr

from pressroom.errors import BadInput, Transient

if TYPE_CHECKING:
    import httpx

# Every plan takes 30 URLs in one call.
URLS_AT_ONCE = 30
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Cdn:
    """One zone. `site` is the URL before an object's key, `api` where Cloudflare's API is."""

    site: str
    zone: str
    token: SecretStr
    api: str = "https://api.cloudflare.com/client/v4"

    def purge(self, keys: Sequence[str]) -> None:
        """Makes the CDN forget these objects; again is harmless. Raises BadInput for a refusal, Transient when the API is away."""
        import httpx

        urls = [f"{self.site.rstrip('/')}/{quote(key)}" for key in keys]
        headers = {"Authorization": f"Bearer {self.token.get_secret_value()}"}
        try:
            with httpx.Client(timeout=TIMEOUT_S, headers=headers) as client:
                for start in range(0, len(urls), URLS_AT_ONCE):
                    where = f"{self.api.rstrip('/')}/zones/{quote(self.zone, safe='')}/purge_cache"
                    self._check(client.post(where, json={"files": urls[start : start + URLS_AT_ONCE]}))
        except httpx.HTTPError as error:
            raise Transient(f"Cloudflare's API does not answer ({type(error).__name__})") from None

    def _check(self, reply: "httpx.Response") -> None:
        try:
            document = reply.json()
        except ValueError:
            document = {}
        document = document if isinstance(document, dict) else {}
        if reply.is_success and document.get("success") is True:
            return
        said = "; ".join(str(each.get("message", "")) for each in document.get("errors") or () if isinstance(each, dict))
        why = f"{reply.status_code}{f', {said}' if said else ''}"[:200]
        if reply.status_code == 429 or reply.status_code >= 500 or reply.is_success:
            wait = reply.headers.get("retry-after", "")
            raise Transient(f"Cloudflare's API does not purge now ({why})", retry_after=float(wait) if wait.isdigit() else None)
        raise BadInput(f"PRESSROOM_CLOUDFLARE_ZONE, PRESSROOM_CLOUDFLARE_API_TOKEN: Cloudflare refuses to purge ({why})")
