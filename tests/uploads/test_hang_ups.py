"""Clients that disconnect during an upload: at most a loose object is left, and the reaper deletes it (invariant 3)."""

import asyncio

import pytest

from tests.support.bookkeeping import loose_states
from tests.support.images import jpeg
from tests.support.processes import until
from tests.support.service import Service
from tests.support.traces import NOTHING, traces
from tests.support.wire import Connection, connected, file_part

MIB = 1024 * 1024
LARGE = jpeg(seed=1) + bytes(20 * MIB)
SMALL = jpeg(seed=2)
BEARER = "Authorization: Bearer admin-token-of-the-tests-0123456789"
FORM = "Content-Type: multipart/form-data; boundary=b"
WAYS = pytest.mark.parametrize("way", ["raw", "chunked", "form", "user"])


async def begin_upload(connection: Connection, way: str, link_path: str, data: bytes) -> None:
    """The head of a request and the first two thirds of its file."""
    sent = len(data) * 2 // 3
    if way == "raw":
        await connection.begin("PUT", f"{link_path}/a.jpg", f"Content-Length: {len(data)}")
    elif way == "chunked":
        await connection.begin("PUT", f"{link_path}/a.jpg", "Transfer-Encoding: chunked")
        await connection.send(f"{sent:x}\r\n".encode())
    else:
        data = file_part(data)
        where = ("/v1/images", BEARER) if way == "user" else (link_path, "X-Way: form")
        await connection.begin("POST", where[0], f"Content-Length: {len(data)}", FORM, where[1])
    await connection.send(data[:sent])


@WAYS
async def test_half_a_small_file_leaves_nothing_at_all(idle_service: Service, way: str) -> None:
    link = await idle_service.new_link(max_files=1)

    async with connected(idle_service.url) as connection:
        await begin_upload(connection, way, link["path"], SMALL)
        connection.hang_up()
    after = await idle_service.anyone.put(f"{link['path']}/b.jpg", content=jpeg(seed=3))
    states = await loose_states(idle_service.background.servers)

    assert (after.status_code, states) == (201, [])
    assert (await traces(idle_service))["uploads"] == 1


@WAYS
async def test_half_a_large_file_leaves_a_loose_row_which_the_reaper_frees(idle_service: Service, way: str) -> None:
    link = await idle_service.new_link(max_files=1)
    servers = idle_service.background.servers

    async def is_held() -> bool:
        return await loose_states(servers) == ["held"]

    async def is_given_up() -> bool:
        return await loose_states(servers) == ["reaping"]

    async with connected(idle_service.url) as connection:
        await begin_upload(connection, way, link["path"], LARGE)
        await until(is_held)
        connection.hang_up()
        await until(is_given_up)

    assert await traces(idle_service) == NOTHING
    after = await idle_service.anyone.put(f"{link['path']}/b.jpg", content=LARGE)
    assert after.status_code == 201


async def test_complete_files_are_kept_when_the_client_disconnects(idle_service: Service) -> None:
    link = await idle_service.new_link()

    async def is_there() -> bool:
        return bool((await idle_service.owner.get(f"/v1/links/{link['id']}")).json()["used_files"])

    async with connected(idle_service.url) as connection:
        await connection.begin("POST", link["path"], "Content-Length: 100000", FORM)
        await connection.send(file_part(SMALL) + file_part(jpeg(seed=3))[:-200])
        await until(is_there)
        connection.hang_up()
    await idle_service.anyone.put(f"{link['path']}/b.jpg", content=jpeg(seed=4))

    assert (await traces(idle_service))["uploads"] == 2


async def test_memory_of_disconnected_clients_is_released(idle_service: Service) -> None:
    link = await idle_service.new_link()

    async def half() -> None:
        async with connected(idle_service.url) as connection:
            await begin_upload(connection, "chunked", link["path"], SMALL)
            connection.hang_up()

    await asyncio.gather(*(half() for _ in range(12)))
    after = await idle_service.anyone.put(f"{link['path']}/b.jpg", content=SMALL)

    assert after.status_code == 201
