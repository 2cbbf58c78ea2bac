"""An API whose PostgreSQL, Valkey and S3 are behind proxies that can fail, and uploads of every way to send to it."""

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

import httpx
from sqlalchemy import text

from imagesvc.settings import Settings
from imagesvc.storage.loose_objects import Reaper
from imagesvc.wiring import Servers, open_servers
from tests.support.bookkeeping import loose_states, make_due, named_keys, owned_keys, stored_keys
from tests.support.contract import Contract, openapi_document
from tests.support.fault_proxy import FaultProxy, Target
from tests.support.images import jpeg
from tests.support.service import running_api

MIB = 1024 * 1024
TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
MAX_RECOVERY_SECONDS = 10.0
SIZES = text("SELECT key, bytes FROM blobs")
UNFINISHED = text("SELECT unnest(array_remove(ARRAY[key, tail_key], NULL)) FROM resumable_uploads")
RESERVED = text("SELECT coalesce(sum(reserved_files + reserved_bytes), 0)::bigint FROM links")
VISIBLE = text("SELECT (SELECT count(*) FROM images) AS images, (SELECT count(*) FROM uploads) AS uploads")

Send = Callable[["ProxiedService", int], Awaitable[httpx.Response]]
Answers = Mapping[str, httpx.Response | None]
"""By way of uploading; None when the connection was closed without an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxiedService:
    """``servers`` bypasses the proxies. ``link_path`` is a link without a limit of files."""

    settings: Settings
    owner: httpx.AsyncClient
    anyone: httpx.AsyncClient
    link_path: str
    servers: Servers
    s3: FaultProxy
    postgres: FaultProxy
    valkey: FaultProxy

    async def send(self, way: str, seed: int) -> httpx.Response | None:
        """Send a picture with this seed. Returns None when the connection was closed without an answer."""
        try:
            return await WAYS[way](self, seed)
        except httpx.TransportError:
            return None

    async def send_every_way(self, seed: int) -> Answers:
        """Upload concurrently by every way, each its own picture."""
        return await self._send(tuple(WAYS), seed)

    async def _send(self, ways: Sequence[str], seed: int) -> Answers:
        answers = await asyncio.gather(*(self.send(way, seed + index) for index, way in enumerate(ways)))
        return dict(zip(ways, answers, strict=True))

    async def require_recovery(self, seed: int, *ways: str) -> None:
        """Require that uploads by these ways, or all, succeed within MAX_RECOVERY_SECONDS, without a restart."""
        since = time.monotonic()
        while True:
            sent_at = time.monotonic()
            answers = await self._send(ways or tuple(WAYS), seed)
            if all(map(is_accepted, answers.values())):
                return
            assert sent_at - since < MAX_RECOVERY_SECONDS, answers
            await asyncio.sleep(0.1)

    async def visible(self) -> tuple[int, int]:
        """The numbers of images and uploads."""
        async with self.servers.database.engine.connect() as connection:
            row = (await connection.execute(VISIBLE)).one()
        return row.images, row.uploads

    async def is_consistent(self) -> bool:
        """Require that every key is named and every blob has its object, and that reaping leaves nothing else.

        The parts of resumable uploads are excepted.
        """
        servers = self.servers
        stored = await stored_keys(servers)
        assert stored <= await named_keys(servers), "an object that no row names"
        reaper = Reaper(self.settings, servers.database, servers.storage)
        await make_due(servers, "held", "reaping")
        while await reaper.reap():
            pass
        sizes = {key: size async for key, size in servers.storage.listing()}
        async with servers.database.engine.connect() as connection:
            blobs = {row.key: row.bytes for row in await connection.execute(SIZES)}
            unfinished = set((await connection.execute(UNFINISHED)).scalars())
            reserved = (await connection.execute(RESERVED)).scalar_one()
        assert set(sizes) - unfinished == await owned_keys(servers)
        assert blobs == {key: size for key, size in sizes.items() if key not in unfinished}
        assert set(await loose_states(servers)) <= {"gone"}
        assert reserved == 0
        return True


def is_accepted(answer: httpx.Response | None) -> bool:
    return answer is not None and answer.is_success


def is_postponed(answer: httpx.Response | None) -> bool:
    """Whether the answer is one of those allowed while a dependency is unavailable: 503 with Retry-After, or none."""
    return answer is None or (answer.status_code == 503 and int(answer.headers["retry-after"]) > 0)


def small(seed: int) -> bytes:
    return jpeg(seed=seed, size=(64, 48))


def large(seed: int) -> bytes:
    """A file that is stored in two parts."""
    return small(seed) + bytes(9 * MIB)


async def raw(service: ProxiedService, seed: int) -> httpx.Response:
    return await service.anyone.put(f"{service.link_path}/a.jpg", content=small(seed))


async def large_raw(service: ProxiedService, seed: int) -> httpx.Response:
    return await service.anyone.put(f"{service.link_path}/a.jpg", content=large(seed))


async def multipart(service: ProxiedService, seed: int) -> httpx.Response:
    return await service.owner.post("/v1/images", files=[("file", ("a.jpg", small(seed)))])


async def batch(service: ProxiedService, seed: int) -> httpx.Response:
    return await service.owner.post("/v1/batches", json=[{"file": base64.b64encode(small(seed)).decode()}])


async def tus(service: ProxiedService, seed: int) -> httpx.Response:
    data = small(seed)
    return await service.owner.post("/v1/tus", content=data, headers=TUS | {"Upload-Length": str(len(data))})


async def large_tus(service: ProxiedService, seed: int) -> httpx.Response:
    data = large(seed)
    return await service.owner.post("/v1/tus", content=data, headers=TUS | {"Upload-Length": str(len(data))})


WAYS: Mapping[str, Send] = {send.__name__: send for send in (raw, large_raw, multipart, batch, tus, large_tus)}


def _postgres_target(url: str) -> Target:
    parts = urlsplit(url)
    if folder := parse_qs(parts.query).get("host"):
        return f"{folder[0]}/.s.PGSQL.{parts.port or 5432}"
    return parts.hostname or "127.0.0.1", parts.port or 5432


def _valkey_target(url: str) -> Target:
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else (parts.hostname or "127.0.0.1", parts.port or 6379)


def _through(url: str, proxy: FaultProxy, *, scheme: str, path: str) -> str:
    """The URL with the proxy in place of the server."""
    user, at, _ = urlsplit(url).netloc.rpartition("@")
    return urlunsplit((scheme, f"{user}{at}127.0.0.1:{proxy.port}", path, "", ""))


@contextlib.asynccontextmanager
async def proxied_service(settings: Settings, **changes: Any) -> AsyncIterator[ProxiedService]:
    """Runs an API in this process. ``changes`` replace settings of the API."""
    database, redis = settings.database_url.get_secret_value(), settings.redis_url.get_secret_value()
    s3 = urlsplit(settings.s3_endpoint)
    number = parse_qs(urlsplit(redis).query).get("db", ["0"])[0]
    assert settings.admin_token is not None
    bearer = {"Authorization": f"Bearer {settings.admin_token.get_secret_value()}"}
    client: dict[str, Any] = {
        "timeout": 60,
        "verify": False,
        "event_hooks": {"response": [Contract(openapi_document()).hold]},
    }
    async with (
        FaultProxy((s3.hostname or "127.0.0.1", s3.port or 80)) as s3_proxy,
        FaultProxy(_postgres_target(database)) as postgres,
        FaultProxy(_valkey_target(redis)) as valkey,
        open_servers(settings) as servers,
    ):
        given = {name: getattr(settings, name) for name in settings.model_fields_set} | {
            "s3_endpoint": f"http://127.0.0.1:{s3_proxy.port}",
            "database_url": _through(database, postgres, scheme="postgresql", path=urlsplit(database).path),
            "redis_url": _through(redis, valkey, scheme="redis", path=f"/{number}"),
        }
        async with (
            running_api(Settings(**(given | changes))) as url,
            httpx.AsyncClient(base_url=url, headers=bearer, **client) as owner,
            httpx.AsyncClient(base_url=url, **client) as anyone,
        ):
            link = (await owner.post("/v1/links", json={"expires_in": 3600})).json()
            yield ProxiedService(
                settings=settings,
                owner=owner,
                anyone=anyone,
                link_path=f"/u/{link['token']}",
                servers=servers,
                s3=s3_proxy,
                postgres=postgres,
                valkey=valkey,
            )
