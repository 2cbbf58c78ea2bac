"""Asking for resizes, and waiting for them."""

import base64
import io
from typing import Any

import httpx
from PIL import Image

from tests.support.processes import until
from tests.support.service import Service
from tests.support.sql import sql


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def token_for(client: httpx.AsyncClient, **wanted: Any) -> str:
    """Of a JSON request that is taken."""
    answer = await client.post("/v1/resizes", json=wanted)
    assert answer.status_code == 202, answer.text
    token: str = answer.json()["token"]
    assert answer.json() == {"success": True, "token": token, "status_url": f"/v1/resizes/{token}"}
    return token


async def ended(client: httpx.AsyncClient, token: str) -> dict[str, Any]:
    """The answer once the work has ended."""
    found: dict[str, Any] = {}

    async def has_ended() -> bool:
        found.update((await client.get(f"/v1/resizes/{token}")).raise_for_status().json())
        return found["status"] in ("SUCCESS", "FAILURE")

    await until(has_ended)
    return found


async def picture_of(client: httpx.AsyncClient, token: str) -> Image.Image:
    """The result of a resize that has succeeded."""
    answer = await client.get((await ended(client, token))["resized_image_url"])
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


async def tasks(service: Service) -> list[dict[str, Any]]:
    return await sql(service, "SELECT id, state, blob_id FROM tasks WHERE kind = 'resize' ORDER BY id")


async def let_time_pass(service: Service) -> None:
    """As if every answer's time were over."""
    await sql(service, "UPDATE resizes SET expires_at = now() - interval '1 second' WHERE expires_at IS NOT NULL")
