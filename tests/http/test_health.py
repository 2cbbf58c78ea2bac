"""``/livez`` and ``/readyz``."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from imagesvc.http import health
from imagesvc.http.web_parts import WebParts, set_parts

from .conftest import LogLines


async def fine() -> None:
    pass


async def refuse() -> None:
    raise ConnectionRefusedError("postgresql://imagesvc:hunter2-hunter2@10.0.0.7/db")


async def never() -> None:
    await asyncio.Event().wait()


def check_with(app: FastAPI, **checks: health.Check) -> None:
    """Replace the checks of these dependencies; the others answer."""
    found: dict[str, health.Check] = {"database": fine, "storage": fine, "queue": fine, **checks}
    set_parts(app, WebParts(health.HealthChecks(found)))


@pytest.fixture
def app(app: FastAPI) -> FastAPI:
    app.include_router(health.router)
    check_with(app)
    return app


async def test_a_process_is_alive_whatever_is_away(app: FastAPI, client: httpx.AsyncClient) -> None:
    check_with(app, database=refuse)

    assert (await client.get("/livez")).status_code == 200


async def test_it_is_ready_when_every_dependency_answers(client: httpx.AsyncClient) -> None:
    answer = await client.get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {"database": "ok", "storage": "ok", "queue": "ok"}


async def test_a_dependency_that_is_away_is_named_and_nothing_else_is_told(
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


async def test_dependencies_are_asked_at_the_same_time(app: FastAPI, client: httpx.AsyncClient) -> None:
    together = asyncio.Barrier(3)
    check_with(app, database=together.wait, storage=together.wait, queue=together.wait)

    assert (await client.get("/readyz")).status_code == 200


async def test_a_dependency_that_does_not_answer_is_not_waited_for_without_end(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    check_with(app, storage=never)

    answer = await client.get("/readyz")

    assert answer.status_code == 503
    assert (answer.json()["database"], answer.json()["storage"]) == ("ok", "slow")
