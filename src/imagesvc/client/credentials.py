"""Credentials of a request: a token or key, an account that logs in, or a link. None of them appears in a repr."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx

LogIn = Callable[[str, str], Awaitable[str]]
"""Account name and password to an access token."""

LINK_INVALID = "this is not a link; a link looks like https://images.example.org/u/…"


class Token:
    """An access token, an API key, the admin token, or the token of a link."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    async def renew(self, _stale: str | None) -> bool:
        return False


class Account:
    """Logs in before the first request, and again when the access token has expired."""

    def __init__(self, name: str, password: str, log_in: LogIn) -> None:
        self._name, self._password, self._log_in = name, password, log_in
        self._token: str | None = None
        self._lock = asyncio.Lock()

    async def headers(self) -> dict[str, str]:
        if self._token is None:
            await self.renew(None)
        return {"Authorization": f"Bearer {self._token}"}

    async def renew(self, stale: str | None) -> bool:
        """Replace the token of the header ``stale``, unless another request has replaced it already."""
        async with self._lock:
            if self._token is None or stale == f"Bearer {self._token}":
                self._token = await self._log_in(self._name, self._password)
        return True


Credential = Token | Account


def parse_link(link: str) -> tuple[str, str]:
    """(the server's address, the link's token). Raises ValueError, whose text does not repeat the link."""
    try:
        url = httpx.URL(link.strip())
    except httpx.InvalidURL:
        raise ValueError(LINK_INVALID) from None
    server, separator, token = str(url.copy_with(query=None, fragment=None)).rstrip("/").rpartition("/u/")
    if not separator or not token or "/" in token or url.scheme not in ("http", "https"):
        raise ValueError(LINK_INVALID)
    return server, token
