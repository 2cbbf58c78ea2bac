"""The memory and the answer of a JSON batch are bounded, however many errors it has."""

import json

from tests.support.service import Service

JSON = {"Content-Type": "application/json"}


async def test_the_first_errors_of_an_item_are_reported(idle_service: Service) -> None:
    twice = ",".join(['"barcode": 1'] * 100)
    body = f'[{{{twice}}}, {{"file": "aaaa"}}]'

    answer = await idle_service.owner.post("/v1/batches", content=body, headers=JSON)

    first, second = answer.json()["results"]
    assert [error["pointer"] for error in first["problem"]["errors"]] == ["/0/barcode"] * 10
    assert second["problem"]["status"] == 415


async def test_some_of_many_unknown_members_are_named(idle_service: Service) -> None:
    items = [{f"member {item}.{number}": 0 for number in range(90)} for item in range(20)]

    answer = await idle_service.owner.post("/v1/batches", content=json.dumps(items), headers=JSON)

    warnings = answer.json()["warnings"]
    assert len(warnings) == 21
    assert warnings[-1] == "Many more unknown members were ignored."
