"""The client of one service: uploads files, checks which are already present, searches images, creates links."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Self, TypeVar, Unpack

import httpx

from imagesvc.client.credentials import Account, Credential, Token, parse_link
from imagesvc.client.file_reader import FileContents, read_hash, read_into_memory, stat_file
from imagesvc.client.models import Context, Image, ImageFilters, Link, LinkOptions, Page, Receipt
from imagesvc.client.resumable import ResumableUpload
from imagesvc.client.transport import Transport

T = TypeVar("T")

CONNECTIONS = 8
RETRY_TIMEOUT_SECONDS = 60.0
MAX_HASHES = 1000
MAX_PAGE_SIZE = 200
SMALL_BODY_BYTES = 128 * 1024
"""Bodies up to this size are sent in one piece: httpx writes each part of a form separately, a third of its work."""
LARGE_BYTES = 8 * 1024 * 1024
"""Larger files are sent resumably: a disconnect costs little, and they need not fit in memory."""


class Client:
    """Use it in ``async with``. Without a credential only public images are visible."""

    def __init__(
        self,
        server: str,
        *,
        token: str | None = None,
        account: str | None = None,
        password: str | None = None,
        connections: int = CONNECTIONS,
        retry_timeout_seconds: float = RETRY_TIMEOUT_SECONDS,
    ) -> None:
        """Takes a token (or key), or an account and its password. Raises ValueError when ``server`` is no address."""
        self._transport = Transport(server, connections=connections, retry_timeout_seconds=retry_timeout_seconds)
        self._is_link = False
        self._transport.credential = self._credential(token, account, password)
        self.identity = f"{self._transport.server} {account or token}"
        """Distinguishes services and callers. It contains the secret of a token or link: do not display it."""

    def _credential(self, token: str | None, account: str | None, password: str | None) -> Credential | None:
        if token is not None:
            return Token(token)
        if account is not None and password is not None:
            return Account(account, password, self._log_in)
        return None

    @classmethod
    def through(
        cls, link: str, *, connections: int = CONNECTIONS, retry_timeout_seconds: float = RETRY_TIMEOUT_SECONDS
    ) -> Self:
        """A client with an invitation link: ``upload`` and ``check`` only. Raises ValueError when it is no link."""
        server, token = parse_link(link)
        # the token is sent in a header, since proxies log paths
        client = cls(server, token=token, connections=connections, retry_timeout_seconds=retry_timeout_seconds)
        client._is_link = True
        return client

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._transport.__aexit__(*exc_info)

    # ---- uploads

    async def check(self, hashes: Iterable[str]) -> dict[str, str | None]:
        """SHA-256 to image id, of the contents that need not be sent; through a link, the ids are None."""
        wanted, present = list(hashes), dict[str, str | None]()
        path = "/u/-/check" if self._is_link else "/v1/images/check"
        for start in range(0, len(wanted), MAX_HASHES):
            response = await self._transport.request("POST", path, json={"sha256": wanted[start : start + MAX_HASHES]})
            have: dict[str, str] | list[str] = response.json()["have"]
            present |= have if isinstance(have, dict) else dict.fromkeys(have)
        return present

    async def upload(self, file: Path, context: Context | None = None) -> Receipt:
        """Send a file. Raises Refused, AccessDenied, ServerUnavailable and FileUnreadable."""
        found, context = await asyncio.to_thread(stat_file, file), context or Context()
        if found.size > LARGE_BYTES:
            return await self.upload_resumably(await asyncio.to_thread(read_hash, found), context)
        return await self.upload_contents(await asyncio.to_thread(read_into_memory, found), context)

    async def upload_contents(self, contents: FileContents, context: Context) -> Receipt:
        """Send a file that is in memory."""
        path = "/u/-" if self._is_link else "/v1/images"
        fields = context.fields() | {"sha256": contents.sha256}
        files = {"file": (contents.filename, BytesIO(contents.data or b""), "application/octet-stream")}
        if contents.file.size <= SMALL_BODY_BYTES:
            form = httpx.Request("POST", self._transport.server, data=fields, files=files)
            headers = {"Content-Type": form.headers["Content-Type"]}
            response = await self._transport.request("POST", path, headers=headers, content=form.read())
        else:
            response = await self._transport.request("POST", path, data=fields, files=files)
        return Receipt.from_result(response.json()["results"][0])

    async def upload_resumably(
        self,
        contents: FileContents,
        context: Context,
        *,
        upload_id: str | None = None,
        on_created: Callable[[str], None] = lambda _upload_id: None,
        on_bytes: Callable[[int], None] = lambda _count: None,
    ) -> Receipt:
        """Send a file from the disk, of which only the hash was kept. The options are those of ResumableUpload."""
        path = "/u/-/tus" if self._is_link else "/v1/tus"
        upload = ResumableUpload(
            self._transport,
            path,
            contents,
            context,
            upload_id=upload_id,
            on_created=on_created,
            on_bytes=on_bytes,
        )
        return await upload.send()

    # ---- images

    async def images(self, *, limit: int | None = None, **filters: Unpack[ImageFilters]) -> AsyncIterator[Image]:
        """Yield the matching images, the newest first unless ``sort`` says otherwise; all of them without a limit.

        ``filters`` are the parameters of ``GET /v1/images``; those that are None are left out.
        """
        async for image in self._items("/v1/images", filters, limit, Image):
            yield image

    async def _items(
        self, path: str, filters: Mapping[str, object], limit: int | None, _kind: type[T]
    ) -> AsyncIterator[T]:
        """The items of all pages of a list."""
        query = _given(filters)
        left, cursor = limit, None
        while left is None or left > 0:
            size = MAX_PAGE_SIZE if left is None else min(left, MAX_PAGE_SIZE)
            params = query | {"limit": size} | ({"cursor": cursor} if cursor else {})
            page: Page[T] = (await self._transport.request("GET", path, params=params)).json()
            for item in page["items"]:
                yield item
            left = None if left is None else left - len(page["items"])
            if not (cursor := page["next_cursor"]):
                return

    # ---- links

    async def create_link(self, *, expires_in: int, **options: Unpack[LinkOptions]) -> Link:
        """Create an invitation link; ``expires_in`` in seconds. The ``url`` of the answer is the secret to hand out."""
        body = {"expires_in": expires_in} | _given(options)
        link: Link = (await self._transport.request("POST", "/v1/links", json=body)).json()
        return link

    async def links(self, *, limit: int | None = None) -> AsyncIterator[Link]:
        """Yield the caller's links, the newest first; an admin sees all."""
        async for link in self._items("/v1/links", {}, limit, Link):
            yield link

    async def revoke_link(self, link_id: str) -> None:
        """Stop a link at once. Its uploads stay."""
        await self._transport.request("DELETE", f"/v1/links/{link_id}")

    async def _log_in(self, account: str, password: str) -> str:
        form = {"username": account, "password": password}
        response = await self._transport.request("POST", "/v1/auth/token", data=form, is_anonymous=True)
        return str(response.json()["access_token"])


def _given(options: Mapping[str, object]) -> dict[str, str | int]:
    """The options that are not None."""
    return {name: value for name, value in options.items() if isinstance(value, str | int)}
