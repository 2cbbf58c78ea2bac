"""A capture time without an offset gets the offset of its store's time zone."""

import datetime as dt

import pytest

from imagesvc.images.store_time_zone import offset_minutes
from tests.stores.store_requests import put_store
from tests.support.images import exif_jpeg
from tests.support.service import Service

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
