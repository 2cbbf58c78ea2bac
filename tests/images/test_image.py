"""The JSON of an image: all members for its owner, the public view for others, and waiting for processing."""

import asyncio
import datetime as dt
import time
from hashlib import sha256
from typing import Any

import httpx
import pytest

from tests.images.uploads import PUBLIC_VIEW, send
from tests.support.images import encode, exif, exif_jpeg, jpeg, picture, png
from tests.support.service import Service


def camera_photo() -> bytes:
    tags = exif(
        make="Canon",
        model="Canon EOS 80D",
        subseconds="5",
        latitude=48.85837,
        longitude=2.29448,
        altitude=35.0,
        orientation=6,
    )
    camera = tags.get_ifd(0x8769)
    camera.update({0x829D: 2.8, 0x829A: 0.004, 0x8827: 100, 0x920A: 35.0})
    return encode(picture(seed=1, size=(400, 300)), "JPEG", quality=85, exif=tags)


async def test_the_owner_sees_all_facts_of_the_file(service: Service) -> None:
    data = camera_photo()
    link = await service.new_link()
    sent = (await service.anyone.put(f"{link['path']}/a.jpg", content=data)).json()
    upload_id = sent["results"][0]["upload_id"]

    image = await service.image_of(sent["results"][0])

    thumb = image["renditions"][0]
    assert image["uploads"][0]["received_at"].endswith("Z")
    received_at = dt.datetime.fromisoformat(image["uploads"][0].pop("received_at"))
    created_at = dt.datetime.fromisoformat(image.pop("created_at"))
    assert abs((received_at - created_at).total_seconds()) < 1
    assert image.pop("score")["value"] in range(101)
    del image["perceptual_hash"]
    assert image == {
        "id": image["id"],
        "state": "ready",
        "problem": None,
        "owner_id": "00000000-0000-7000-8000-000000000001",
        "visibility": "private",
        "title": "a",
        "description": None,
        "sha256": sha256(data).hexdigest(),
        "bytes": len(data),
        "media_type": "image/jpeg",
        "width": 300,
        "height": 400,
        "stored_width": 400,
        "stored_height": 300,
        "orientation": 6,
        "frames": 1,
        "color_mode": "RGB",
        "has_icc_profile": False,
        "camera": {"make": "Canon", "model": "Canon EOS 80D", "lens": None},
        "exposure": {"f_number": 2.8, "seconds": 0.004, "iso": 100, "focal_length_mm": 35.0},
        "captured": {
            "local": "2020-09-02T10:11:12.500",
            "offset_minutes": 120,
            "offset_source": "exif",
            "utc": "2020-09-02T08:11:12.500Z",
        },
        "location": {
            "latitude": pytest.approx(48.85837, abs=1e-5),
            "longitude": pytest.approx(2.29448, abs=1e-5),
            "altitude_m": 35.0,
        },
        "perimeter": 1400,
        "notes": [],
        "renditions": [
            {
                "preset": preset,
                "format": "webp",
                "width": width,
                "height": height,
                "bytes": image["renditions"][at]["bytes"],
                "url": f"/v1/images/{image['id']}/renditions/{preset}.webp",
            }
            for at, (preset, width, height) in enumerate(
                [("thumb", 240, 320), ("medium", 300, 400), ("large", 300, 400)]
            )
        ],
        "original_url": f"/v1/images/{image['id']}/original",
        "uploads": [
            {
                "id": upload_id,
                "way": "link",
                "filename": "a.jpg",
                "duplicate": False,
                "link_id": link["id"],
                "batch_id": sent["batch_id"],
                "captured_at": None,
                "store_id": None,
                "store_name": None,
                "camera_id": None,
                "barcode": None,
            }
        ],
    }
    assert len((await service.owner.get(thumb["url"])).content) == thumb["bytes"]


async def test_unknown_facts_are_null(service: Service) -> None:
    plain = await service.image_of(await send(service, png(seed=1)))
    without_offset = await service.image_of(await send(service, exif_jpeg(seed=2, offset=None)))

    names = ("problem", "description", "orientation", "camera", "exposure", "captured", "location")
    assert {name: plain[name] for name in names} == dict.fromkeys(names)
    assert without_offset["captured"] == {
        "local": "2020-09-02T10:11:12.000",
        "offset_minutes": None,
        "offset_source": "unknown",
        "utc": None,
    }


async def test_a_pending_image_has_all_members_but_only_facts_of_the_upload(idle_service: Service) -> None:
    sent = await send(idle_service, camera_photo())

    image = (await idle_service.owner.get(sent["url"])).json()

    known = {name for name, value in image.items() if value not in (None, [])}
    assert image["state"] == "pending"
    assert known == {
        "id",
        "state",
        "owner_id",
        "visibility",
        "title",
        "created_at",
        "sha256",
        "bytes",
        "media_type",
        "original_url",
        "uploads",
    }


async def test_others_see_exactly_the_public_view_of_a_public_image(service: Service) -> None:
    sent = await send(service, camera_photo(), visibility="public")
    full = await service.image_of(sent)

    seen = (await service.anyone.get(sent["url"])).json()

    assert set(seen) == set(full)
    assert {name: seen[name] for name in PUBLIC_VIEW} == {name: full[name] for name in PUBLIC_VIEW}
    assert [seen[name] for name in set(seen) - PUBLIC_VIEW if seen[name] not in (None, [])] == []


async def test_a_private_image_is_404_to_others_on_every_route(service: Service) -> None:
    sent = await send(service, jpeg(seed=1))
    image = await service.image_of(sent)
    unknown = image["id"][:-4] + "0000"
    below = ["", "/original", "/renditions/thumb.webp", "/renditions/thumb.avif", "/renditions/huge.webp"]

    of_private = [await service.anyone.get(f"/v1/images/{image['id']}{path}") for path in below]
    of_unknown = [await service.anyone.get(f"/v1/images/{unknown}{path}") for path in below]

    assert [answer.status_code for answer in of_private] == [404, 401, 404, 404, 404]
    assert [content_of(answer) for answer in of_private] == [content_of(answer) for answer in of_unknown]
    assert (await service.anyone.get(f"/v1/uploads/{sent['upload_id']}")).status_code == 401
    assert (await service.anyone.delete(sent["url"])).status_code == 401


def content_of(answer: httpx.Response) -> tuple[int, dict[str, Any]]:
    """Status and body of an answer, without the request id."""
    return answer.status_code, {name: value for name, value in answer.json().items() if name != "instance"}


async def test_an_unknown_id_is_404_also_for_an_admin(idle_service: Service) -> None:
    unknown = "0199a000-0000-7000-8000-000000000000"
    paths = [f"/v1/images/{unknown}", "/v1/images/nonsense", f"/v1/uploads/{unknown}", f"/v1/images/{unknown}/original"]

    answers = [await idle_service.owner.get(path) for path in paths]

    assert [answer.status_code for answer in answers] == [404] * 4


async def test_a_bad_credential_is_401_for_a_public_image_too(idle_service: Service) -> None:
    sent = await send(idle_service, jpeg(seed=1), visibility="public")

    bad = await idle_service.anyone.get(sent["url"], headers={"Authorization": "Bearer " + "x" * 40})
    cookie = await idle_service.anyone.get(sent["url"], headers={"Cookie": "session=abc"})

    assert (bad.status_code, cookie.status_code) == (401, 200)


async def test_waiting_ends_as_soon_as_the_image_is_processed(idle_service: Service) -> None:
    sent = await send(idle_service, jpeg(seed=1))
    waiting = [
        asyncio.create_task(idle_service.owner.get(path, params={"wait": 30}))
        for path in (sent["url"], f"/v1/uploads/{sent['upload_id']}")
    ]
    await idle_service.owner.get(sent["url"])
    still_waiting = [not task.done() for task in waiting]

    idle_service.start_worker()
    image, upload_with_image = [answer.json() for answer in await asyncio.gather(*waiting)]

    assert still_waiting == [True, True]
    assert (image["state"], upload_with_image["image"]["state"]) == ("ready", "ready")


async def test_waiting_returns_a_pending_image_when_the_time_is_over(idle_service: Service) -> None:
    sent = await send(idle_service, jpeg(seed=1))
    begun = time.monotonic()

    answer = await idle_service.owner.get(sent["url"], params={"wait": 0.3})

    assert (answer.status_code, answer.json()["state"]) == (200, "pending")
    assert time.monotonic() - begun >= 0.3


async def test_a_wait_must_be_between_0_and_30_seconds(service: Service) -> None:
    sent = await send(service, jpeg(seed=1))
    await service.image_of(sent)
    waits = ["0", "30", "29.9", "-0.1", "30.1", "nan", "inf", "-inf", "soon", ""]

    answers = [await service.owner.get(sent["url"], params={"wait": wait}) for wait in waits]

    assert [answer.status_code for answer in answers] == [200] * 3 + [422] * 7
    assert {answer.json()["errors"][0]["pointer"] for answer in answers[3:]} == {"/query/wait"}


async def test_an_unchanged_image_is_304(idle_service: Service) -> None:
    sent = await send(idle_service, jpeg(seed=1))
    first = await idle_service.owner.get(sent["url"])
    known = {"If-None-Match": first.headers["etag"]}

    again = await idle_service.owner.get(sent["url"], headers=known)
    idle_service.start_worker()
    await idle_service.image_of(sent)
    processed = await idle_service.owner.get(sent["url"], headers=known)

    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert processed.status_code == 200
    assert first.headers["cache-control"] == "private, no-cache"


async def test_an_image_lists_all_its_uploads_each_with_its_own_context(idle_service: Service) -> None:
    data = jpeg(seed=1)
    first = await send(idle_service, data, name=b"one.jpg", store_id="S1")
    again = await send(idle_service, data, name=b"two.jpg", store_id="S2", visibility="public")

    image = (await idle_service.owner.get(first["url"])).json()

    assert again["status"] == "duplicate"
    assert (image["title"], image["visibility"]) == ("one", "private")
    assert {upload["filename"]: (upload["store_id"], upload["duplicate"]) for upload in image["uploads"]} == {
        "one.jpg": ("S1", False),
        "two.jpg": ("S2", True),
    }
