"""Filenames, which are cleaned, and context fields, which are validated one by one."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.support.images import jpeg
from tests.support.service import Service
from tests.support.traces import traces
from tests.support.wire import field_part, file_part, form
from tests.uploads.ways_in import multipart_door, verdict

NAMES = {
    b"../../etc/passwd.jpg": "passwd.jpg",
    b"..": "unnamed",
    b"": "unnamed",
    b"C:\\Users\\ann\\holiday.jpg": "holiday.jpg",
    b"a\x00b.jpg": "ab.jpg",
    b"line%0Abreak.jpg": "linebreak.jpg",
    b"\xff\xfe.jpg": "��.jpg",
    "Zürich – überall.jpg".encode(): "Zürich – überall.jpg",
    "photo\u202egpj.exe".encode(): "photogpj.exe",
    b"x" * 4096 + b".jpg": "x" * 251 + ".jpg",
    b'quo\\"te.jpg': 'quo"te.jpg',
    b"semi;colon=1.jpg": "semi;colon=1.jpg",
}
RAW_NAMES = {
    "..%2F..%2Fpasswd.jpg": "passwd.jpg",
    "below/a/folder.jpg": "folder.jpg",
    "": "unnamed",
    "a%00b.jpg": "ab.jpg",
    "%FF%FE.jpg": "��.jpg",
    quote("Zürich.jpg"): "Zürich.jpg",
    "x" * 4096 + ".jpg": "x" * 251 + ".jpg",
    "%ED%A0%80.jpg": "���.jpg",
}
RIGHT = {
    "captured_at": "2026-11-20T10:11:12.5+02:00",
    "store_id": "S1",
    "store_name": "Zürich Hauptbahnhof",
    "camera_id": "till 4",
    "barcode": "4006381333931",
    "title": "A shelf",
    "description": "Left\nof the source",
    "visibility": "public",
}
LIMITS = {"store_id": 200, "store_name": 200, "camera_id": 200, "barcode": 200, "title": 300, "description": 5000}
WRONG = [
    ("captured_at", "yesterday"),
    ("captured_at", "2026-11-20T10:11:12"),
    ("captured_at", "2026-02-30T10:11:12Z"),
    ("captured_at", "0000-00-00T00:00:00Z"),
    ("captured_at", "0001-01-01T00:00:00+14:00"),
    ("captured_at", "9999-12-31T23:59:59-12:00"),
    ("captured_at", "99999-01-01T00:00:00Z"),
    ("captured_at", "20261120"),
    ("captured_at", "1e400"),
    ("captured_at", "2026-11-20T10:11:12+99:00"),
    ("visibility", "secret"),
    ("store_id", "a\x00b"),
    ("description", "\x00"),
    ("sha256", "abc"),
    ("sha256", "g" * 64),
]


def uploads_of(service: Service, answer: httpx.Response) -> Any:
    assert answer.status_code == 201, answer.text
    return service.owner.get(f"/v1/uploads/{answer.json()['results'][0]['upload_id']}")


def pointers(answer: httpx.Response) -> list[str]:
    return [error["pointer"] for error in answer.json()["errors"]]


@pytest.mark.parametrize("kind", ["link", "user"])
async def test_a_file_with_a_terrible_name_is_taken_under_a_clean_one(idle_service: Service, kind: str) -> None:
    source = await multipart_door(idle_service, kind)
    parts = [file_part(jpeg(seed=seed, size=(16, 16)), name) for seed, name in enumerate(NAMES)]

    answer = await source.send(form(*parts))
    uploads = [
        (await idle_service.owner.get(f"/v1/uploads/{result['upload_id']}")).json()
        for result in answer.json()["results"]
    ]

    assert [result["status"] for result in answer.json()["results"]] == ["created"] * len(NAMES)
    assert [upload["filename"] for upload in uploads] == list(NAMES.values())


async def test_a_terrible_name_in_the_path_is_made_clean_too(idle_service: Service) -> None:
    link = await idle_service.new_link()

    answers = [
        await idle_service.anyone.put(f"{link['path']}/{name}", content=jpeg(seed=seed, size=(16, 16)))
        for seed, name in enumerate(RAW_NAMES)
    ]
    uploads = [(await uploads_of(idle_service, answer)).json() for answer in answers]

    assert [upload["filename"] for upload in uploads] == list(RAW_NAMES.values())


async def test_a_raw_upload_has_its_context_in_the_query(idle_service: Service) -> None:
    link = await idle_service.new_link(visibility="private")

    answer = await idle_service.anyone.put(f"{link['path']}/a.jpg", content=jpeg(seed=1), params=RIGHT)
    upload = (await uploads_of(idle_service, answer)).json()

    assert {name: upload[name] for name in ("store_id", "store_name", "camera_id", "barcode")} == {
        name: RIGHT[name] for name in ("store_id", "store_name", "camera_id", "barcode")
    }
    assert upload["captured_at"] == "2026-11-20T08:11:12.500Z"
    assert (upload["image"]["title"], upload["image"]["description"]) == (RIGHT["title"], RIGHT["description"])
    assert upload["image"]["visibility"] == "private"


async def test_users_set_the_visibility_themselves_and_links_set_it_for_uploaders(idle_service: Service) -> None:
    public = field_part("visibility", b"public")
    user = await multipart_door(idle_service, "user")
    link = await multipart_door(idle_service, "link")
    public_link = await multipart_door(idle_service, "link", visibility="public")
    private = field_part("visibility", b"private")

    answers = [
        await user.send(form(public, file_part(jpeg(seed=1)))),
        await link.send(form(public, file_part(jpeg(seed=2)))),
        await public_link.send(form(private, file_part(jpeg(seed=3)))),
    ]
    uploads = [(await uploads_of(idle_service, answer)).json() for answer in answers]

    assert [upload["image"]["visibility"] for upload in uploads] == ["public", "private", "public"]


async def test_the_store_and_camera_of_a_link_override_sent_fields(idle_service: Service) -> None:
    source = await multipart_door(idle_service, "link", store_id="S9", camera_id="c9")

    answer = await source.send(form(field_part("store_id", b"S1"), file_part(jpeg(seed=1))))
    upload = (await uploads_of(idle_service, answer)).json()

    assert (upload["store_id"], upload["camera_id"]) == ("S9", "c9")


async def test_each_field_takes_its_longest_text_and_no_character_more(idle_service: Service) -> None:
    source = await multipart_door(idle_service, "user")
    longest = form(*(field_part(name, ("ü" * most).encode()) for name, most in LIMITS.items()), file_part(jpeg(seed=1)))
    longer = {
        name: form(field_part(name, ("ü" * (most + 1)).encode()), file_part(jpeg(seed=2)))
        for name, most in LIMITS.items()
    }

    taken = await source.send(longest)
    refused = {name: await source.send(body) for name, body in longer.items()}

    assert taken.status_code == 201
    assert {name: verdict(answer) for name, answer in refused.items()} == dict.fromkeys(
        LIMITS, (422, "invalid-context")
    )
    assert {name: pointers(answer) for name, answer in refused.items()} == {name: [f"/{name}"] for name in LIMITS}


async def test_a_wrong_field_is_refused_by_its_name_in_a_form_and_in_a_query(idle_service: Service) -> None:
    source = await multipart_door(idle_service, "user")
    link = await idle_service.new_link()
    picture = jpeg(seed=1)

    by_field = {
        wrong: await source.send(form(field_part(wrong[0], wrong[1].encode()), file_part(picture))) for wrong in WRONG
    }
    by_query = {
        wrong: await idle_service.anyone.put(f"{link['path']}/a.jpg", content=picture, params=dict([wrong]))
        for wrong in WRONG
    }

    reported = {wrong: ((422, "invalid-context"), [f"/{wrong[0]}"]) for wrong in WRONG}
    assert {wrong: (verdict(answer), pointers(answer)) for wrong, answer in by_field.items()} == reported
    del reported["visibility", "secret"]
    assert by_query.pop(("visibility", "secret")).status_code == 201
    assert {wrong: (verdict(answer), pointers(answer)) for wrong, answer in by_query.items()} == reported
    assert (await traces(idle_service))["uploads"] == 1


async def test_an_invalid_field_affects_only_its_files(idle_service: Service) -> None:
    source = await multipart_door(idle_service, "user")
    wrong, right = field_part("captured_at", b"soon"), field_part("captured_at", b"")

    answer = await source.send(form(wrong, file_part(jpeg(seed=1)), right, file_part(jpeg(seed=2))))

    assert [result["status"] for result in answer.json()["results"]] == ["rejected", "created"]


@pytest.mark.parametrize(
    "disposition",
    [
        "form-data; name=file; filename*=utf-8''%C3%A4%20b.jpg",
        "form-data; name=upload; filename*=utf-8''%C3%A4%20b.jpg",
        'form-data; name=file; filename="=?utf-8?B?w6QgYi5qcGc=?="',
        "form-data; name=file; filename=\"=?utf-8?B?w6QgYi5qcGc=?=\"; filename*=utf-8''%C3%A4%20b.jpg",
    ],
)
async def test_filenames_as_dotnet_and_powershell_send_them_are_read(idle_service: Service, disposition: str) -> None:
    body = f"--b\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + jpeg(seed=1) + b"\r\n--b--\r\n"

    answer = await idle_service.owner.post(
        "/v1/images", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )

    assert answer.status_code == 201
    assert answer.json()["results"][0]["filename"] == "ä b.jpg"
