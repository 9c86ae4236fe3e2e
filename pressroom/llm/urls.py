"""The URLs that endpoints are set by."""

import re
from ipaddress import IPv4Address
from urllib.parse import unquote, urlsplit


def is_url(text: str) -> bool:
    """Whether an endpoint can be there: http or https, a host in ASCII, a port of 1 to 65535 or none. HTTP clients refuse anything else
    with errors of their own, when the first call is sent."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port  # ValueError: half a bracket, no IPv6 address, a port that is none
        if re.fullmatch(r"[\d.]+", host):
            IPv4Address(host)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(host) and host.isascii() and port != 0 and text.isprintable()


def without_login(url: str) -> tuple[str, tuple[str, str] | None]:
    """The URL without user and password, and these: aiohttp takes no URL that has them beside a key."""
    parts = urlsplit(url)
    if parts.username is None:
        return url, None
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return bare, (unquote(parts.username), unquote(parts.password or ""))


def why_lost(error: BaseException) -> str:
    """What an HTTP client's error came from, as the name of the system's own where there is one: clients wrap it in up to four of theirs,
    the outermost of which may say that a refused connection took too long."""
    found, inner = error.__cause__ or error, error
    while cause := inner.__cause__ or inner.__context__:
        inner = cause
        if isinstance(inner, OSError):
            found = inner
    return type(found).__name__
