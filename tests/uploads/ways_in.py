"""The upload routes behind one interface, so that a test can send the same request to each."""

from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.service import Service
from tests.support.wire import MULTIPART


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipartDoor:
    """``POST`` of a multipart body, through a link or with the owner's credential."""

    client: httpx.AsyncClient
    path: str

    async def send(self, body: Any, headers: dict[str, str] | None = None) -> httpx.Response:
        return await self.client.post(self.path, content=body, headers=MULTIPART if headers is None else headers)


async def multipart_door(service: Service, kind: str, **limits: Any) -> MultipartDoor:
    if kind == "user":
        return MultipartDoor(client=service.owner, path="/v1/images")
    return MultipartDoor(client=service.anyone, path=(await service.new_link(**limits))["path"])


def verdict(answer: httpx.Response) -> tuple[int, str]:
    """The status of a refusal and the last word of its type."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")
