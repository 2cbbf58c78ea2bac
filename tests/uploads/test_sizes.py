"""Limits on the size of a request, tested on both sides, for declared and undeclared sizes."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from tests.support.images import jpeg
from tests.support.service import Service, running_service
from tests.support.traces import NOTHING, traces
from tests.support.wire import MULTIPART, connected, field_part, file_part, form, part
from tests.uploads.ways_in import multipart_door, verdict

MAX_BYTES = 100_000
MIB = 1024 * 1024
KINDS = pytest.mark.parametrize("kind", ["link", "user"])


def picture(size: int, *, seed: int = 0) -> bytes:
    """A JPEG of exactly that many bytes: what follows the end of the picture belongs to the file."""
    data = jpeg(seed=seed, size=(64, 48))
    return data + bytes(size - len(data))


async def in_pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 8192):
        yield data[start : start + 8192]


@pytest.fixture
async def strict(settings_with: Callable[..., Settings], sandbox: Sandbox) -> AsyncIterator[Service]:
    """A service with low limits and without a worker."""
    settings = settings_with(
        max_file_bytes=MAX_BYTES, max_parts=4, max_field_bytes=20, max_part_header_bytes=200, upload_memory_bytes=MIB
    )
    async with running_service(settings, sandbox, with_worker=False) as running:
        yield running


async def test_a_raw_file_may_have_the_limit_and_not_a_byte_more(strict: Service) -> None:
    link = await strict.new_link()
    at, over = picture(MAX_BYTES), picture(MAX_BYTES + 1)

    answers = [
        await strict.anyone.put(f"{link['path']}/declared.jpg", content=at),
        await strict.anyone.put(f"{link['path']}/chunked.jpg", content=in_pieces(at)),
        await strict.anyone.put(f"{link['path']}/declared.jpg", content=over),
        await strict.anyone.put(f"{link['path']}/chunked.jpg", content=in_pieces(over)),
    ]

    assert [answer.status_code for answer in answers] == [201, 200, 413, 413]
    assert [verdict(answer) for answer in answers[2:]] == [(413, "file-too-large")] * 2
    assert [answer.json()["max_file_bytes"] for answer in answers[2:]] == [MAX_BYTES] * 2
    assert (await traces(strict))["objects"] == 1


@KINDS
async def test_a_file_of_a_form_may_have_the_limit_and_not_a_byte_more(strict: Service, kind: str) -> None:
    source = await multipart_door(strict, kind)
    parts = [picture(MAX_BYTES, seed=1), picture(MAX_BYTES + 1, seed=2), picture(MAX_BYTES, seed=3)]

    answer = await source.send(in_pieces(form(*(file_part(data) for data in parts))))

    assert [result["status"] for result in answer.json()["results"]] == ["created", "rejected", "created"]
    assert answer.json()["results"][1]["problem"]["type"] == "/problems/file-too-large"


async def test_a_link_has_a_limit_of_its_own_which_never_exceeds_the_services(strict: Service) -> None:
    low = await strict.new_link(max_file_bytes=5000)
    high = await strict.new_link(max_file_bytes=10 * MAX_BYTES)

    answers = [
        await strict.anyone.put(f"{low['path']}/a.jpg", content=picture(5000)),
        await strict.anyone.put(f"{low['path']}/a.jpg", content=picture(5001)),
        await strict.anyone.put(f"{high['path']}/a.jpg", content=picture(MAX_BYTES)),
        await strict.anyone.put(f"{high['path']}/a.jpg", content=picture(MAX_BYTES + 1)),
    ]
    shown = [(await strict.anyone.get(link["path"])).json()["max_file_bytes"] for link in (low, high)]

    assert [answer.status_code for answer in answers] == [201, 413, 201, 413]
    assert shown == [5000, MAX_BYTES]


async def test_a_declared_length_over_the_limit_is_refused_before_the_body(strict: Service) -> None:
    link = await strict.new_link()

    async with connected(strict.url) as connection:
        await connection.begin("PUT", f"{link['path']}/a.jpg", f"Content-Length: {10 * MAX_BYTES}")
        answer = await connection.answer()

    assert (answer.status, answer.json()["type"]) == (413, "/problems/file-too-large")
    assert answer.headers["connection"] == "close"


async def test_a_client_that_sends_on_hears_of_the_refusal_all_the_same(strict: Service) -> None:
    link = await strict.new_link()

    answers = [
        await strict.anyone.put(f"{link['path']}/a.jpg", content=bytes(5 * MIB)),
        await strict.anyone.put(f"{link['path']}/a.jpg", content=in_pieces(bytes(2 * MIB))),
        await strict.anyone.put("/u/no-token/a.jpg", content=in_pieces(bytes(2 * MIB))),
        await strict.anyone.post("/u/no-token", content=bytes(5 * MIB), headers=MULTIPART),
        await strict.anyone.post("/v1/images", content=in_pieces(bytes(2 * MIB)), headers=MULTIPART),
        await strict.owner.post("/v1/images", content=bytes(5 * MIB), headers={"Content-Type": "image/jpeg"}),
    ]

    assert [answer.status_code for answer in answers] == [413, 415, 401, 401, 401, 415]


async def test_a_body_that_is_not_a_picture_is_refused_after_its_first_bytes(strict: Service) -> None:
    link = await strict.new_link()

    async with connected(strict.url) as connection:
        await connection.begin("PUT", f"{link['path']}/a.jpg", f"Content-Length: {MAX_BYTES}")
        await connection.send(b"x" * 1000)
        answer = await connection.answer()

    assert (answer.status, answer.json()["type"]) == (415, "/problems/unsupported-media-type")


@KINDS
async def test_a_form_has_so_many_parts_and_not_one_more(strict: Service, kind: str) -> None:
    source = await multipart_door(strict, kind)
    pictures = [file_part(jpeg(seed=seed, size=(16, 16))) for seed in range(5)]

    four = await source.send(form(*pictures[:4]))
    five = await source.send(form(*pictures))
    fields = await source.send(form(*(field_part("barcode", b"1") for _ in range(4)), pictures[0]))

    assert [len(answer.json()["results"]) for answer in (four, five)] == [4, 4]
    assert [len(answer.json()["warnings"]) for answer in (four, five)] == [0, 1]
    assert verdict(fields) == (413, "request-too-large")


async def test_a_field_may_have_so_many_bytes_and_not_one_more(strict: Service) -> None:
    source = await multipart_door(strict, "link")

    at = await source.send(form(field_part("barcode", b"1" * 20), file_part(jpeg(seed=1))))
    over = await source.send(form(field_part("barcode", b"1" * 21), file_part(jpeg(seed=2))))

    assert at.status_code == 201
    assert verdict(over) == (413, "request-too-large")
    assert "20 bytes" in over.json()["detail"]


async def test_a_header_of_a_part_may_have_so_many_bytes_and_not_one_more(strict: Service) -> None:
    source = await multipart_door(strict, "link")
    disposition = b'Content-Disposition: form-data; name="file"; filename="%s.jpg"'
    room = 200 - len(disposition % b"")

    at = await source.send(form(part(jpeg(seed=1), disposition % (b"x" * room))))
    over = await source.send(form(part(jpeg(seed=2), disposition % (b"x" * (room + 1)))))

    assert at.status_code == 201
    assert verdict(over) == (413, "request-too-large")
    assert "200 bytes" in over.json()["detail"]


HUGE_FORMS = {
    "10 000 files": (form(*(file_part(b"text") for _ in range(10_000))), (415, "unsupported-media-type")),
    "10 000 fields": (form(*(field_part("barcode", b"1") for _ in range(10_000))), (413, "request-too-large")),
    "a header of 1 MB": (form(part(b"", b"Content-Disposition: " + b"x" * MIB)), (413, "request-too-large")),
    "a header of 1 MB after a file": (
        form(file_part(b"text"), part(b"", b"Content-Disposition: " + b"x" * MIB)),
        (415, "unsupported-media-type"),
    ),
    "1 000 headers": (form(part(b"", *(b"X-%d: 1" % n for n in range(1000)))), (413, "request-too-large")),
    "a field of 1 MB": (form(field_part("title", b"x" * MIB)), (413, "request-too-large")),
    "a preamble of 1 MB": (b"x" * MIB, (400, "broken-multipart")),
}


@KINDS
async def test_a_form_out_of_all_proportion_is_refused_and_nothing_is_kept(idle_service: Service, kind: str) -> None:
    source = await multipart_door(idle_service, kind)

    answers: dict[str, httpx.Response] = {name: await source.send(body) for name, (body, _) in HUGE_FORMS.items()}

    assert {name: verdict(answer) for name, answer in answers.items()} == {
        name: expected for name, (_, expected) in HUGE_FORMS.items()
    }
    assert await traces(idle_service) == NOTHING


async def test_a_form_with_a_refused_file_too_long_to_skip_is_aborted(idle_service: Service) -> None:
    source = await multipart_door(idle_service, "user")
    unwanted = b"no picture" + bytes(17 * MIB)

    answer = await source.send(form(file_part(jpeg(seed=1)), file_part(unwanted), file_part(jpeg(seed=2))))

    assert answer.status_code == 201
    assert [result["status"] for result in answer.json()["results"]] == ["created", "rejected"]
    assert "not read" in answer.json()["warnings"][0]
