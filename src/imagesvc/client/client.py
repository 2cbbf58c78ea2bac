"""What one does with the service: upload, ask what is there already, search, invite."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import httpx

from imagesvc.client.credentials import Account, Credential, Token, link_address
from imagesvc.client.file_reader import Contents, look_at, read_hash, read_into_memory
from imagesvc.client.models import Context, Sent
from imagesvc.client.resumable import ResumableUpload
from imagesvc.client.transport import Line

CONNECTIONS = 8
PATIENCE_SECONDS = 60.0
MOST_HASHES = 1000
MOST_ON_A_PAGE = 200
IN_ONE_PIECE_BYTES = 128 * 1024
"""Bodies up to this are written at once: httpx would write each part of the form by itself, a third of all its work."""
LARGE_BYTES = 8 * 1024 * 1024
"""Larger files are sent resumably: a cut costs little then, and they need not be in memory."""


class Client:
    """Use it in ``async with``. Without a credential only public images can be seen."""

    def __init__(
        self,
        server: str,
        *,
        token: str | None = None,
        account: str | None = None,
        password: str | None = None,
        connections: int = CONNECTIONS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """With a token (or key), or an account and its password. Raises ValueError for what is no address."""
        self._line = Line(server, connections=connections, patience_seconds=patience_seconds)
        self._is_link = False
        self._line.credential = self._credential(token, account, password)
        self.identity = f"{self._line.server} {account or token}"
        """Which service, as whom; it holds the secret of a link or a token: to be told apart by, not to be shown."""

    def _credential(self, token: str | None, account: str | None, password: str | None) -> Credential | None:
        if token is not None:
            return Token(token)
        if account is not None and password is not None:
            return Account(account, password, self._log_in)
        return None

    @classmethod
    def through(cls, link: str, *, connections: int = CONNECTIONS, patience_seconds: float = PATIENCE_SECONDS) -> Self:
        """For whoever holds an invitation link: ``upload`` and ``check``. Raises ValueError for what is no link."""
        server, token = link_address(link)
        # in a header instead of the path, which proxies write into their logs
        client = cls(server, token=token, connections=connections, patience_seconds=patience_seconds)
        client._is_link = True
        return client

    async def __aenter__(self) -> Self:
        await self._line.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._line.__aexit__(*exc_info)

    # ---- uploading

    async def check(self, hashes: Iterable[str]) -> dict[str, str | None]:
        """SHA-256 -> image id, of those that need not be sent; through a link, the ids are not told."""
        wanted, have = list(hashes), dict[str, str | None]()
        path = "/u/-/check" if self._is_link else "/v1/images/check"
        for start in range(0, len(wanted), MOST_HASHES):
            body = {"sha256": wanted[start : start + MOST_HASHES]}
            found = (await self._line.request("POST", path, json=body)).json()["have"]
            have |= found if isinstance(found, dict) else dict.fromkeys(found)
        return have

    async def upload(self, file: Path, context: Context | None = None) -> Sent:
        """Send a file. Raises Refused, DoorClosed, ServerAway and FileUnusable."""
        found = await asyncio.to_thread(look_at, file)
        if found.size > LARGE_BYTES:
            return await self.upload_resumably(await asyncio.to_thread(read_hash, found), context or Context())
        return await self.upload_contents(await asyncio.to_thread(read_into_memory, found), context or Context())

    async def upload_contents(self, contents: Contents, context: Context) -> Sent:
        """Send what was read into memory."""
        fields = context.fields() | {"sha256": contents.sha256}
        file = (contents.filename, BytesIO(contents.data or b""), "application/octet-stream")
        body: dict[str, Any] = {"data": fields, "files": {"file": file}}
        if contents.found.size <= IN_ONE_PIECE_BYTES:
            form = httpx.Request("POST", self._line.server, **body)
            body = {"content": form.read(), "headers": {"Content-Type": form.headers["Content-Type"]}}
        answer = await self._line.request("POST", "/u/-" if self._is_link else "/v1/images", **body)
        return Sent.of_result(answer.json()["results"][0])

    async def upload_resumably(self, contents: Contents, context: Context, **hooks: Any) -> Sent:
        """Send a file of which only the hash was kept, from the disk. ``hooks``: those of ResumableUpload."""
        path = "/u/-/tus" if self._is_link else "/v1/tus"
        return await ResumableUpload(self._line, path, contents, context, **hooks).send()

    # ---- images

    async def images(self, *, limit: int | None = None, **filters: Any) -> AsyncIterator[dict[str, Any]]:
        """Images that fit, the newest first unless ``sort`` says otherwise; all of them without a limit.

        ``filters`` are the parameters of ``GET /v1/images``; those that are None are left out.
        """
        async for image in self._pages("/v1/images", filters, limit):
            yield image

    async def _pages(self, path: str, filters: Mapping[str, Any], limit: int | None) -> AsyncIterator[dict[str, Any]]:
        query = {name: value for name, value in filters.items() if value is not None}
        left, cursor = limit, None
        while left is None or left > 0:
            page = MOST_ON_A_PAGE if left is None else min(left, MOST_ON_A_PAGE)
            asked = query | {"limit": page} | ({"cursor": cursor} if cursor else {})
            answer = (await self._line.request("GET", path, params=asked)).json()
            for item in answer["items"]:
                yield item
            left = None if left is None else left - len(answer["items"])
            if not (cursor := answer["next_cursor"]):
                return

    # ---- links

    async def create_link(self, *, expires_in: int, **wanted: Any) -> dict[str, Any]:
        """Invite somebody; ``expires_in`` in seconds. The answer's ``url`` is the secret to hand out."""
        body = {"expires_in": expires_in} | {name: value for name, value in wanted.items() if value is not None}
        link: dict[str, Any] = (await self._line.request("POST", "/v1/links", json=body)).json()
        return link

    async def links(self, *, limit: int | None = None) -> AsyncIterator[dict[str, Any]]:
        """Your links, the newest first; an admin sees all."""
        async for link in self._pages("/v1/links", {}, limit):
            yield link

    async def revoke_link(self, link_id: str) -> None:
        """Stop a link at once. What was uploaded stays."""
        await self._line.request("DELETE", f"/v1/links/{link_id}")

    async def _log_in(self, account: str, password: str) -> str:
        form = {"username": account, "password": password}
        answer = await self._line.request("POST", "/v1/auth/token", data=form, is_anonymous=True)
        return str(answer.json()["access_token"])
