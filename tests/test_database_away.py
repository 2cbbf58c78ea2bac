"""The database goes away and comes back: 503, never 500, and no restart of ours is needed."""

import asyncio
from collections import Counter

from sqlalchemy import text

from tests.support.databases import Databases
from tests.support.images import jpeg
from tests.support.service import Service

CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"


async def test_cut_connections_are_503_at_worst_and_heal_by_themselves(service: Service, databases: Databases) -> None:
    async with service.background.servers.database.engine.connect() as connection:
        name = (await connection.execute(text("SELECT current_database()"))).scalar_one()

    async def one_of_each(seed: int) -> list[int]:
        link = await service.owner.post("/v1/links", json={"expires_in": 60})
        image = await service.owner.post("/v1/images", files=[("file", ("a.jpg", jpeg(seed=seed, size=(64, 64))))])
        links = await service.owner.get("/v1/links")
        return [link.status_code, image.status_code, links.status_code]

    seen: Counter[int] = Counter()
    for seed in range(8):
        await asyncio.to_thread(databases.execute, CUT.format(name=name))
        seen.update(await one_of_each(seed))
    at_last = await one_of_each(99)

    assert set(seen) <= {200, 201, 503}
    assert at_last == [201, 201, 200]
