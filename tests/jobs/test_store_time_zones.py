"""The offset of a capture time by the time zone of its store, also if that is imported or changed later."""

import asyncio
import datetime as dt
from typing import Any

import pytest

from imagesvc.images.store_time_zone import offset_minutes
from imagesvc.images.time_zone_walk import MAX_IMAGES
from tests.stores.store_requests import import_csv, put_store
from tests.support.images import exif, exif_jpeg, jpeg
from tests.support.service import Service
from tests.support.sql import sql

SUMMER, WINTER = "2020-09-02T10:11", "2020-01-02T00:00"
TWICE, LONG_AGO = "2020-10-25T02:30", "1850-01-01T00:00"


@pytest.mark.parametrize(
    ("zone", "local", "minutes"),
    [
        ("Europe/Berlin", SUMMER, 120),
        ("Europe/Berlin", WINTER, 60),
        ("Europe/Berlin", TWICE, 120),
        ("America/St_Johns", WINTER, -210),
        ("Asia/Kolkata", LONG_AGO, None),  # local mean time: the offset has seconds
        ("Mars/Olympus", SUMMER, None),
    ],
)
def test_the_offset_is_the_one_of_the_zone_at_that_time(zone: str, local: str, minutes: int | None) -> None:
    assert offset_minutes(zone, dt.datetime.fromisoformat(local)) == minutes


async def test_the_store_gives_a_missing_offset_and_changes_no_known_one(service: Service) -> None:
    await put_store(service, "S1", time_zone="Asia/Kolkata")
    await put_store(service, "S2")
    size = (64, 48)
    files = [("file", (f"{n}.jpg", exif_jpeg(seed=n, size=size, offset=None))) for n in range(2)]
    files.append(("file", ("2.jpg", exif_jpeg(seed=2, size=size, offset="+02:00"))))

    stores = ["S1", "S2", "S1"]
    answers = [
        await service.owner.post("/v1/images", data={"store_id": store}, files=[file])
        for store, file in zip(stores, files, strict=True)
    ]
    captured = [(await service.image_of(answer.json()["results"][0]))["captured"] for answer in answers]

    assert [(shot["offset_source"], shot["offset_minutes"], shot["utc"]) for shot in captured] == [
        ("store", 330, "2020-09-02T04:41:12.000Z"),
        ("unknown", None, None),
        ("exif", 120, "2020-09-02T08:11:12.000Z"),
    ]


def gps_jpeg(seed: int) -> bytes:
    """A picture without a written offset, whose GPS clock says UTC+2 (10:11:12 by the camera)."""
    block = exif(offset=None, latitude=48.8, longitude=2.3)
    block.get_ifd(0x8825).update({7: (8.0, 11.0, 12.0), 29: "2020:09:02"})
    return jpeg(seed=seed, size=(64, 48), exif=block)


async def upload(service: Service, data: bytes, store_id: str) -> dict[str, Any]:
    answer = await service.owner.post("/v1/images", data={"store_id": store_id}, files=[("file", ("a.jpg", data))])
    result: dict[str, Any] = answer.json()["results"][0]
    return result


async def captured(service: Service, result: dict[str, Any]) -> tuple[str, int | None, str | None]:
    shot = (await service.image_of(result))["captured"]
    return shot["offset_source"], shot["offset_minutes"], shot["utc"]


def offset_of(source: str, minutes: int | None, utc: str | None) -> tuple[str, int | None, str | None]:
    return source, minutes, None if utc is None else f"2020-09-02T{utc}:12.000Z"


async def test_the_time_zone_of_the_store_takes_precedence_over_the_gps_clock(service: Service) -> None:
    await put_store(service, "S1", time_zone="Europe/London")

    assert await captured(service, await upload(service, gps_jpeg(1), "S1")) == offset_of("store", 60, "09:11")
    assert await captured(service, await upload(service, gps_jpeg(2), "S2")) == offset_of("gps", 120, "08:11")


async def test_a_time_zone_that_is_imported_later_reaches_existing_images(service: Service) -> None:
    unknown = await upload(service, exif_jpeg(seed=1, size=(64, 48), offset=None), "S1")
    by_gps = await upload(service, gps_jpeg(2), "S1")
    known = await upload(service, exif_jpeg(seed=3, size=(64, 48), offset="+05:00"), "S1")
    elsewhere = await upload(service, exif_jpeg(seed=4, size=(64, 48), offset=None), "S2")
    before = [await captured(service, result) for result in (unknown, by_gps, known, elsewhere)]

    await import_csv(service, "AreaCode,StoreName,StoreID,TimeZone\n1,a,S1,Asia/Kolkata\n1,b,S3,Asia/Tokyo\n")
    await until_walked(service)
    after = [await captured(service, result) for result in (unknown, by_gps, known, elsewhere)]
    await put_store(service, "S1", time_zone="Asia/Tokyo")
    await until_walked(service)
    changed = [await captured(service, result) for result in (unknown, by_gps)]
    await put_store(service, "S1")
    await until_walked(service)
    removed = [await captured(service, result) for result in (unknown, by_gps)]

    not_known, exif_offset = offset_of("unknown", None, None), offset_of("exif", 300, "05:11")
    assert before == [not_known, offset_of("gps", 120, "08:11"), exif_offset, not_known]
    assert after == [offset_of("store", 330, "04:41"), offset_of("store", 330, "04:41"), exif_offset, not_known]
    assert changed == [offset_of("store", 540, "01:11")] * 2
    assert removed == [not_known, offset_of("gps", 120, "08:11")]


async def until_walked(service: Service) -> None:
    async with asyncio.timeout(30):
        while await sql(service, "SELECT store_id FROM time_zone_walks"):
            await asyncio.sleep(0.05)


async def test_a_walk_of_many_images_is_done_in_bounded_steps(idle_service: Service) -> None:
    """The images exist only in the database, because decoding that many would take minutes."""
    service, count = idle_service, 450
    await sql(
        service,
        """
        WITH owner AS (SELECT id FROM users LIMIT 1), numbers AS (SELECT n FROM generate_series(1, :count) n),
        blob AS (
            INSERT INTO blobs (id, sha256, scope, bytes, media_type, key, state, captured_local)
            SELECT gen_random_uuid(), sha256(n::text::bytea), '00000000-0000-0000-0000-000000000000', 1, 'image/jpeg',
                   'k' || n, 'ready', '2020-09-02 10:11:12'
            FROM numbers RETURNING id),
        image AS (
            INSERT INTO images (id, owner_id, blob_id, state, title, media_type, captured_local, captured_offset_source)
            SELECT gen_random_uuid(), owner.id, blob.id, 'ready', '', 'image/jpeg', '2020-09-02 10:11:12', 'unknown'
            FROM blob, owner RETURNING id, owner_id)
        INSERT INTO uploads (id, owner_id, image_id, way, filename, bytes, duplicate, settled, store_id)
        SELECT gen_random_uuid(), owner_id, id, 'user', '', 1, false, true, 'S1' FROM image
        """,
        count=count,
    )
    await put_store(service, "S1", time_zone="Asia/Tokyo")
    walks = service.background.time_zone_walks

    steps = [await walks.advance() for _ in range(4)]

    assert steps == [MAX_IMAGES, MAX_IMAGES, count - 2 * MAX_IMAGES, 0]
    rows = await sql(service, "SELECT DISTINCT captured_offset_minutes AS offset, captured_utc AS utc FROM images")
    assert [(row["offset"], row["utc"].isoformat()) for row in rows] == [(540, "2020-09-02T01:11:12+00:00")]
