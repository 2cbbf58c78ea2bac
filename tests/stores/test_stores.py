"""The store master over HTTP: single stores, pages, and CSV files with invalid rows."""

from collections.abc import AsyncIterator, Callable

import pytest

from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from tests.stores.store_requests import CSV, import_csv, put_store
from tests.support.people import People
from tests.support.service import Service, running_service
from tests.support.sql import sql
from tests.uploads.ways_in import verdict

HEADER = "AreaCode,StoreName,StoreID\n"


async def test_a_store_is_put_changed_and_read(idle_service: Service) -> None:
    body = {"store_name": " B P STORE ", "area": "710006", "time_zone": "Asia/Kolkata"}

    made = await idle_service.owner.put("/v1/stores/S1", json=body)
    changed = await put_store(idle_service, "S1", store_name="MONAJ STORE")
    read = await idle_service.owner.get("/v1/stores/S1")

    assert (made.status_code, changed.status_code) == (201, 200)
    assert made.json() | {"updated_at": None} == {
        "store_id": "S1",
        "store_name": "B P STORE",
        "area": "710006",
        "time_zone": "Asia/Kolkata",
        "updated_at": None,
    }
    assert (read.json()["store_name"], read.json()["area"], read.json()["time_zone"]) == ("MONAJ STORE", "A1", None)
    assert verdict(await idle_service.owner.get("/v1/stores/S2")) == (404, "store-not-found")


WRONG = [
    ({"store_name": "x"}, "/area"),
    ({"store_name": "", "area": "a"}, "/store_name"),
    ({"store_name": "x" * 201, "area": "a"}, "/store_name"),
    ({"store_name": "a\x00b", "area": "a"}, "/store_name"),
    ({"store_name": "x", "area": "a", "time_zone": "Mars/Olympus"}, "/time_zone"),
    ({"store_name": "x", "area": "a", "time_zone": "../../etc/passwd"}, "/time_zone"),
    ({"store_name": "x", "area": "a", "colour": "red"}, "/colour"),
]


async def test_an_invalid_store_is_422_with_a_pointer(idle_service: Service) -> None:
    answers = [await idle_service.owner.put("/v1/stores/S1", json=body) for body, _ in WRONG]

    assert [answer.status_code for answer in answers] == [422] * len(WRONG)
    assert [answer.json()["errors"][0]["pointer"] for answer in answers] == [pointer for _, pointer in WRONG]
    assert (await idle_service.owner.get("/v1/stores/%00")).status_code == 404
    assert (await idle_service.owner.get("/v1/stores", params={"area": "\x00"})).status_code == 422


async def test_only_admins_change_stores_and_users_read_them(idle_service: Service) -> None:
    await put_store(idle_service, "S1")
    body = {"store_name": "x", "area": "a"}
    async with People(idle_service) as people:
        ann = (await people.new("ann")).client

        answers = [
            await ann.put("/v1/stores/S2", json=body),
            await ann.post("/v1/stores/import", content=HEADER, headers=CSV),
            await ann.get("/v1/stores/S1"),
            await ann.get("/v1/stores"),
            await idle_service.anyone.get("/v1/stores"),
            await idle_service.anyone.put("/v1/stores/S2", json=body),
        ]

    assert [answer.status_code for answer in answers] == [403, 403, 200, 200, 401, 401]


async def test_stores_are_paged_by_id_and_filtered_by_area(idle_service: Service) -> None:
    await import_csv(idle_service, HEADER + "".join(f"{n % 2},name,S{n}\n" for n in range(5)))
    owner = idle_service.owner

    first = await owner.get("/v1/stores", params={"limit": 3})
    second = await owner.get(first.links["next"]["url"])
    area = await owner.get("/v1/stores", params={"area": "1", "limit": 1})
    rest = await owner.get("/v1/stores", params={"area": "1", "cursor": area.json()["next_cursor"]})
    elsewhere = await owner.get("/v1/stores", params={"area": "0", "cursor": area.json()["next_cursor"]})

    pages = [[store["store_id"] for store in page.json()["items"]] for page in (first, second, area, rest)]
    assert pages == [["S0", "S1", "S2"], ["S3", "S4"], ["S1"], ["S3"]]
    assert [page.json()["next_cursor"] for page in (second, rest)] == [None, None]
    assert elsewhere.status_code == 400


MIXED = (
    "\ufeffStoreID,AreaCode,StoreName,TimeZone\r\n"  # columns in another order, and a byte order mark
    'S1,710006,"B P STORE, ""new""",Asia/Kolkata\r\n'
    "broken line\n"
    "\n"
    'S2,710006,"over\ntwo lines",\n'
    "S3,,NO AREA,\n"
    "S4,1,x,Mars/Olympus\n"
    'S5,1,"never closed,\n'
    "S6,2,still parsed,\n"
    'S7,2,"a"b,\n'
    "S8,2,née,Europe/Berlin\n"
    "S1,710007,listed twice,\n"
    f"S9,2,{'x' * 201},"
)


async def test_invalid_rows_are_reported_by_line_and_the_others_are_saved(idle_service: Service) -> None:
    latin = "S10,2,né,\nS11,2,last,".encode("latin-1")

    report = (await import_csv(idle_service, MIXED.encode() + b"\n" + latin)).json()

    stores = await sql(idle_service, "SELECT id, area, name, time_zone FROM stores ORDER BY id")
    assert [tuple(store.values()) for store in stores] == [
        ("S1", "710007", "listed twice", None),
        ("S11", "2", "last", None),
        ("S2", "710006", "over\ntwo lines", None),
        ("S6", "2", "still parsed", None),
        ("S8", "2", "née", "Europe/Berlin"),
    ]
    assert report["errors"] == [
        {"line": 3, "detail": "The row must have 4 columns, but has 1."},
        {"line": 7, "detail": "AreaCode is empty."},
        {"line": 8, "detail": "TimeZone: Must be an IANA time zone such as `Europe/Berlin`."},
        {"line": 9, "detail": "The line is not valid CSV."},
        {"line": 11, "detail": "The line is not valid CSV."},
        {"line": 14, "detail": "StoreName has more than 200 characters."},
        {"line": 15, "detail": "StoreName is not UTF-8 text."},
    ]
    assert (report["rows"], report["created"], report["rejected"]) == (13, 5, 7)


async def test_a_repeated_import_changes_only_rows_that_differ(idle_service: Service) -> None:
    await import_csv(idle_service, "AreaCode,StoreName,StoreID,TimeZone\n1,a,S1,Asia/Tokyo\n1,b,S2,\n")

    report = (await import_csv(idle_service, "areacode,storename,storeid\n1,a,S1\n2,b,S2\n1,c,S3\n")).json()

    assert report == {"rows": 3, "created": 1, "updated": 1, "unchanged": 1, "rejected": 0, "errors": []}
    zone = (await idle_service.owner.get("/v1/stores/S1")).json()["time_zone"]
    assert zone == "Asia/Tokyo"  # a file without the column does not change time zones


async def test_a_file_without_the_columns_of_stores_is_refused(idle_service: Service) -> None:
    bodies = [
        "",
        "\n\n",
        "AreaCode,StoreName\n1,a\n",
        HEADER.strip() + ",Colour\n",
        "AreaCode,StoreName,StoreID,StoreID\n",
    ]
    refused = [verdict(await import_csv(idle_service, body)) for body in bodies]
    form = await idle_service.owner.post("/v1/stores/import", data={"a": "b"})

    assert refused == [(422, "not-a-store-file")] * len(bodies)
    assert verdict(form) == (415, "not-csv")


@pytest.fixture
async def limited(settings_with: Callable[..., Settings], sandbox: Sandbox) -> AsyncIterator[Service]:
    async with running_service(settings_with(max_import_bytes=1000), sandbox, with_worker=False) as running:
        yield running


async def test_a_file_of_exactly_the_maximum_size_is_accepted_and_a_larger_one_refused(limited: Service) -> None:
    rows = HEADER + "1,a,S1\n"

    accepted = await import_csv(limited, rows.ljust(1000, "\n"))
    refused = await import_csv(limited, rows.ljust(1001, "\n"))

    assert (accepted.status_code, accepted.json()["created"]) == (200, 1)
    assert verdict(refused) == (413, "store-file-too-large")


async def test_a_hundred_thousand_rows_are_imported(idle_service: Service) -> None:
    rows = HEADER + "".join(f"{n % 100},STORE {n},S{n:08}\n" for n in range(100_000))

    report = (await import_csv(idle_service, rows)).json()

    assert (report["rows"], report["created"], report["errors"]) == (100_000, 100_000, [])
    assert (await sql(idle_service, "SELECT count(*) FROM stores"))[0]["count"] == 100_000
