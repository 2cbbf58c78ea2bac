"""The report over HTTP: as a whole, in parts, of an empty service, and for invalid time zones."""

from tests.images.uploads import send
from tests.support.images import exif_jpeg, png
from tests.support.service import Service

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
        "totals": dict.fromkeys(("images", "blobs", "uploads", "bytes_received", "bytes_stored", "bytes_saved"), 0),
    }


async def test_the_partial_reports_together_equal_the_whole_report(service: Service) -> None:
    sent = [await send(service, exif_jpeg(seed=1)), await send(service, png(seed=2)), await send(service, png(seed=3))]
    states = [(await service.image_of(result))["state"] for result in sent]

    whole = (await service.owner.get("/v1/stats")).json()
    parts = [
        (await service.owner.get(f"/v1/stats/{name}")).json() for name in ("formats", "cameras", "uploads-per-day")
    ]

    assert states == ["ready"] * 3
    assert whole["most_popular_format"] == "image/png"
    assert [row["count"] for row in whole["formats"]] == [2, 1]
    assert parts[0] | parts[1] | parts[2] | {"totals": whole["totals"]} == whole


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
