"""Accounts for tests: the admin creates them; each is logged in and has its own HTTP client."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Self

import httpx

from tests.support.service import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One account with its credentials and an authenticated client."""

    id: str
    account: str
    password: str
    token: str
    client: httpx.AsyncClient


class People:
    """Creates accounts and clients; ``async with`` closes the clients."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._clients = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._clients.aclose()

    async def new(self, account: str, *, role: str = "member") -> Person:
        """Create an account and log in."""
        password = f"correct horse of {account}"
        wanted = {"account": account, "password": password, "role": role}
        made = await self.service.owner.post("/v1/users", json=wanted)
        assert made.status_code == 201, made.text
        token = (await self.log_in(account, password)).json()["access_token"]
        client = await self.holding(token)
        return Person(id=made.json()["id"], account=account, password=password, token=token, client=client)

    async def log_in(self, account: str, password: str, *, address: str | None = None) -> httpx.Response:
        """Log in, with ``address`` as client address: the service trusts X-Forwarded-For from this machine."""
        headers = {"X-Forwarded-For": address} if address else {}
        form = {"username": account, "password": password}
        return await self.service.anyone.post("/v1/auth/token", data=form, headers=headers)

    async def holding(self, token: str) -> httpx.AsyncClient:
        """A client that sends this bearer token."""
        bearer = {"Authorization": f"Bearer {token}"}
        client = httpx.AsyncClient(base_url=self.service.url, headers=bearer, timeout=60)
        return await self._clients.enter_async_context(client)

    async def new_key(self, person: Person, *scopes: str, **wanted: Any) -> dict[str, Any]:
        """Create an API key with these scopes; returns the response body."""
        answer = await person.client.post("/v1/api-keys", json={"name": "till 4", "scopes": scopes, **wanted})
        assert answer.status_code == 201, answer.text
        key: dict[str, Any] = answer.json()
        return key
