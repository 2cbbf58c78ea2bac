"""Crashes: real processes are killed, and no image, key or task is lost (invariants 1, 3 and 8)."""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx
import redis.asyncio
from sqlalchemy import text

from imagesvc.settings import Settings
from imagesvc.storage.loose_objects import Reaper
from imagesvc.wiring import Servers, open_servers
from tests.support.bookkeeping import loose_states, make_due, named_keys, owned_keys, stored_keys
from tests.support.images import jpeg
from tests.support.processes import api_process, process, until


async def count(servers: Servers, query: str) -> int:
    async with servers.database.engine.connect() as connection:
        return int((await connection.execute(text(query))).scalar_one())


async def upload(owner: httpx.AsyncClient, seed: int, size: tuple[int, int] = (640, 480)) -> str:
    answer = await owner.post("/v1/images", files=[("file", (f"{seed}.jpg", jpeg(seed=seed, size=size)))])
    assert answer.status_code == 201, answer.text
    return str(answer.json()["results"][0]["image_id"])


async def state(owner: httpx.AsyncClient, image_id: str) -> str:
    return str((await owner.get(f"/v1/images/{image_id}", params={"wait": 30})).json()["state"])


async def test_a_worker_killed_during_a_task_loses_no_image(settings_with: Callable[..., Settings]) -> None:
    settings = settings_with(task_lease_seconds=2.0, worker_concurrency=2)
    async with open_servers(settings) as servers, api_process(settings) as (_, owner):
        images = [await upload(owner, seed, (2400, 1800)) for seed in range(4)]

        async def is_running() -> bool:
            return await count(servers, "SELECT count(*) FROM tasks WHERE state = 'running'") > 0

        async with process(settings, "worker") as victim:
            await until(is_running)
            await victim.end(signal.SIGKILL)
        left = await count(servers, "SELECT count(*) FROM tasks")
        async with process(settings, "worker"):
            states = [await state(owner, image_id) for image_id in images]

        assert left > 0
        assert states == ["ready"] * 4
        await make_due(servers, "held")
        await Reaper(settings, servers.database, servers.storage).reap()
        assert await stored_keys(servers) == await owned_keys(servers)


async def test_sigterm_gives_the_attempts_of_a_worker_back(settings_with: Callable[..., Settings]) -> None:
    settings = settings_with(worker_concurrency=2)
    async with open_servers(settings) as servers, api_process(settings) as (_, owner):
        for seed in range(6):
            await upload(owner, seed, (2400, 1800))

        async def is_running() -> bool:
            return await count(servers, "SELECT count(*) FROM tasks WHERE state = 'running'") == 2

        async with process(settings, "worker") as worker:
            await until(is_running)
            code = await worker.end(signal.SIGTERM)

        assert code == 0
        assert await count(servers, "SELECT count(*) FROM tasks WHERE state = 'running'") == 0
        assert await count(servers, "SELECT count(*) FROM tasks WHERE state = 'pending' AND attempts > 0") == 0


async def test_an_api_killed_during_an_upload_leaves_only_loose_rows(
    settings_with: Callable[..., Settings],
) -> None:
    settings = settings_with()
    async with open_servers(settings) as servers:
        async with api_process(settings) as (api, owner):
            kept = await upload(owner, 1)
            link = (await owner.post("/v1/links", json={"expires_in": 600, "max_files": 3})).json()
            address = urlsplit(str(owner.base_url))
            _, writer = await asyncio.open_connection(address.hostname, address.port)
            head = f"PUT /u/{link['token']}/big.jpg HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n"
            writer.write(head.encode() + jpeg(seed=2) + bytes(20_000_000))
            await writer.drain()

            async def part_is_stored() -> bool:
                return await loose_states(servers) == ["held"]

            await until(part_is_stored)
            await api.end(signal.SIGKILL)
            writer.close()
        during = (await stored_keys(servers), await named_keys(servers))
        await make_due(servers, "held")
        reaper = Reaper(settings, servers.database, servers.storage)
        await reaper.reap()
        await make_due(servers, "gone")
        await reaper.reap()

        assert during[0] <= during[1]
        assert await stored_keys(servers) == await owned_keys(servers)
        assert await loose_states(servers) == []
        assert await count(servers, "SELECT reserved_files + reserved_bytes FROM links") == 0
        async with api_process(settings) as (_, owner):
            assert (await owner.get(f"/v1/images/{kept}/original")).content == jpeg(seed=1)


async def test_an_emptied_valkey_delays_images_and_loses_none(settings_with: Callable[..., Settings]) -> None:
    settings = settings_with()
    async with api_process(settings) as (_, owner):
        images = [await upload(owner, seed) for seed in range(5)]
        async with redis.asyncio.Redis.from_url(settings.redis_url.get_secret_value()) as valkey:
            await valkey.flushdb()

        async with process(settings, "worker"):
            assert [await state(owner, image_id) for image_id in images] == ["ready"] * 5


async def test_uploads_succeed_while_valkey_is_unavailable(settings_with: Callable[..., Settings]) -> None:
    without = settings_with(redis_url="redis://127.0.0.1:1/0")
    async with api_process(without) as (_, owner):
        images = [await upload(owner, seed) for seed in range(3)]
        ready = await owner.get("/readyz")

        async with process(settings_with(), "worker"):
            states = [await state(owner, image_id) for image_id in images]

    assert (ready.status_code, ready.json()["queue"]) == (503, "away")
    assert states == ["ready"] * 3


async def test_every_stored_key_has_a_row_while_clients_disconnect(settings_with: Callable[..., Settings]) -> None:
    settings = settings_with()
    async with open_servers(settings) as servers, api_process(settings) as (_, owner):
        address = urlsplit(str(owner.base_url))
        token = (await owner.post("/v1/links", json={"expires_in": 600})).json()["token"]
        unnamed: list[set[str]] = []

        async def hang_up(seed: int) -> None:
            data = jpeg(seed=seed) + bytes(9_000_000)
            _, writer = await asyncio.open_connection(address.hostname, address.port)
            head = f"PUT /u/{token}/{seed}.jpg HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
            with contextlib.suppress(ConnectionError):
                writer.write(head.encode() + data[: len(data) * (seed + 1) // 12])
                await writer.drain()
            writer.transport.abort()

        async def watch() -> None:
            while True:
                stored = await stored_keys(servers)
                unnamed.append(stored - await named_keys(servers))
                await asyncio.sleep(0.01)

        watching = asyncio.create_task(watch())
        await asyncio.gather(*(hang_up(seed) for seed in range(10)))
        await upload(owner, 99)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

        assert len(unnamed) > 1
        assert set().union(*unnamed) == set()
