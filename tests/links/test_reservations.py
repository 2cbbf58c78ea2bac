"""Limits of a link under concurrency, and what large uploads reserve while they arrive (invariant 4)."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

from tests.links.links import expire
from tests.support.bookkeeping import loose_states
from tests.support.images import jpeg
from tests.support.processes import until
from tests.support.service import Service
from tests.support.traces import NOTHING, traces
from tests.support.wire import MULTIPART, Connection, connected, file_part, form

MIB = 1024 * 1024


def large(seed: int, size: int = 9 * MIB) -> bytes:
    data = jpeg(seed=seed, size=(64, 48))
    return data + bytes(size - len(data))


async def in_pieces(data: bytes) -> AsyncIterator[bytes]:
    """A body of unknown size: httpx sends it chunked."""
    for start in range(0, len(data), 256 * 1024):
        yield data[start : start + 256 * 1024]


async def use_of(service: Service, link: dict[str, str]) -> dict[str, int]:
    shown = (await service.owner.get(f"/v1/links/{link['id']}")).json()
    return {name: shown[name] for name in ("used_files", "used_bytes", "reserved_files", "reserved_bytes")}


async def begin_large(service: Service, connection: Connection, path: str, data: bytes) -> None:
    """Send all but the last byte and wait for the reservation."""
    await connection.begin("PUT", f"{path}/large.jpg", f"Content-Length: {len(data)}")
    await connection.send(data[:-1])

    async def is_held() -> bool:
        return "held" in await loose_states(service.background.servers)

    await until(is_held)


async def begin_form(service: Service, connection: Connection, link: dict[str, str], whole: bytes, rest: bytes) -> None:
    """Send ``whole`` and the first bytes of ``rest``, and wait until the file in ``whole`` is admitted."""
    length = f"Content-Length: {len(whole) + len(rest)}"
    await connection.begin("POST", link["path"], length, *(f"{name}: {value}" for name, value in MULTIPART.items()))
    await connection.send(whole + rest[:30])

    async def is_admitted() -> bool:
        return (await use_of(service, link))["used_files"] == 1

    await until(is_admitted)


async def test_max_bytes_admits_exactly_the_files_that_fit_when_uploads_race(idle_service: Service) -> None:
    files = [large(seed, 5000) for seed in range(30)]
    link = await idle_service.new_link(max_bytes=7 * 5000 + 4999)

    answers = await asyncio.gather(
        *(idle_service.anyone.put(f"{link['path']}/{n}.jpg", content=data) for n, data in enumerate(files))
    )

    assert Counter(answer.status_code for answer in answers) == {201: 7, 413: 23}
    assert await use_of(idle_service, link) == {
        "used_files": 7,
        "used_bytes": 35_000,
        "reserved_files": 0,
        "reserved_bytes": 0,
    }


async def test_a_link_is_used_up_at_exactly_max_bytes(idle_service: Service) -> None:
    link = await idle_service.new_link(max_bytes=10_000)

    answers = [
        await idle_service.anyone.put(f"{link['path']}/{size}.jpg", content=large(seed, size))
        for seed, size in enumerate([5001, 5000, 4999, 2000])
    ]

    outcomes = [(answer.status_code, answer.json().get("type")) for answer in answers]
    assert outcomes == [
        (201, None),
        (413, "/problems/link-room-too-small"),
        (201, None),
        (410, "/problems/link-used-up"),
    ]


async def test_racing_uploads_of_one_content_are_charged_once(idle_service: Service) -> None:
    data = jpeg(seed=1)
    link = await idle_service.new_link(max_files=1)

    answers = await asyncio.gather(
        *(idle_service.anyone.put(f"{link['path']}/{n}.jpg", content=data) for n in range(20))
    )

    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 19}
    assert (await use_of(idle_service, link))["used_files"] == 1


async def test_one_of_several_racing_large_files_gets_the_last_place(idle_service: Service) -> None:
    link = await idle_service.new_link(max_files=1)

    answers = await asyncio.gather(
        *(idle_service.anyone.put(f"{link['path']}/{n}.jpg", content=large(n)) for n in range(6))
    )

    refused = [answer for answer in answers if answer.status_code != 201]
    assert len(refused) == 5
    assert {answer.status_code for answer in refused} <= {410, 503}
    assert all(answer.status_code == 410 or answer.headers["retry-after"] for answer in refused)
    assert (await traces(idle_service))["uploads"] == 1
    assert await use_of(idle_service, link) == {
        "used_files": 1,
        "used_bytes": 9 * MIB,
        "reserved_files": 0,
        "reserved_bytes": 0,
    }


async def test_racing_large_copies_leave_one_charge_and_no_reservation(idle_service: Service) -> None:
    link, data = await idle_service.new_link(max_files=4), large(1)

    answers = await asyncio.gather(
        *(idle_service.anyone.put(f"{link['path']}/{n}.jpg", content=data) for n in range(4))
    )

    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 3}
    kept = await traces(idle_service)
    assert (kept["objects"], kept["blobs"], kept["uploads"], kept["charged"], kept["reserved"]) == (1, 1, 4, 1, 0)


async def test_a_reserved_place_is_503_until_the_reservation_is_released(idle_service: Service) -> None:
    link = await idle_service.new_link(max_files=1)
    small = jpeg(seed=2)

    async with connected(idle_service.url) as connection:
        await begin_large(idle_service, connection, link["path"], large(1))
        meanwhile = await idle_service.anyone.put(f"{link['path']}/small.jpg", content=small)
        invitation = (await idle_service.anyone.get(link["path"])).json()
        connection.hang_up()

        async def is_released() -> bool:
            return "held" not in await loose_states(idle_service.background.servers)

        await until(is_released)
    await idle_service.background.reaper.reap()
    after = await idle_service.anyone.put(f"{link['path']}/small.jpg", content=small)

    assert (meanwhile.status_code, meanwhile.json()["type"]) == (503, "/problems/link-reserved")
    assert int(meanwhile.headers["retry-after"]) > 0
    assert invitation["remaining"]["files"] == 0
    assert after.status_code == 201


async def test_a_large_file_of_unknown_size_is_admitted_if_it_fits(idle_service: Service) -> None:
    link = await idle_service.new_link(max_bytes=40 * MIB)
    body = form(file_part(large(1)), file_part(large(2)))

    chunked = await idle_service.anyone.put(f"{link['path']}/a.jpg", content=in_pieces(large(0)))
    of_a_form = await idle_service.anyone.post(link["path"], content=body, headers=MULTIPART)
    too_large = await idle_service.anyone.put(f"{link['path']}/d.jpg", content=in_pieces(large(3, 14 * MIB)))
    await idle_service.background.reaper.reap()
    declared = await idle_service.anyone.put(f"{link['path']}/d.jpg", content=large(3, 14 * MIB))
    exact = await idle_service.anyone.put(f"{link['path']}/d.jpg", content=in_pieces(large(3, 13 * MIB)))

    assert [answer.status_code for answer in (chunked, of_a_form, too_large, declared, exact)] == [
        201,
        201,
        413,
        413,
        201,
    ]
    assert [result["status"] for result in of_a_form.json()["results"]] == ["created"] * 2
    assert await use_of(idle_service, link) == {
        "used_files": 4,
        "used_bytes": 40 * MIB,
        "reserved_files": 0,
        "reserved_bytes": 0,
    }
    assert (await traces(idle_service))["objects"] == 4


async def test_revoking_a_link_during_a_request_refuses_its_further_files(idle_service: Service) -> None:
    link, whole, half = await idle_service.new_link(), file_part(jpeg(seed=1)), form(file_part(jpeg(seed=2)))

    async with connected(idle_service.url) as connection:
        await begin_form(idle_service, connection, link, whole, half)
        revoked = await idle_service.owner.delete(f"/v1/links/{link['id']}")
        await connection.send(half[30:])
        answer = await connection.answer()

    results = answer.json()["results"]
    assert (revoked.status_code, answer.status) == (204, 201)
    assert [result["status"] for result in results] == ["created", "rejected"]
    assert (results[1]["problem"]["status"], results[1]["problem"]["type"]) == (410, "/problems/link-revoked")
    assert (await traces(idle_service))["uploads"] == 1


async def test_revoking_a_link_while_a_large_file_arrives_refuses_it(idle_service: Service) -> None:
    link, data = await idle_service.new_link(max_files=2), large(1)

    async with connected(idle_service.url) as connection:
        await begin_large(idle_service, connection, link["path"], data)
        await idle_service.owner.delete(f"/v1/links/{link['id']}")
        await connection.send(data[-1:])
        answer = await connection.answer()

    assert (answer.status, answer.json()["type"]) == (410, "/problems/link-revoked")
    assert await traces(idle_service) == NOTHING


async def test_a_request_that_began_before_the_link_expired_completes(idle_service: Service) -> None:
    link, whole, half = await idle_service.new_link(), file_part(jpeg(seed=1)), form(file_part(jpeg(seed=2)))

    async with connected(idle_service.url) as connection:
        await begin_form(idle_service, connection, link, whole, half)
        await expire(idle_service, link)
        late = await idle_service.anyone.put(f"{link['path']}/b.jpg", content=jpeg(seed=3))
        await connection.send(half[30:])
        answer = await connection.answer()

    assert (late.status_code, late.json()["type"]) == (410, "/problems/link-expired")
    assert [result["status"] for result in answer.json()["results"]] == ["created", "created"]
