"""The fixtures themselves: each test gets an empty database, an empty Valkey and an empty bucket."""

import asyncpg
import pytest
import redis.asyncio

from imagesvc.settings import Settings
from imagesvc.storage.bucket import Storage


@pytest.mark.parametrize("run", range(2))
async def test_each_test_starts_with_a_migrated_database_and_empty_servers(settings: Settings, run: int) -> None:
    connection = await asyncpg.connect(settings.database_url.get_secret_value())
    valkey = redis.asyncio.Redis.from_url(settings.redis_url.get_secret_value())
    async with Storage(settings) as storage:
        assert await connection.fetchval("SELECT count(*) FROM links") == 0
        assert await valkey.dbsize() == 0
        assert await anext(storage.listing(), None) is None
        await connection.execute("CREATE TABLE left_behind ()")
        await connection.execute("INSERT INTO alembic_version VALUES ('left behind')")
        await valkey.set("left", "behind")
        await storage._client.put_object(Bucket=storage.bucket, Key="left", Body=b"behind")
    await connection.close()
    await valkey.aclose()
