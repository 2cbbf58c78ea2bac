"""Loss of database connections: responses are 503, never 500, and the service recovers without a restart."""

import asyncio
from collections import Counter

from sqlalchemy import text

from tests.support.databases import Databases
from tests.support.images import jpeg
from tests.support.service import Service

TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"


async def test_terminated_connections_cause_at_most_503_and_recover(service: Service, databases: Databases) -> None:
    async with service.background.servers.database.engine.connect() as connection:
        name = (await connection.execute(text("SELECT current_database()"))).scalar_one()

    async def one_of_each(seed: int) -> list[int]:
        link = await service.owner.post("/v1/links", json={"expires_in": 60})
        image = await service.owner.post("/v1/images", files=[("file", ("a.jpg", jpeg(seed=seed, size=(64, 64))))])
        links = await service.owner.get("/v1/links")
        return [link.status_code, image.status_code, links.status_code]

    seen: Counter[int] = Counter()
    for seed in range(8):
        await asyncio.to_thread(databases.execute, TERMINATE.format(name=name))
        seen.update(await one_of_each(seed))
    after = await one_of_each(99)

    assert set(seen) <= {200, 201, 503}
    assert after == [201, 201, 200]
