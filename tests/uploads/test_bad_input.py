"""Invalid bodies and files that are no images: each is refused with its own problem, and nothing is kept."""

import pytest

from tests.support.images import jpeg, truncated_jpeg
from tests.support.service import Service
from tests.support.traces import NOTHING, traces
from tests.support.wire import END, connected, field_part, file_part, form, part
from tests.uploads.ways_in import multipart_door, verdict

PICTURE = jpeg(seed=1, size=(64, 48))
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><script>alert(1)</script></svg>'
HTML = b"<!doctype html><html><body><img src=x onerror=alert(1)></body></html>"
NOT_FORMS = {
    "no type": ({}, b"hello", (415, "not-multipart")),
    "json": ({"Content-Type": "application/json"}, b'{"file": "aGVsbG8="}', (415, "not-multipart")),
    "urlencoded": ({"Content-Type": "application/x-www-form-urlencoded"}, b"file=hello", (415, "not-multipart")),
    "mixed": ({"Content-Type": "multipart/mixed; boundary=b"}, form(file_part(PICTURE)), (415, "not-multipart")),
    "boundary missing": ({"Content-Type": "multipart/form-data"}, form(file_part(PICTURE)), (400, "broken-multipart")),
    "boundary empty": ({"Content-Type": 'multipart/form-data; boundary=""'}, END, (400, "broken-multipart")),
    "boundary of another body": (
        {"Content-Type": "multipart/form-data; boundary=other"},
        form(file_part(PICTURE)),
        (400, "broken-multipart"),
    ),
    "boundary of 4 kB": (
        {"Content-Type": f"multipart/form-data; boundary={'x' * 4096}"},
        form(file_part(PICTURE)),
        (400, "broken-multipart"),
    ),
}
BROKEN_FORMS = {
    "empty": (b"", (400, "broken-multipart")),
    "garbage": (b"\x00\xff" * 5000, (400, "broken-multipart")),
    "cut in the file": (form(file_part(PICTURE))[:-400], (400, "broken-multipart")),
    "cut before the boundary": (file_part(PICTURE), (400, "broken-multipart")),
    "cut in the boundary": (form(file_part(PICTURE))[:-4], (400, "broken-multipart")),
    "cut in the header": (file_part(PICTURE)[:30], (400, "broken-multipart")),
    "cut in a field": (field_part("store_id", b"S1")[:-3], (400, "broken-multipart")),
    "no part": (END, (422, "no-file")),
    "fields only": (form(field_part("store_id", b"S1"), field_part("barcode", b"4")), (422, "no-file")),
    "no disposition": (form(part(PICTURE, b"Content-Type: image/jpeg")), (400, "broken-multipart")),
    "no colon in a header": (form(part(PICTURE, b"Content-Disposition")), (400, "broken-multipart")),
    "a bare line feed": (form(file_part(PICTURE)).replace(b"\r\n", b"\n"), (400, "broken-multipart")),
    "an empty file": (form(file_part(b"")), (422, "empty-file")),
    "a text file called jpg": (form(file_part(b"just some text")), (415, "unsupported-media-type")),
    "an svg": (form(file_part(SVG, b"drawing.svg")), (415, "unsupported-media-type")),
    "html called png": (form(file_part(HTML, b"page.png")), (415, "unsupported-media-type")),
    "two bytes of a jpeg": (form(file_part(PICTURE[:2])), (415, "unsupported-media-type")),
}
NOT_IMAGES = {
    "empty.jpg": (b"", (422, "empty-file")),
    "text.jpg": (b"just some text", (415, "unsupported-media-type")),
    "drawing.svg": (SVG, (415, "unsupported-media-type")),
    "page.html": (HTML, (415, "unsupported-media-type")),
    "form.jpg": (form(file_part(PICTURE)), (415, "unsupported-media-type")),
    "two-bytes.jpg": (PICTURE[:2], (415, "unsupported-media-type")),
}


@pytest.mark.parametrize("kind", ["link", "user"])
async def test_an_invalid_multipart_form_is_refused_and_nothing_is_kept(idle_service: Service, kind: str) -> None:
    source = await multipart_door(idle_service, kind)

    answers = {name: await source.send(body, headers) for name, (headers, body, _) in NOT_FORMS.items()}

    assert {name: verdict(answer) for name, answer in answers.items()} == {
        name: expected for name, (_, _, expected) in NOT_FORMS.items()
    }
    assert await traces(idle_service) == NOTHING


@pytest.mark.parametrize("kind", ["link", "user"])
async def test_a_broken_form_is_refused_and_nothing_is_kept(idle_service: Service, kind: str) -> None:
    source = await multipart_door(idle_service, kind)

    answers = {name: await source.send(body) for name, (body, _) in BROKEN_FORMS.items()}

    assert {name: verdict(answer) for name, answer in answers.items()} == {
        name: expected for name, (_, expected) in BROKEN_FORMS.items()
    }
    assert await traces(idle_service) == NOTHING


async def test_a_raw_body_that_is_no_image_is_refused_and_nothing_is_kept(idle_service: Service) -> None:
    link = await idle_service.new_link()

    answers = {
        name: await idle_service.anyone.put(f"{link['path']}/{name}", content=body)
        for name, (body, _) in NOT_IMAGES.items()
    }

    assert {name: verdict(answer) for name, answer in answers.items()} == {
        name: expected for name, (_, expected) in NOT_IMAGES.items()
    }
    assert [answer.json()["results"][0]["filename"] for answer in answers.values()] == list(NOT_IMAGES)
    assert await traces(idle_service) == NOTHING


@pytest.mark.parametrize("kind", ["link", "user"])
async def test_files_that_are_complete_are_taken_from_a_body_that_was_cut_short(
    idle_service: Service, kind: str
) -> None:
    source = await multipart_door(idle_service, kind)

    whole_and_half = await source.send(file_part(PICTURE) + file_part(jpeg(seed=2))[:-300])
    whole_and_no_end = await source.send(file_part(jpeg(seed=3)) + b"--b\r\n")

    results = whole_and_half.json()["results"]
    assert (whole_and_half.status_code, whole_and_no_end.status_code) == (201, 201)
    assert [result["status"] for result in results] == ["created", "rejected"]
    assert results[1]["problem"]["type"] == "/problems/broken-multipart"
    assert [len(answer.json()["warnings"]) for answer in (whole_and_half, whole_and_no_end)] == [1, 1]
    assert (await traces(idle_service))["uploads"] == 2


async def test_a_bad_file_does_not_affect_the_other_files(idle_service: Service) -> None:
    source = await multipart_door(idle_service, "link", max_files=2)
    files = [PICTURE, b"", SVG, truncated_jpeg(seed=4), b"text"]

    answer = await source.send(form(*(file_part(data) for data in files)))

    assert answer.status_code == 201
    assert [result["status"] for result in answer.json()["results"]] == [
        "created",
        "rejected",
        "rejected",
        "created",
        "rejected",
    ]
    assert (await traces(idle_service))["charged"] == 2


async def test_when_no_file_is_taken_the_answer_is_the_first_problem_with_all_results(idle_service: Service) -> None:
    source = await multipart_door(idle_service, "link")

    answer = await source.send(form(file_part(b"", b"one.jpg"), file_part(SVG, b"two.svg")))

    assert verdict(answer) == (422, "empty-file")
    problems = [(result["filename"], result["problem"]["status"]) for result in answer.json()["results"]]
    assert problems == [("one.jpg", 422), ("two.svg", 415)]


@pytest.mark.parametrize("length", ["abc", "-1", "1e3", "9" * 30])
async def test_a_length_that_is_no_number_is_a_client_error(idle_service: Service, length: str) -> None:
    link = await idle_service.new_link()

    async with connected(idle_service.url) as connection:
        await connection.begin("PUT", f"{link['path']}/a.jpg", f"Content-Length: {length}")
        await connection.send(PICTURE)
        answer = await connection.last_answer()

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert await traces(idle_service) == NOTHING


async def test_a_type_that_was_declared_does_not_count(idle_service: Service) -> None:
    source = await multipart_door(idle_service, "link")
    disposition = b'Content-Disposition: form-data; name="file"; filename="a.exe"'

    answer = await source.send(form(part(PICTURE, disposition, b"Content-Type: application/x-msdownload")))
    upload = await idle_service.owner.get(f"/v1/uploads/{answer.json()['results'][0]['upload_id']}")

    assert upload.json()["image"]["media_type"] == "image/jpeg"
