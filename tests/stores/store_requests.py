"""Requests about stores, for tests."""

import httpx

from tests.support.service import Service

CSV = {"Content-Type": "text/csv"}


async def import_csv(service: Service, content: str | bytes) -> httpx.Response:
    return await service.owner.post("/v1/stores/import", content=content, headers=CSV)


async def put_store(service: Service, store_id: str, **members: str) -> httpx.Response:
    body = {"store_name": f"Store {store_id}", "area": "A1", **members}
    answer = await service.owner.put(f"/v1/stores/{store_id}", json=body)
    assert answer.status_code in (200, 201), answer.text
    return answer
