"""The API is killed after each step of an upload, for every way of uploading (invariants 1 and 3 of the design).

After each kill, every key is named by a row, and after reaping only complete images are left. Then the client repeats
all uploads, and every file is admitted.
"""

import asyncio
import base64
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import httpx
import pytest
from sqlalchemy import text

from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from imagesvc.wiring import Background, open_background
from tests.support.bookkeeping import loose_states, make_due, named_keys, owned_keys, stored_keys
from tests.support.crashing_api import CrashingApi
from tests.support.images import jpeg

MIB = 1024 * 1024
PART_BYTES = 5 * MIB
MAX_STEPS = 60
RETRYABLE = {409, 423, 429, 503}
TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}

FACTS = text("""
    SELECT (SELECT count(*) FROM images) AS images, (SELECT count(DISTINCT sha256) FROM blobs) AS blobs,
           (SELECT count(*) FROM tasks WHERE kind = 'process_image') AS tasks,
           (SELECT coalesce(sum(reserved_files + reserved_bytes), 0)::bigint FROM links) AS reserved
""")
SIZES = text("SELECT key, bytes FROM blobs")
UNFINISHED = text("SELECT unnest(array_remove(ARRAY[key, tail_key], NULL)) FROM resumable_uploads")
EXPIRE_UPLOADS = text("UPDATE resumable_uploads SET expires_at = now() WHERE state = 'receiving'")


@dataclass(kw_only=True)
class File:
    """A file of one client. ``location`` is the URL of its resumable upload, once created."""

    way: str
    data: bytes
    link_path: str
    location: str | None = field(default=None)


Send = Callable[[httpx.AsyncClient, File], Awaitable[httpx.Response]]


async def raw(client: httpx.AsyncClient, file: File) -> httpx.Response:
    return await client.put(f"{file.link_path}/a.jpg", content=file.data)


async def multipart(client: httpx.AsyncClient, file: File) -> httpx.Response:
    return await client.post("/v1/images", files=[("file", ("a.jpg", file.data))])


async def batch(client: httpx.AsyncClient, file: File) -> httpx.Response:
    return await client.post("/v1/batches", json=[{"file": base64.b64encode(file.data).decode()}])


async def tus(client: httpx.AsyncClient, file: File) -> httpx.Response:
    """Like a tus client: create the upload, or ask for its offset; then send the rest."""
    offset = 0
    if file.location is None:
        created = await client.post(f"{file.link_path}/tus", headers=TUS | {"Upload-Length": str(len(file.data))})
        file.location = created.headers["location"]
    else:
        head = await client.head(file.location, headers=TUS)
        if not head.is_success:
            return head
        offset = int(head.headers["upload-offset"])
    return await client.patch(file.location, content=file.data[offset:], headers=TUS | {"Upload-Offset": str(offset)})


WAYS: Mapping[str, tuple[Send, int]] = {
    "small raw": (raw, 0),
    "large raw": (raw, PART_BYTES),
    "multipart": (multipart, 0),
    "batch": (batch, 0),
    "small tus": (tus, 0),
    "large tus": (tus, PART_BYTES),
}


async def require_all_keys_named(background: Background, when: str) -> None:
    unnamed = await stored_keys(background.servers) - await named_keys(background.servers)
    assert not unnamed, f"killed {when}: no row names {unnamed}"


async def require_complete_images(background: Background, when: str) -> None:
    """After reaping, the bucket has only the objects of blobs and the parts of resumable uploads."""
    servers = background.servers
    await make_due(servers, "held", "reaping")
    while await background.reaper.reap():
        pass
    sizes = {key: size async for key, size in servers.storage.listing()}
    async with servers.database.engine.connect() as connection:
        blobs = {row.key: row.bytes for row in await connection.execute(SIZES)}
        unfinished = set((await connection.execute(UNFINISHED)).scalars())
    assert set(sizes) - unfinished == await owned_keys(servers), when
    assert {key: size for key, size in sizes.items() if key not in unfinished} == blobs, when
    assert set(await loose_states(servers)) <= {"gone"}, when


async def kill_after_every_step(
    api: CrashingApi, background: Background, way: str, link_path: str, seeds: range
) -> list[File]:
    """Returns the sent files: one per step after which the API was killed, and a last one that it survived."""
    send, extra_bytes = WAYS[way]
    files = []
    for steps, seed in enumerate(seeds, start=1):
        file = File(way=way, data=jpeg(seed=seed, size=(64, 48)) + bytes(extra_bytes), link_path=link_path)
        files.append(file)
        answer = None
        async with await api.begin(dies_after=steps) as client:
            with contextlib.suppress(httpx.TransportError):
                answer = await send(client, file)
        await api.end()
        await require_all_keys_named(background, f"{way}, after step {steps}")
        if answer is not None:
            assert answer.is_success, answer.text
            await require_complete_images(background, way)
            return files
    pytest.fail(f"{way} takes more than {MAX_STEPS} steps")


async def send_again(client: httpx.AsyncClient, file: File) -> httpx.Response:
    """Like a client: repeat the upload while the answer is retryable."""
    while (answer := await WAYS[file.way][0](client, file)).status_code in RETRYABLE:
        await asyncio.sleep(0.1)
    return answer


@pytest.mark.timeout(300)
async def test_an_api_killed_after_any_upload_step_leaves_complete_images_and_loose_rows(
    settings_with: Callable[..., Settings], sandbox: Sandbox
) -> None:
    settings = settings_with(part_bytes=PART_BYTES, task_lease_seconds=1.0)
    files: list[File] = []
    async with open_background(settings, sandbox) as background, CrashingApi(settings) as api:
        async with await api.begin(dies_after=0) as client:
            token = (await client.post("/v1/links", json={"expires_in": 3600})).json()["token"]
        await api.end()
        for index, way in enumerate(WAYS):
            seeds = range(index * MAX_STEPS, (index + 1) * MAX_STEPS)
            files += await kill_after_every_step(api, background, way, f"/u/{token}", seeds)

        async with await api.begin(dies_after=0) as client:
            again = await asyncio.gather(*(send_again(client, file) for file in files))
        await api.end()
        async with background.servers.database.sessions.begin() as session:
            await session.execute(EXPIRE_UPLOADS)
        await background.expiry.expire()
        await require_complete_images(background, "after all repetitions")
        async with background.servers.database.engine.connect() as connection:
            facts = dict((await connection.execute(FACTS)).one()._mapping)

    assert [answer.text for answer in again if not answer.is_success] == []
    assert len(files) > 40
    assert facts == {"images": len(files), "blobs": len(files), "tasks": len(files), "reserved": 0}
