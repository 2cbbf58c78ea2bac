"""The probes ``/livez`` and ``/readyz``."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from imagesvc.http import health
from imagesvc.http.web_parts import WebParts, set_parts

from .conftest import LogLines


async def succeed() -> None:
    pass


async def refuse() -> None:
    raise ConnectionRefusedError("postgresql://imagesvc:hunter2-hunter2@10.0.0.7/db")


async def hang() -> None:
    await asyncio.Event().wait()


def check_with(app: FastAPI, **checks: health.Check) -> None:
    """Replace the checks of these dependencies. The other checks succeed."""
    all_checks: dict[str, health.Check] = {"database": succeed, "storage": succeed, "queue": succeed, **checks}
    set_parts(app, WebParts(health.HealthChecks(all_checks)))


@pytest.fixture
def app(app: FastAPI) -> FastAPI:
    app.include_router(health.router)
    check_with(app)
    return app


async def test_livez_is_200_while_a_dependency_is_unavailable(app: FastAPI, client: httpx.AsyncClient) -> None:
    check_with(app, database=refuse)

    assert (await client.get("/livez")).status_code == 200


async def test_readyz_is_200_when_every_dependency_answers(client: httpx.AsyncClient) -> None:
    answer = await client.get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {"database": "ok", "storage": "ok", "queue": "ok"}


async def test_readyz_names_an_unavailable_dependency_without_details(
    app: FastAPI, client: httpx.AsyncClient, log_lines: LogLines
) -> None:
    check_with(app, database=refuse)

    answer = await client.get("/readyz")

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    states = {name: answer.json()[name] for name in ("database", "storage", "queue")}
    assert states == {"database": "away", "storage": "ok", "queue": "ok"}
    assert "10.0.0.7" not in answer.text
    assert "ConnectionRefusedError" in str(log_lines())
    assert "hunter2" not in str(log_lines())


async def test_dependencies_are_checked_concurrently(app: FastAPI, client: httpx.AsyncClient) -> None:
    barrier = asyncio.Barrier(3)
    check_with(app, database=barrier.wait, storage=barrier.wait, queue=barrier.wait)

    assert (await client.get("/readyz")).status_code == 200


async def test_readyz_reports_a_hanging_dependency_as_slow(app: FastAPI, client: httpx.AsyncClient) -> None:
    check_with(app, storage=hang)

    answer = await client.get("/readyz")

    assert answer.status_code == 503
    assert (answer.json()["database"], answer.json()["storage"]) == ("ok", "slow")
