"""Connections that break, stall or are replaced: received bytes count, and any replica continues from there."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from imagesvc.uploads.source import UploadSource
from imagesvc.uploads.tus.append import PatchBody
from imagesvc.uploads.tus.request_stream import LINGER_SECONDS
from imagesvc.wiring import open_web
from tests.support.images import jpeg
from tests.support.people import People
from tests.support.processes import until
from tests.support.service import Service, running_api, running_service
from tests.support.traces import traces
from tests.support.wire import Connection, connected
from tests.uploads.tus.tus import MIB, OFFSET_STREAM, Tus, checksum, of_link, of_user, verdict

LARGE = jpeg(seed=1) + bytes(range(256)) * (11 * MIB // 256)
SMALL = jpeg(seed=2)


@contextlib.asynccontextmanager
async def patching(url: str, tus: Tus, upload: str, offset: int, length: int, *more: str) -> AsyncIterator[Connection]:
    """A PATCH whose turn it is, and whose body has not come yet."""
    headers = (f"Upload-Offset: {offset}", f"Content-Type: {OFFSET_STREAM}", "Tus-Resumable: 1.0.0", *more)
    if bearer := tus.client.headers.get("authorization"):
        headers += (f"Authorization: {bearer}",)
    async with connected(url) as connection:
        await connection.begin("PATCH", upload, f"Content-Length: {length}", "Expect: 100-continue", *headers)
        await connection.continued()
        yield connection


@pytest.fixture
async def replica(idle_service: Service) -> AsyncIterator[str]:
    """The URL of a second API over the same servers, which shares nothing else with the first."""
    async with running_api(idle_service.settings) as url:
        yield url


@pytest.fixture
async def impatient(settings_with: Callable[..., Settings], sandbox: Sandbox) -> AsyncIterator[Service]:
    async with running_service(settings_with(upload_idle_seconds=0.3), sandbox, with_worker=False) as running:
        yield running


async def is_free(service: Service) -> bool:
    """Nobody receives the one upload that there is."""
    async with service.background.servers.database.engine.connect() as connection:
        return bool((await connection.execute(text("SELECT turn = 'free' FROM resumable_uploads"))).scalar_one())


async def counted(service: Service) -> int:
    """What the row of the one upload counts, while requests are under way."""
    async with service.background.servers.database.engine.connect() as connection:
        found = await connection.execute(text("SELECT parts_bytes + tail_bytes FROM resumable_uploads"))
        return int(found.scalar_one())


async def ends_as(service: Service, tus: Tus, upload: str, data: bytes) -> None:
    """What is missing is sent, and the image has the bytes of the file."""
    offset = await tus.offset(upload)
    last = await tus.patch(upload, offset, data[offset:])
    assert last.headers["imagesvc-status"] == "created"
    image = (await service.owner.get(f"/v1/uploads/{last.headers['imagesvc-upload-id']}")).json()["image"]
    assert image["sha256"] == sha256(data).hexdigest()
    assert (await service.owner.get(image["original_url"])).content == data


@pytest.mark.parametrize("sent", [1000, 6 * MIB, 9 * MIB + 1])
async def test_a_cut_keeps_every_byte_that_arrived(idle_service: Service, sent: int) -> None:
    tus = of_user(idle_service)
    upload = await tus.new(len(LARGE))

    async with patching(idle_service.url, tus, upload, 0, len(LARGE)) as connection:
        await connection.send(LARGE[:sent])
    await until(lambda: is_free(idle_service))

    assert await tus.offset(upload) == sent
    await ends_as(idle_service, tus, upload, LARGE)


async def test_a_reset_keeps_the_parts_that_were_stored(idle_service: Service) -> None:
    tus = of_user(idle_service)
    upload = await tus.new(len(LARGE))

    async def is_counted() -> bool:
        return await counted(idle_service) == 8 * MIB

    async with patching(idle_service.url, tus, upload, 0, len(LARGE)) as connection:
        await connection.send(LARGE[: 10 * MIB])
        await until(is_counted)
        connection.hang_up()

    assert 8 * MIB <= await tus.offset(upload) <= 10 * MIB
    await ends_as(idle_service, tus, upload, LARGE)


async def test_a_stalled_connection_is_408_and_keeps_every_byte_that_arrived(impatient: Service) -> None:
    tus = of_user(impatient)
    upload = await tus.new(len(SMALL))

    async with patching(impatient.url, tus, upload, 0, len(SMALL)) as connection:
        await connection.send(SMALL[:1000])
        answer = await connection.answer()

    assert answer.status == 408
    assert await tus.offset(upload) == 1000
    await ends_as(impatient, tus, upload, SMALL)


async def test_bytes_that_were_to_be_verified_do_not_count_when_they_are_cut_short(idle_service: Service) -> None:
    tus = of_user(idle_service)
    upload = await tus.new(len(LARGE), LARGE[:100])
    (checksum_header,) = (f"{name}: {value}" for name, value in checksum(LARGE[100:]).items())

    async with patching(idle_service.url, tus, upload, 100, len(LARGE) - 100, checksum_header) as connection:
        await connection.send(LARGE[100 : 10 * MIB])
    await until(lambda: is_free(idle_service))

    assert await tus.offset(upload) == 100
    await ends_as(idle_service, tus, upload, LARGE)
    assert (await traces(idle_service))["objects"] == 1


@pytest.mark.parametrize("where", ["here", "replica"])
async def test_a_newer_request_makes_a_stalled_one_store_its_bytes(
    idle_service: Service, replica: str, where: str
) -> None:
    tus = of_user(idle_service)
    upload = await tus.new(len(LARGE))
    url = idle_service.url if where == "here" else replica

    async with patching(url, tus, upload, 0, len(LARGE)) as stalled:
        await stalled.send(LARGE[:1000])
        offset = await tus.offset(upload)
        older = await stalled.answer()

    assert offset == 1000
    assert (older.status, older.json()["type"]) == (409, "/problems/taken-over")
    await ends_as(idle_service, tus, upload, LARGE)


async def test_an_upload_continues_through_two_replicas_in_turn(idle_service: Service, replica: str) -> None:
    tus = of_user(idle_service)
    upload = await tus.new(len(LARGE))
    async with httpx.AsyncClient(base_url=replica, headers=idle_service.owner.headers, verify=False) as client:
        other = Tus(client=client, path="/v1/tus")
        cuts = [0, 3 * MIB, 9 * MIB, 9 * MIB + 7, len(LARGE)]
        answers = [
            await (tus if turn % 2 else other).patch(upload, start, LARGE[start:stop])
            for turn, (start, stop) in enumerate(itertools.pairwise(cuts))
        ]

    assert [int(answer.headers["upload-offset"]) for answer in answers] == cuts[1:]
    assert answers[-1].headers["imagesvc-status"] == "created"
    image = (await idle_service.owner.get(f"/v1/uploads/{answers[-1].headers['imagesvc-upload-id']}")).json()["image"]
    assert image["sha256"] == sha256(LARGE).hexdigest()
    assert (await traces(idle_service))["objects"] == 1


async def test_a_request_of_a_stranger_does_not_disturb_the_one_under_way(idle_service: Service) -> None:
    tus, (of_other_link, _) = of_user(idle_service), await of_link(idle_service)
    upload = await tus.new(len(SMALL))
    async with People(idle_service) as people:
        ann = Tus(client=(await people.new("ann")).client, path="/v1/tus")

        async with patching(idle_service.url, tus, upload, 0, len(SMALL), "Connection: close") as connection:
            await connection.send(SMALL[:1000])
            upload_id = upload.rpartition("/")[2]
            strangers = [
                await ann.patch(upload, 0, b"x"),
                await ann.delete(upload),
                await ann.head(upload),
                await of_other_link.patch(f"{of_other_link.path}/{upload_id}", 0, b"x"),
            ]
            with pytest.raises(TimeoutError):  # longer than a stopped request takes to end
                async with asyncio.timeout(2 * LINGER_SECONDS):
                    await connection.answer()
            await connection.send(SMALL[1000:])
            last = (await connection.last_answer()).partition(b"\r\n")[0]

    assert {answer.status_code for answer in strangers} == {404}
    assert last == b"HTTP/1.1 204 No Content"


async def test_a_request_cancelled_by_a_shutdown_stores_its_bytes(idle_service: Service) -> None:
    tus, arrived = of_user(idle_service), asyncio.Event()
    upload = await tus.new(len(SMALL))
    async with idle_service.background.servers.database.engine.connect() as connection:
        owner_id = (await connection.execute(text("SELECT owner_id FROM resumable_uploads"))).scalar_one()
    source = UploadSource(owner_id=owner_id, way="tus", max_file_bytes=len(LARGE), batch_id=None)

    async def stream() -> AsyncIterator[bytes]:
        yield SMALL[:1000]
        arrived.set()
        await asyncio.Event().wait()

    async with open_web(idle_service.settings) as web:
        body = PatchBody(stream=stream(), declared_bytes=None, checksum=None)
        receiving = asyncio.create_task(web.resumables.append(source, UUID(upload[-36:]), body, offset=0))
        await arrived.wait()
        receiving.cancel()

    assert receiving.cancelled()
    assert await tus.offset(upload) == 1000


async def test_a_file_of_another_type_is_refused_at_its_first_bytes(idle_service: Service) -> None:
    tus = of_user(idle_service)
    upload = await tus.new(50 * MIB)

    async with patching(idle_service.url, tus, upload, 0, 50 * MIB) as connection:
        await connection.send(b"no picture" * 100)
        refused = await connection.answer()
    later = await tus.patch(upload, 0, b"x")

    assert (refused.status, refused.json()["type"]) == (415, "/problems/unsupported-media-type")
    assert verdict(later) == (410, "upload-refused")
    assert later.json()["problem"]["status"] == 415
