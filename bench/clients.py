"""Clients of a running service, for what need not be cheap to send."""

import httpx

from imagesvc.settings import Settings


def owner(url: str, settings: Settings) -> httpx.AsyncClient:
    """Carries the admin token."""
    assert settings.admin_token is not None
    bearer = {"Authorization": f"Bearer {settings.admin_token.get_secret_value()}"}
    return httpx.AsyncClient(base_url=url, headers=bearer, timeout=120)


async def new_link(url: str, settings: Settings) -> str:
    """The address of a link that takes whatever comes for an hour."""
    async with owner(url, settings) as client:
        answer = await client.post("/v1/links", json={"expires_in": 3600})
    link: str = answer.raise_for_status().json()["url"]
    return link
