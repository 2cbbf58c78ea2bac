"""Renditions over HTTP: made eagerly, or once on the first request."""

import asyncio
import io
import re
import uuid
from hashlib import sha256

import httpx
import pytest
from PIL import Image
from sqlalchemy import text

from imagesvc.processing.contract import LONG_SIDE
from imagesvc.processing.renditions import fit_within
from imagesvc.storage.bucket import new_key
from tests.images.uploads import send
from tests.support.bookkeeping import loose_states, owned_keys, stored_keys
from tests.support.images import jpeg, png, truncated_jpeg
from tests.support.service import Service

SIZE_OF_PRESET = {"thumb": (320, 213), "medium": (1024, 683), "large": (2048, 1365), "full": (2400, 1600)}
PILLOW_FORMAT = {"webp": "WEBP", "jpg": "JPEG", "avif": "AVIF"}
MEDIA_TYPE = {"webp": "image/webp", "jpg": "image/jpeg", "avif": "image/avif"}


async def count(service: Service, table: str) -> int:
    async with service.background.servers.database.engine.connect() as connection:
        return int((await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())


async def ready_image(service: Service, data: bytes, *, visibility: str = "private") -> str:
    """The path of a processed image."""
    sent = await send(service, data, visibility=visibility)
    assert (await service.image_of(sent))["state"] == "ready"
    return str(sent["url"])


def format_and_size(answer: httpx.Response) -> tuple[str | None, tuple[int, int]]:
    picture = Image.open(io.BytesIO(answer.content))
    return picture.format, picture.size


async def test_every_preset_exists_in_every_format(service: Service) -> None:
    path = await ready_image(service, jpeg(seed=1, size=(2400, 1600)))
    names = [
        (preset, form) for preset in SIZE_OF_PRESET for form in PILLOW_FORMAT if (preset, form) != ("full", "avif")
    ]

    answers = {name: await service.owner.get(f"{path}/renditions/{name[0]}.{name[1]}") for name in names}

    assert {name: (answer.status_code, answer.headers["content-type"]) for name, answer in answers.items()} == {
        name: (200, MEDIA_TYPE[name[1]]) for name in names
    }
    assert {name: format_and_size(answer) for name, answer in answers.items()} == {
        name: (PILLOW_FORMAT[name[1]], SIZE_OF_PRESET[name[0]]) for name in names
    }


async def test_a_rendition_has_the_hash_of_its_bytes_as_tag_and_can_be_304(service: Service) -> None:
    path = await ready_image(service, jpeg(seed=1))
    url = f"{path}/renditions/thumb.webp"
    got = await service.owner.get(url)
    await service.background.servers.storage.delete(await key_of(service, "thumb", "webp"))

    head = await service.owner.head(url)
    again = await service.owner.get(url, headers={"If-None-Match": got.headers["etag"]})

    assert got.headers["etag"] == f'"{sha256(got.content).hexdigest()}"'
    assert (head.status_code, head.headers["etag"], head.headers["content-length"]) == (
        200,
        got.headers["etag"],
        str(len(got.content)),
    )
    assert (again.status_code, again.content) == (304, b"")
    assert (got.headers["x-content-type-options"], got.headers["referrer-policy"]) == ("nosniff", "no-referrer")


async def key_of(service: Service, preset: str, form: str) -> str:
    async with service.background.servers.database.engine.connect() as connection:
        query = text("SELECT key FROM renditions WHERE preset = :preset AND format = :form")
        return str((await connection.execute(query, {"preset": preset, "form": form})).scalar_one())


async def test_a_range_of_a_rendition_is_206(service: Service) -> None:
    path = await ready_image(service, jpeg(seed=1))
    whole = await service.owner.get(f"{path}/renditions/thumb.webp")

    part = await service.owner.get(f"{path}/renditions/thumb.webp", headers={"Range": "bytes=10-19"})
    beyond = await service.owner.get(f"{path}/renditions/thumb.webp", headers={"Range": "bytes=999999-"})

    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert beyond.status_code == 416


async def test_only_renditions_of_public_images_may_be_kept_by_caches(service: Service) -> None:
    private = await ready_image(service, jpeg(seed=1))
    public = await ready_image(service, jpeg(seed=2), visibility="public")

    answers = [
        await service.owner.get(f"{private}/renditions/thumb.webp"),
        await service.owner.get(f"{public}/renditions/thumb.webp"),
        await service.anyone.get(f"{public}/renditions/thumb.webp"),
        await service.anyone.get(f"{public}/renditions/medium.jpg"),
    ]

    assert [answer.status_code for answer in answers] == [200] * 4
    kept = "public, max-age=60, must-revalidate"
    assert [answer.headers["cache-control"] for answer in answers] == ["private, no-cache", kept, kept, kept]


async def test_a_rendition_is_made_once_for_many_concurrent_requests(service: Service) -> None:
    path = await ready_image(service, jpeg(seed=1))
    await service.stop_worker()
    requests = [asyncio.create_task(service.owner.get(f"{path}/renditions/medium.jpg")) for _ in range(20)]
    while await count(service, "tasks") == 0:
        await asyncio.sleep(0.01)
    await service.owner.get(path)
    task_count = await count(service, "tasks")

    service.start_worker()
    answers = await asyncio.gather(*requests)

    assert task_count == 1
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert (await count(service, "renditions"), await count(service, "tasks")) == (3, 0)
    servers = service.background.servers
    assert (await stored_keys(servers), await loose_states(servers)) == (await owned_keys(servers), [])


async def test_an_image_is_never_enlarged(service: Service) -> None:
    path = await ready_image(service, jpeg(seed=1, size=(200, 100)))

    answers = [await service.owner.get(f"{path}/renditions/{name}") for name in ("large.webp", "thumb.jpg", "full.jpg")]

    assert [format_and_size(answer)[1] for answer in answers] == [(200, 100)] * 3


@pytest.mark.parametrize("size", [(200, 100), (320, 240), (321, 240), (1024, 768), (1500, 400), (2048, 2), (2400, 3)])
async def test_presets_of_the_whole_image_are_one_object_under_several_names(
    service: Service, size: tuple[int, int]
) -> None:
    path = await ready_image(service, jpeg(seed=1, size=size))
    sides = {preset: side or max(size) for preset, side in LONG_SIDE.items()}
    whole = [preset for preset, side in sides.items() if max(size) <= side]

    listed = {item["preset"]: item for item in (await service.owner.get(path)).json()["renditions"]}
    answers = {name: await service.owner.get(f"{path}/renditions/{name}.webp") for name in sides}
    again = (await service.owner.get(path)).json()["renditions"]
    stored = await stored_keys(service.background.servers)

    assert list(listed) == ["thumb", "medium", "large"]
    for name, answer in answers.items():
        assert format_and_size(answer)[1] == fit_within(size, LONG_SIDE[name])
        if name in listed:
            item = listed[name]
            assert (item["width"], item["height"], item["bytes"]) == (
                *fit_within(size, LONG_SIDE[name]),
                len(answer.content),
            )
    assert len({answers[name].headers["etag"] for name in whole}) == 1
    assert len(stored) == 1 + await count(service, "renditions") == 1 + len({a.content for a in answers.values()})
    assert len(again) == 3 + ("full" in again[-1]["preset"])


async def test_the_order_of_requests_does_not_matter_for_the_whole_image(service: Service) -> None:
    path = await ready_image(service, jpeg(seed=1, size=(64, 48)))

    answers = [
        await service.owner.get(f"{path}/renditions/{name}.jpg") for name in ("full", "thumb", "large", "medium")
    ]
    listed = (await service.owner.get(path)).json()["renditions"]

    assert len({answer.content for answer in answers}) == 1
    assert await count(service, "renditions") == 2
    assert [(item["preset"], item["format"]) for item in listed if item["format"] == "jpg"] == [
        ("thumb", "jpg"), ("medium", "jpg"), ("large", "jpg"), ("full", "jpg")
    ]  # fmt: skip


async def test_renditions_of_an_earlier_edition_stay_as_they_are(service: Service) -> None:
    """It stored a file for each preset, also when they showed the same pixels."""
    path = await ready_image(service, jpeg(seed=1, size=(64, 48)))
    servers = service.background.servers
    keys = {preset: new_key("r") for preset in ("medium", "large")}
    for preset, key in keys.items():
        await servers.storage.put(key, preset.encode(), media_type="image/webp", until=float("inf"))
        async with servers.database.sessions.begin() as session:
            insert = """INSERT INTO renditions (blob_id, preset, format, key, width, height, sha256, bytes)
                SELECT blob_id, :preset, format, :key, width, height, sha256(:body), length(:body) FROM renditions
                WHERE preset = 'thumb'"""
            await session.execute(text(insert), {"preset": preset, "key": key, "body": preset.encode()})

    bodies = {name: (await service.owner.get(f"{path}/renditions/{name}.webp")).content for name in keys}
    listed = (await service.owner.get(path)).json()["renditions"]
    await service.owner.delete(path)
    await service.stop_worker()
    await service.background.reaper.reap()

    assert bodies == {"medium": b"medium", "large": b"large"}
    assert [item["preset"] for item in listed] == ["thumb", "medium", "large"]
    assert await stored_keys(servers) == set()


async def test_the_database_knows_the_limits_of_the_presets(service: Service) -> None:
    async with service.background.servers.database.engine.connect() as connection:
        for name in ("rendition_named", "rendition_names"):
            source = (
                await connection.execute(text(f"SELECT prosrc FROM pg_proc WHERE proname = '{name}'"))
            ).scalar_one()
            found = dict(re.findall(r"'(\w+)'(?: THEN greatest\(f_width, f_height\) <=|,) (\d+)", source))
            assert {preset: int(side) for preset, side in found.items()} == {k: v for k, v in LONG_SIDE.items() if v}


async def test_a_transparent_image_stays_transparent_if_the_format_supports_it(service: Service) -> None:
    path = await ready_image(service, png(seed=1, mode="RGBA"))

    answers = [await service.owner.get(f"{path}/renditions/thumb.{form}") for form in ("webp", "avif", "jpg")]

    assert [Image.open(io.BytesIO(answer.content)).mode for answer in answers] == ["RGBA", "RGBA", "RGB"]


async def test_an_unknown_rendition_is_404(service: Service) -> None:
    path = await ready_image(service, jpeg(seed=1))
    names = [
        "huge.webp",
        "thumb.png",
        "thumb.gif",
        "thumb",
        "thumb.",
        ".webp",
        "thumb.webp.webp",
        "THUMB.webp",
        "a%00.webp",
    ]

    answers = [await service.owner.get(f"{path}/renditions/{name}") for name in names]
    of_unknown = await service.owner.get(f"/v1/images/{uuid.uuid4()}/renditions/thumb.webp")

    assert [answer.status_code for answer in (*answers, of_unknown)] == [404] * (len(names) + 1)
    assert await count(service, "tasks") == 0


async def test_a_request_for_a_rendition_waits_for_a_pending_image(idle_service: Service) -> None:
    sent = await send(idle_service, jpeg(seed=1))
    names = ["thumb.webp", "thumb.jpg"]
    requests = [asyncio.create_task(idle_service.owner.get(f"{sent['url']}/renditions/{name}")) for name in names]
    await idle_service.owner.get(sent["url"])
    waiting = [not task.done() for task in requests]

    idle_service.start_worker()
    answers = await asyncio.gather(*requests)

    assert waiting == [True, True]
    assert [format_and_size(answer) for answer in answers] == [("WEBP", (320, 240)), ("JPEG", (320, 240))]


async def test_a_rendition_of_a_rejected_image_is_409(service: Service) -> None:
    sent = await send(service, truncated_jpeg(seed=1))
    await service.image_of(sent)

    answers = [await service.owner.get(f"{sent['url']}/renditions/{name}") for name in ("thumb.webp", "thumb.jpg")]

    assert [(answer.status_code, answer.json()["type"]) for answer in answers] == [(409, "/problems/no-rendition")] * 2
    assert await count(service, "tasks") == 0
