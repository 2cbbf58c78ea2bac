"""The report over HTTP: as a whole, in parts, of an empty service, and for invalid time zones."""

from collections import Counter

from tests.images.uploads import send
from tests.support.exif_blocks import block, jpeg_with, text
from tests.support.images import exif_jpeg, jpeg, png
from tests.support.service import Service
from tests.support.sql import sql

INVALID_TIME_ZONES = [
    "",
    "Mars/Olympus",
    "../../etc/passwd",
    "a\x00b",
    "UTC+3",
    "Europe",
    "x" * 65,
    "ü",
]


async def test_an_empty_service_reports_thirty_days_of_zero(idle_service: Service) -> None:
    report = (await idle_service.owner.get("/v1/stats")).json()

    days = report.pop("uploads_per_day")
    assert len(days) == 30
    assert {day["count"] for day in days} == {0}
    assert report == {
        "formats": [],
        "most_popular_format": None,
        "cameras": [],
        "cameras_unknown": 0,
        "scores": [{"min_score": tenth, "count": 0} for tenth in range(0, 100, 10)],
        "totals": dict.fromkeys(("images", "blobs", "uploads", "bytes_received", "bytes_stored", "bytes_saved"), 0),
    }


async def test_the_partial_reports_together_equal_the_whole_report(service: Service) -> None:
    sent = [await send(service, exif_jpeg(seed=1)), await send(service, png(seed=2)), await send(service, png(seed=3))]
    states = [(await service.image_of(result))["state"] for result in sent]

    whole = (await service.owner.get("/v1/stats")).json()
    parts = [
        (await service.owner.get(f"/v1/stats/{name}")).json()
        for name in ("formats", "cameras", "scores", "uploads-per-day")
    ]

    assert states == ["ready"] * 3
    assert whole["most_popular_format"] == "image/png"
    assert [row["count"] for row in whole["formats"]] == [2, 1]
    assert parts[0] | parts[1] | parts[2] | parts[3] | {"totals": whole["totals"]} == whole


async def test_scores_are_counted_by_tenths_and_follow_deletions(service: Service) -> None:
    images = [await service.image_of(await send(service, exif_jpeg(seed=seed))) for seed in range(3)]
    tenths = Counter(min(image["score"]["value"] // 10 * 10, 90) for image in images)

    counted = (await service.owner.get("/v1/stats/scores")).json()["scores"]
    for image in images:
        await service.owner.delete(f"/v1/images/{image['id']}")
    left = (await service.owner.get("/v1/stats/scores")).json()["scores"]

    assert {row["min_score"]: row["count"] for row in counted if row["count"]} == tenths
    assert [row["count"] for row in left] == [0] * 10


async def test_an_invalid_time_zone_is_422(idle_service: Service) -> None:
    answers = [await idle_service.owner.get("/v1/stats", params={"tz": zone}) for zone in INVALID_TIME_ZONES]

    assert [(answer.status_code, answer.json()["errors"][0]["pointer"]) for answer in answers] == [
        (422, "/query/tz")
    ] * len(INVALID_TIME_ZONES)


async def test_a_time_zone_unknown_to_postgresql_is_not_a_server_error(idle_service: Service) -> None:
    names = ["localtime", "posixrules", "posix/UTC", "right/UTC", "Factory"]

    answers = [await idle_service.owner.get("/v1/stats", params={"tz": name}) for name in names]

    assert {answer.status_code for answer in answers} <= {200, 422}


async def test_every_statistics_route_without_a_credential_is_401(idle_service: Service) -> None:
    paths = ["/v1/stats", "/v1/stats/formats", "/v1/stats/cameras", "/v1/stats/uploads-per-day"]

    answers = [await idle_service.anyone.get(path) for path in paths]

    assert [answer.status_code for answer in answers] == [401] * 4


async def test_spellings_of_a_camera_are_counted_and_found_together(service: Service) -> None:
    full_width = "\uff32\uff45\uff44\uff4d\uff49 Note 8"
    for seed, model in enumerate(("Redmi Note 8", "REDMI NOTE 8", "Redmi Note 8", full_width, "Other 1")):
        data = jpeg_with(jpeg(seed=seed, size=(64, 48)), exif=block(text(0x110, model)))
        await service.image_of(await send(service, data))

    report = (await service.owner.get("/v1/stats/cameras")).json()
    found = (await service.owner.get("/v1/images", params={"camera_model": "redmi NOTE 8"})).json()
    view = await sql(service, "SELECT model, count FROM stats_cameras ORDER BY count DESC")

    assert report["cameras"] == [{"model": "Redmi Note 8", "count": 4}, {"model": "Other 1", "count": 1}]
    assert len(found["items"]) == 4
    assert [(row["model"], row["count"]) for row in view] == [("Redmi Note 8", 4), ("Other 1", 1)]
