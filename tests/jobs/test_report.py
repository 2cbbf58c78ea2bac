"""The report of visits over HTTP: sums by store and day, access, and invalid filters."""

from typing import Any

import httpx

from tests.stores.store_requests import put_store
from tests.support.people import People
from tests.support.service import Service
from tests.support.sql import sql
from tests.uploads.ways_in import verdict

SEEDED = """
    WITH job AS (INSERT INTO jobs (id, owner_id, total) SELECT gen_random_uuid(), id, 9 FROM users WHERE account = :who
                 RETURNING id, owner_id),
         visit AS (INSERT INTO visits (id, job_id, position, store_id, visit_time)
                   SELECT gen_random_uuid(), id, 0, :store, CAST(:time AS timestamptz) FROM job
                   RETURNING id, store_id, visit_time)
    INSERT INTO visit_images (id, visit_id, owner_id, store_id, visit_time, position, url, fetch_id, state,
                              reason, perimeter, seconds, score)
    SELECT gen_random_uuid(), visit.id, job.owner_id, visit.store_id, visit.visit_time, 0,
           'http://a/', gen_random_uuid(),
           CASE WHEN CAST(:perimeter AS bigint) IS NULL THEN 'failed' ELSE 'done' END,
           CASE WHEN CAST(:perimeter AS bigint) IS NULL THEN 'timed-out' END,
           CAST(:perimeter AS bigint), CAST(:seconds AS float8), CAST(:score AS bigint)
    FROM job, visit
"""


async def seed(
    service: Service,
    store: str,
    time: str,
    *,
    who: str = "admin",
    perimeter: int | None = 100,
    seconds: float = 1.0,
    score: int = 50,
) -> None:
    """Insert a visit with one image, which has failed unless it has a perimeter."""
    values = {"who": who, "store": store, "perimeter": perimeter, "seconds": seconds, "score": score}
    await sql(service, SEEDED.replace(":time", f"'{time}'"), **values)


async def visits(client: httpx.AsyncClient, **params: Any) -> dict[str, list[tuple[Any, ...]]]:
    answer = await client.get("/v1/visits", params=params)
    assert answer.status_code == 200, answer.text
    return {store["store_id"]: [tuple(day.values()) for day in store["data"]] for store in answer.json()["results"]}


async def test_images_are_summed_by_store_and_by_day_in_its_time_zone(idle_service: Service) -> None:
    service = idle_service
    await put_store(service, "S1", store_name="B P STORE", area="7100015", time_zone="Asia/Kolkata")
    await put_store(service, "S2", area="7100015")
    await put_store(service, "S3", area="other")
    await seed(service, "S1", "2026-11-19T18:29:59Z", perimeter=10, seconds=1.0, score=40)
    await seed(service, "S1", "2026-11-19T18:30:00Z", perimeter=20, seconds=2.0, score=50)
    await seed(service, "S1", "2026-11-20T18:29:59Z", perimeter=30, seconds=3.5, score=61)
    await seed(service, "S1", "2026-11-20T12:00:00Z", perimeter=None)
    await seed(service, "S2", "2026-11-20T00:00:00Z", perimeter=40)
    await seed(service, "S3", "2026-11-20T00:00:00Z", perimeter=50)

    everything = await service.owner.get("/v1/visits")
    first, *_ = everything.json()["results"]
    owner = service.owner

    assert first == {
        "store_id": "S1",
        "area": "7100015",
        "store_name": "B P STORE",
        "data": [
            {"date": "2026-11-19", "images": 1, "perimeter": 10, "average_seconds": 1.0, "average_score": 40.0},
            {"date": "2026-11-20", "images": 2, "perimeter": 50, "average_seconds": 2.75, "average_score": 55.5},
        ],
    }
    one_day = {"start_date": "2026-11-20", "end_date": "2026-11-20"}
    assert list(await visits(owner)) == ["S1", "S2", "S3"]
    assert list(await visits(owner, area="7100015")) == ["S1", "S2"]
    assert [day[:3] for day in (await visits(owner, store_id="S1", **one_day))["S1"]] == [("2026-11-20", 2, 50)]
    assert await visits(owner, start_date="2026-11-21") == {}
    assert list(await visits(owner, end_date="2026-11-19")) == ["S1"]
    assert await visits(owner, area="nowhere") == {}
    assert await visits(owner, area="other", store_id="S1") == {}


async def test_unknown_stores_are_404_and_invalid_days_are_422(idle_service: Service) -> None:
    await put_store(idle_service, "S1")
    get = idle_service.owner.get

    assert verdict(await get("/v1/visits", params={"store_id": "NOPE"})) == (404, "store-not-found")
    assert (await get("/v1/visits", params={"store_id": "S1"})).json() == {"results": [], "next_cursor": None}
    wrong = ["yesterday", "2026-02-30", "20261120", "1795000000", "2026-11-20T00:00:00", "", "2026-1-2", "\x00"]
    answers = [await get("/v1/visits", params={name: day}) for day in wrong for name in ("start_date", "end_date")]
    assert [answer.status_code for answer in answers] == [422] * len(answers)
    assert answers[0].json()["errors"][0]["pointer"] == "/query/start_date"
    reversed_days = await get("/v1/visits", params={"start_date": "2026-11-21", "end_date": "2026-11-20"})
    assert (reversed_days.status_code, reversed_days.json()["errors"][0]["pointer"]) == (422, "/query/end_date")
    ends = {"start_date": "0001-01-01", "end_date": "9999-12-31"}
    assert (await get("/v1/visits", params=ends)).status_code == 200


async def test_users_see_the_visits_of_their_own_jobs_and_admins_see_all(idle_service: Service) -> None:
    await put_store(idle_service, "S1")
    await put_store(idle_service, "S2")
    async with People(idle_service) as people:
        ann, bob = await people.new("ann"), await people.new("bob")
        await seed(idle_service, "S1", "2026-11-20T10:00:00Z", who="ann")
        await seed(idle_service, "S1", "2026-11-20T10:00:00Z", who="bob")
        await seed(idle_service, "S2", "2026-11-20T10:00:00Z", who="bob")

        seen = [await visits(client) for client in (ann.client, bob.client, idle_service.owner)]

    assert [{store: days[0][1] for store, days in stores.items()} for stores in seen] == [
        {"S1": 1},
        {"S1": 1, "S2": 1},
        {"S1": 2, "S2": 1},
    ]
    assert (await idle_service.anyone.get("/v1/visits")).status_code == 401


async def test_the_report_is_paged_by_store(idle_service: Service) -> None:
    for store in ("S1", "S2", "S3", "S4"):
        await put_store(idle_service, store)
    for store in ("S1", "S2", "S4"):
        await seed(idle_service, store, "2026-11-20T10:00:00Z")

    first = await idle_service.owner.get("/v1/visits", params={"limit": 2})
    second = await idle_service.owner.get(first.links["next"]["url"])

    pages = [[store["store_id"] for store in page.json()["results"]] for page in (first, second)]
    assert pages == [["S1", "S2"], ["S4"]]
    assert second.json()["next_cursor"] is None
