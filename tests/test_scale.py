"""Several APIs and workers on the same servers: no upload is lost and no image is stored twice while some restart."""

import asyncio
import contextlib
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from sqlalchemy import text

from imagesvc.settings import Settings
from imagesvc.storage.loose_objects import Reaper
from imagesvc.wiring import Servers, open_servers
from tests.support.bookkeeping import loose_states, make_due, owned_keys, stored_keys
from tests.support.forked import Forked, running
from tests.support.images import jpeg
from tests.support.processes import free_port, until
from tests.support.wire import connected

FILES = 20


async def rows(servers: Servers, query: str) -> list[Any]:
    async with servers.database.engine.connect() as connection:
        return list((await connection.execute(text(query))).all())


class Clients:
    """Clients that retry on a random API, as behind a load balancer."""

    def __init__(self, settings: Settings, ports: list[int]) -> None:
        assert settings.admin_token is not None
        self._urls = [f"http://127.0.0.1:{port}" for port in ports]
        self._bearer = {"Authorization": f"Bearer {settings.admin_token.get_secret_value()}"}
        self.http = httpx.AsyncClient(timeout=30, verify=False, headers=self._bearer)
        self.refusals: Counter[str] = Counter()

    async def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Retries after 503 and broken connections, and returns the first final response."""
        async with asyncio.timeout(90):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    answer = await self.http.request(method, random.choice(self._urls) + path, **arguments)
                    if answer.status_code < 500:
                        return answer
                    assert answer.status_code == 503, answer.text
                    assert int(answer.headers["retry-after"]) > 0
                    self.refusals[answer.json()["type"]] += 1
                await asyncio.sleep(0.05)


async def test_two_apis_and_three_workers_lose_nothing_while_some_restart(
    settings_with: Callable[..., Settings],
) -> None:
    settings = settings_with(task_lease_seconds=2.0, worker_concurrency=1, shutdown_seconds=2)
    ports = [free_port(), free_port()]
    apis = [Forked(settings, port=port) for port in ports]
    workers = [Forked(settings) for _ in range(3)]
    clients = Clients(settings, ports)
    files = [jpeg(seed=seed, size=(160, 120)) for seed in range(FILES)]
    acknowledged: dict[str, bytes] = {}
    async with open_servers(settings) as servers:
        with running(*apis, *workers):
            link = (await clients.request("POST", "/v1/links", json={"expires_in": 600, "max_files": FILES})).json()
            path = f"/u/{link['token']}"

            async def send(data: bytes) -> None:
                answer = await clients.request("PUT", f"{path}/a.jpg", content=data)
                assert answer.status_code in (200, 201), answer.text
                acknowledged[answer.json()["results"][0]["upload_id"]] = data

            async def send_some(first: int) -> None:
                # the ranges of the senders overlap, so each file is sent twice
                for index in range(first, first + FILES // 2):
                    await send(files[index % FILES])

            async def after_uploads(count: int, *steps: Callable[[], Awaitable[None]]) -> None:
                async def reached_count() -> bool:
                    return len(acknowledged) >= count

                await until(reached_count)
                await asyncio.gather(*(step() for step in steps))

            await asyncio.gather(
                *(send_some(first) for first in range(0, FILES, FILES // 4)),
                after_uploads(8, lambda: apis[0].restart(kill=True), lambda: workers[0].restart(kill=True)),
                after_uploads(22, lambda: apis[1].restart(kill=False), lambda: workers[1].restart(kill=False)),
            )

            async def no_task_is_left() -> bool:
                return await rows(servers, "SELECT 1 FROM tasks") == []

            await until(no_task_is_left)
            uploads = [await clients.request("GET", f"/v1/uploads/{upload}") for upload in acknowledged]
            images = {upload.json()["image"]["id"]: upload.json()["image"] for upload in uploads}
            originals = {
                image_id: (await clients.request("GET", f"/v1/images/{image_id}/original")).content
                for image_id in images
            }
            stats = (await clients.request("GET", "/v1/stats")).json()
            final_link = (await clients.request("GET", f"/v1/links/{link['id']}")).json()
            await clients.http.aclose()
        await make_due(servers, "held", "reaping")
        await Reaper(settings, servers.database, servers.storage).reap()

        assert len(acknowledged) == FILES * 2
        assert sorted(originals.values()) == sorted(files)
        assert {image["state"] for image in images.values()} == {"ready"}
        assert {len(image["renditions"]) for image in images.values()} == {3}
        assert (final_link["used_files"], final_link["reserved_files"]) == (FILES, 0)
        assert (stats["totals"]["images"], stats["totals"]["blobs"]) == (FILES, FILES)
        assert stats["totals"]["bytes_stored"] == sum(map(len, files))
        assert len(await rows(servers, "SELECT 1 FROM images")) == FILES
        assert await stored_keys(servers) == await owned_keys(servers)


async def test_sigterm_finishes_running_requests_then_answers_503(
    settings_with: Callable[..., Settings],
) -> None:
    settings, port = settings_with(shutdown_seconds=1.5), free_port()
    api, clients, data = Forked(settings, port=port), Clients(settings, [port]), jpeg(seed=1)
    url = f"http://127.0.0.1:{port}"
    async with open_servers(settings) as servers:
        with running(api):
            token = (await clients.request("POST", "/v1/links", json={"expires_in": 600})).json()["token"]
            sent = await clients.request("PUT", f"/u/{token}/known.jpg", content=jpeg(seed=2))
            upload = sent.json()["results"][0]["upload_id"]
            length = f"Content-Length: {len(data)}"
            async with connected(url) as quick, connected(url) as slow, connected(url) as large:
                for connection in (quick, slow):
                    await connection.begin("PUT", f"/u/{token}/a.jpg", length)
                    await connection.send(data[:1000])
                await large.begin("PUT", f"/u/{token}/b.jpg", "Content-Length: 30000000")
                await large.send(data + bytes(10_000_000))
                waiting = asyncio.create_task(clients.http.get(f"{url}/v1/uploads/{upload}", params={"wait": 30}))

                async def large_upload_is_stored_partly() -> bool:
                    return await loose_states(servers) == ["held"]

                await until(large_upload_is_stored_partly)
                stopping = asyncio.create_task(api.end(kill=False))

                async def connections_are_refused() -> bool:
                    try:
                        async with connected(url):
                            return False
                    except OSError:
                        return True

                await until(connections_are_refused)
                await quick.send(data[1000:])
                quick_answer = await quick.answer()
                others = [await slow.answer(), await large.answer()]
                waited = await waiting
                code = await stopping
            await clients.http.aclose()

        assert (quick_answer.status, quick_answer.headers["connection"]) == (201, "close")
        assert [answer.status for answer in others] == [503, 503]
        assert {answer.json()["type"] for answer in others} == {"/problems/server-stops"}
        assert {answer.headers["retry-after"] for answer in others} == {"1"}
        assert (waited.status_code, waited.headers["retry-after"]) == (503, "1")
        assert code == -signal.SIGTERM
        assert await loose_states(servers) == ["reaping"]
        assert len(await rows(servers, "SELECT 1 FROM images")) == 2
