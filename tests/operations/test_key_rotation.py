"""Rotating the secret key: the new key is added in front, and the old one is removed later."""

from collections.abc import Callable
from typing import Any

import httpx
import jwt

from imagesvc.settings import Settings
from tests.support.service import running_api

OLD, NEW = "old:0123456789abcdef0123456789abcdef", "new:fedcba9876543210fedcba9876543210"


async def test_links_remain_valid_while_their_signing_key_is_configured(settings_with: Callable[..., Settings]) -> None:
    async def ask(keys: str, *tokens: str, link_id: str | None = None) -> tuple[dict[str, Any], list[int]]:
        """A link (a new one without ``link_id``) from an API with these keys, and its status for each token."""
        settings = settings_with(secret_keys=keys)
        assert settings.admin_token is not None
        owner = {"Authorization": f"Bearer {settings.admin_token.get_secret_value()}"}
        async with running_api(settings) as url, httpx.AsyncClient(base_url=url, verify=False) as client:
            if link_id is None:
                link = await client.post("/v1/links", json={"expires_in": 3600}, headers=owner)
            else:
                link = await client.get(f"/v1/links/{link_id}", headers=owner)
            answers = [(await client.get(f"/u/{token}")).status_code for token in tokens]
        return link.json(), answers

    before, _ = await ask(OLD)
    during, both = await ask(f"{NEW},{OLD}", before["token"])
    renewed, _ = await ask(f"{NEW},{OLD}", link_id=before["id"])
    _, after = await ask(NEW, before["token"], during["token"], renewed["token"], link_id=before["id"])

    kids = [jwt.get_unverified_header(link["token"])["kid"] for link in (before, during, renewed)]
    assert kids == ["old", "new", "new"]
    assert both == [200]
    assert after == [401, 200, 200]
