"""Folding does not change the report, even when several workers fold while others write. Invariant 6."""

import asyncio

from sqlalchemy import text

from tests.support.images import gif, jpeg, png
from tests.support.service import Service


async def count_rows(service: Service, table: str) -> int:
    async with service.background.servers.database.engine.connect() as connection:
        return int((await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())


async def test_a_fold_empties_the_deltas_and_keeps_the_report(idle_service: Service) -> None:
    for seed, make in enumerate((jpeg, png, gif, jpeg)):
        await idle_service.owner.post("/v1/images", files=[("file", ("a", make(seed=seed, size=(32, 32))))])
    before = (await idle_service.owner.get("/v1/stats")).json()
    appended = await count_rows(idle_service, "stats_deltas")

    folded = await idle_service.background.stats.fold()

    assert folded == appended > 0
    assert await count_rows(idle_service, "stats_deltas") == 0
    assert (await idle_service.owner.get("/v1/stats")).json() == before


async def test_concurrent_folds_uploads_and_deletions_lose_no_count(idle_service: Service) -> None:
    service, folding = idle_service, True

    async def keep_folding() -> None:
        while folding:
            await service.background.stats.fold()

    async def upload_and_delete_every_third(worker: int) -> None:
        for n in range(9):
            data = jpeg(seed=worker * 100 + n, size=(24, 24))
            answer = await service.owner.post("/v1/images", files=[("file", ("a.jpg", data))])
            if n % 3 == 0:
                await service.owner.delete(f"/v1/images/{answer.json()['results'][0]['image_id']}")

    folds = [asyncio.create_task(keep_folding()) for _ in range(3)]
    await asyncio.gather(*(upload_and_delete_every_third(worker) for worker in range(4)))
    folding = False
    await asyncio.gather(*folds)

    report = (await service.owner.get("/v1/stats")).json()
    assert report["totals"]["images"] == report["totals"]["uploads"] == await count_rows(service, "images") == 24
    assert report["formats"] == [{"media_type": "image/jpeg", "count": 24}]
    assert report["totals"]["blobs"] == await count_rows(service, "blobs")


async def test_uploads_are_counted_by_the_days_of_the_requested_time_zone(idle_service: Service) -> None:
    await idle_service.owner.post("/v1/images", files=[("file", ("a.jpg", jpeg(seed=9)))])
    async with idle_service.background.servers.database.sessions.begin() as session:
        # 23:30 UTC yesterday is today in Kiritimati (UTC+14)
        await session.execute(
            text("""UPDATE stats_deltas SET name = left(stats_quarter(now() - interval '1 day'), 10) || 'T23:30Z'
                    WHERE kind = 'quarter'""")
        )

    utc = (await idle_service.owner.get("/v1/stats/uploads-per-day")).json()["uploads_per_day"]
    kiritimati = (await idle_service.owner.get("/v1/stats", params={"tz": "Pacific/Kiritimati"})).json()[
        "uploads_per_day"
    ]
    unknown = await idle_service.owner.get("/v1/stats", params={"tz": "Mars/Olympus"})

    assert [day["count"] for day in utc[-2:]] == [1, 0]
    assert len(kiritimati) == 30
    assert next(day["date"] for day in kiritimati if day["count"]) == utc[-1]["date"]
    assert unknown.status_code == 422


async def test_statistics_without_a_credential_are_401(idle_service: Service) -> None:
    assert (await idle_service.anyone.get("/v1/stats")).status_code == 401
