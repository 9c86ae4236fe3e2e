"""Connections to a model endpoint. Import this when the SDK is imported: it needs httpx2."""

from itertools import cycle
from urllib.request import getproxies

import httpx2
from openai import DefaultAsyncHttpxClient

# A pool looks through all its connections at every request and every end of one: at 500 in flight that was a third of a call's CPU.
POOLS = 10
CONNECTIONS = httpx2.Limits(max_connections=None, max_keepalive_connections=100)  # of one pool; the gateway bounds the calls


def http_client() -> httpx2.AsyncClient:
    """The SDK's own client, its connections spread over ten pools; behind a proxy as it is, because it knows how to reach that."""
    return DefaultAsyncHttpxClient() if getproxies() else DefaultAsyncHttpxClient(transport=_Spread())


class _Spread(httpx2.AsyncBaseTransport):
    """Ten transports that take turns."""

    def __init__(self) -> None:
        context = httpx2.create_ssl_context()  # read once: it takes 20 ms
        self._pools = [httpx2.AsyncHTTPTransport(verify=context, limits=CONNECTIONS) for _ in range(POOLS)]
        self._next = cycle(self._pools)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await next(self._next).handle_async_request(request)

    async def aclose(self) -> None:
        for pool in self._pools:
            await pool.aclose()
