"""HTTP clients of a running service, for requests whose client cost does not matter."""

import httpx

from imagesvc.settings import Settings


def admin_client(url: str, settings: Settings) -> httpx.AsyncClient:
    """A client that sends the admin token."""
    assert settings.admin_token is not None
    bearer = {"Authorization": f"Bearer {settings.admin_token.get_secret_value()}"}
    return httpx.AsyncClient(base_url=url, headers=bearer, timeout=120)


async def new_link(url: str, settings: Settings) -> str:
    """The URL of a new link without limits that is valid for an hour."""
    async with admin_client(url, settings) as client:
        answer = await client.post("/v1/links", json={"expires_in": 3600})
    link: str = answer.raise_for_status().json()["url"]
    return link
