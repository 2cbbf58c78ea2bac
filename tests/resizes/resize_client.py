"""Requests resizes and waits for their results."""

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
    """Send a JSON request, which must be accepted. Returns its token."""
    answer = await client.post("/v1/resizes", json=wanted)
    assert answer.status_code == 202, answer.text
    token: str = answer.json()["token"]
    assert answer.json() == {"success": True, "token": token, "status_url": f"/v1/resizes/{token}"}
    return token


async def wait_until_ended(client: httpx.AsyncClient, token: str) -> dict[str, Any]:
    """Wait until the resize has ended. Returns its status."""
    found: dict[str, Any] = {}

    async def has_ended() -> bool:
        found.update((await client.get(f"/v1/resizes/{token}")).raise_for_status().json())
        return found["status"] in ("SUCCESS", "FAILURE")

    await until(has_ended)
    return found


async def result_image(client: httpx.AsyncClient, token: str) -> Image.Image:
    """Wait for the result of a resize that succeeds."""
    answer = await client.get((await wait_until_ended(client, token))["resized_image_url"])
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


async def tasks(service: Service) -> list[dict[str, Any]]:
    return await sql(service, "SELECT id, state, blob_id FROM tasks WHERE kind = 'resize' ORDER BY id")


async def let_time_pass(service: Service) -> None:
    """Make the expiry time of every resize pass."""
    await sql(service, "UPDATE resizes SET expires_at = now() - interval '1 second' WHERE expires_at IS NOT NULL")
