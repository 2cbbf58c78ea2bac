"""A tus client for users and for links, and the state of an upload as tests compare it."""

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.service import Service

OFFSET_STREAM = "application/offset+octet-stream"
MIB = 1024 * 1024


def metadata(**fields: str) -> str:
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in fields.items())


def checksum(data: bytes, algorithm: str = "sha1") -> dict[str, str]:
    digest = hashlib.new(algorithm, data).digest()
    return {"Upload-Checksum": f"{algorithm} {base64.b64encode(digest).decode()}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tus:
    """The uploads of one user or link. ``sent_headers`` are headers that every request carries."""

    client: httpx.AsyncClient
    path: str
    sent_headers: dict[str, str] = field(default_factory=lambda: {"Tus-Resumable": "1.0.0"})

    async def create(self, length: int, body: bytes | None = None, **headers: str) -> httpx.Response:
        given = {"Upload-Length": str(length)}
        if body is not None:
            given["Content-Type"] = OFFSET_STREAM
        return await self.client.post(self.path, content=body, headers=self.sent_headers | given | _named(headers))

    async def new(self, length: int, body: bytes | None = None, **headers: str) -> str:
        """The path of a new upload."""
        answer = await self.create(length, body, **headers)
        assert answer.status_code == 201, answer.text
        return answer.headers["location"]

    async def patch(self, upload: str, offset: int, body: Any, headers: dict[str, str] | None = None) -> httpx.Response:
        given = {"Upload-Offset": str(offset), "Content-Type": OFFSET_STREAM}
        return await self.client.patch(upload, content=body, headers=self.sent_headers | given | (headers or {}))

    async def head(self, upload: str) -> httpx.Response:
        return await self.client.head(upload, headers=self.sent_headers)

    async def offset(self, upload: str) -> int:
        answer = await self.head(upload)
        assert answer.status_code == 200, answer.headers
        return int(answer.headers["upload-offset"])

    async def delete(self, upload: str) -> httpx.Response:
        return await self.client.delete(upload, headers=self.sent_headers)


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def of_user(service: Service) -> Tus:
    return Tus(client=service.owner, path="/v1/tus")


async def of_link(service: Service, **limits: Any) -> tuple[Tus, dict[str, Any]]:
    link = await service.new_link(**limits)
    return Tus(client=service.anyone, path=f"{link['path']}/tus"), link


def verdict(answer: httpx.Response) -> tuple[int, str]:
    """The status of a refusal and the last word of its type."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")
