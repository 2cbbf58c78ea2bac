"""Who is asking: a token or key, an account that logs in, or whoever holds a link. None of them can be printed."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx

LogIn = Callable[[str, str], Awaitable[str]]


class Token:
    """An access token, an API key or the admin token; also a link's token."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"}

    async def renew(self, _stale: str | None) -> bool:
        return False


class Account:
    """Logs in when it is first needed, and again when the access token has expired."""

    def __init__(self, name: str, password: str, log_in: LogIn) -> None:
        self._name, self._password, self._log_in = name, password, log_in
        self._token: str | None = None
        self._turn = asyncio.Lock()

    async def headers(self) -> dict[str, str]:
        if self._token is None:
            await self.renew(None)
        return {"Authorization": f"Bearer {self._token}"}

    async def renew(self, stale: str | None) -> bool:
        """A new token instead of the one in that header, unless another request has got one meanwhile."""
        async with self._turn:
            if self._token is None or stale == f"Bearer {self._token}":
                self._token = await self._log_in(self._name, self._password)
        return True


Credential = Token | Account


def link_address(link: str) -> tuple[str, str]:
    """(the server's address, the link's token) of a link's URL. Raises ValueError, which does not repeat the link."""
    try:
        url = httpx.URL(link.strip())
    except httpx.InvalidURL:
        raise ValueError("this is no link: it looks like https://images.example.org/u/…") from None
    before, slash, token = str(url.copy_with(query=None, fragment=None)).rstrip("/").rpartition("/u/")
    if not slash or not token or "/" in token or url.scheme not in ("http", "https"):
        raise ValueError("this is no link: it looks like https://images.example.org/u/…")
    return before, token
