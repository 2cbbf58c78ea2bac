"""Requests for a new link: values on both sides of each limit, and the member that each error names."""

import datetime as dt
from typing import Any

from tests.links.links import moment, wrong_members
from tests.support.service import Service

MAX_SECONDS = 90 * 86_400
MAX_COUNT = 2**40
ALLOWED: list[dict[str, Any]] = [
    {"expires_in": 1},
    {"expires_in": MAX_SECONDS},
    {"expires_at": moment(minutes=10)},
    {"expires_at": moment(days=89)},
    {"expires_at": moment(minutes=10).replace("+00:00", "Z")},
    {"expires_in": 60, "label": "x" * 200},
    {"expires_in": 60, "label": None, "max_files": None},
    {"expires_in": 60, "max_files": 1, "max_bytes": 1, "max_file_bytes": 1},
    {"expires_in": 60, "max_files": MAX_COUNT, "max_bytes": MAX_COUNT, "max_file_bytes": MAX_COUNT},
    {"expires_in": 60, "visibility": "public", "store_id": "s" * 200, "camera_id": "ü"},
]
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "/expires_in"),
    ({"expires_in": None, "expires_at": None}, "/expires_in"),
    ({"expires_in": 60, "expires_at": moment(minutes=1)}, "/expires_in"),
    ({"expires_in": 0}, "/expires_in"),
    ({"expires_in": -5}, "/expires_in"),
    ({"expires_in": MAX_SECONDS + 1}, "/expires_in"),
    ({"expires_in": 10**400}, "/expires_in"),
    ({"expires_in": "3600"}, "/expires_in"),
    ({"expires_in": "soon"}, "/expires_in"),
    ({"expires_in": 1.5}, "/expires_in"),
    ({"expires_in": True}, "/expires_in"),
    ({"expires_at": moment(seconds=-1)}, "/expires_at"),
    ({"expires_at": "2001-01-01T00:00:00Z"}, "/expires_at"),
    ({"expires_at": moment(days=91)}, "/expires_at"),
    ({"expires_at": "2999-01-01T00:00:00"}, "/expires_at"),
    ({"expires_at": "tomorrow"}, "/expires_at"),
    ({"expires_at": 1_900_000_000}, "/expires_at"),
    ({"expires_at": "9999-12-31T23:59:59-12:00"}, "/expires_at"),
    ({"expires_at": "0001-01-01T00:00:00+12:00"}, "/expires_at"),
    ({"expires_in": 60, "label": ""}, "/label"),
    ({"expires_in": 60, "label": "   "}, "/label"),
    ({"expires_in": 60, "label": "x" * 201}, "/label"),
    ({"expires_in": 60, "label": "a\x00b"}, "/label"),
    ({"expires_in": 60, "label": 7}, "/label"),
    ({"expires_in": 60, "max_files": 0}, "/max_files"),
    ({"expires_in": 60, "max_files": -1}, "/max_files"),
    ({"expires_in": 60, "max_files": MAX_COUNT + 1}, "/max_files"),
    ({"expires_in": 60, "max_files": "5"}, "/max_files"),
    ({"expires_in": 60, "max_files": True}, "/max_files"),
    ({"expires_in": 60, "max_bytes": 0}, "/max_bytes"),
    ({"expires_in": 60, "max_bytes": 10**30}, "/max_bytes"),
    ({"expires_in": 60, "max_file_bytes": 0}, "/max_file_bytes"),
    ({"expires_in": 60, "max_file_bytes": 0.5}, "/max_file_bytes"),
    ({"expires_in": 60, "visibility": "secret"}, "/visibility"),
    ({"expires_in": 60, "store_id": "s" * 201}, "/store_id"),
    ({"expires_in": 60, "camera_id": "\x00"}, "/camera_id"),
    ({"expires_in": 60, "colour": "red"}, "/colour"),
]
BODIES = {
    b"": 422,
    b"{": 400,
    b"[]": 422,
    b"null": 422,
    b'"text"': 422,
    b'{"expires_in": 60, "label": "\\ud800"}': 422,
    b'{"expires_in": 60, "label": "\xff"}': 400,
    b'{"expires_in": NaN}': 422,
    b'{"expires_in": 1e400}': 422,
    b'{"expires_in": ' + b"9" * 5000 + b"}": 400,
    b"[" * 100_000: 400,
}


async def test_every_allowed_request_creates_a_link(idle_service: Service) -> None:
    answers = [await idle_service.owner.post("/v1/links", json=body) for body in ALLOWED]

    assert [answer.status_code for answer in answers] == [201] * len(ALLOWED)


async def test_every_invalid_request_is_422_and_names_the_member(idle_service: Service) -> None:
    answers = [(body, await idle_service.owner.post("/v1/links", json=body)) for body, _ in REFUSED]

    assert [(body, wrong_members(answer)) for body, answer in answers] == [
        (body, (422, [pointer])) for body, pointer in REFUSED
    ]
    assert (await idle_service.owner.get("/v1/links")).json()["items"] == []


async def test_a_body_that_is_not_a_json_object_is_refused(idle_service: Service) -> None:
    headers = {"Content-Type": "application/json"}

    answers = {body: await idle_service.owner.post("/v1/links", content=body, headers=headers) for body in BODIES}

    assert {body[:40]: answer.status_code for body, answer in answers.items()} == {
        body[:40]: status for body, status in BODIES.items()
    }


async def test_a_new_link_shows_the_requested_values_and_its_url(idle_service: Service) -> None:
    wanted = {
        "expires_at": moment(minutes=30),
        "label": " Stocktaking ",
        "max_files": 5,
        "max_bytes": 10**6,
        "max_file_bytes": 10**5,
        "visibility": "public",
        "store_id": "S1",
        "camera_id": "c1",
    }

    made = (await idle_service.owner.post("/v1/links", json=wanted)).json()
    read = (await idle_service.owner.get(f"/v1/links/{made['id']}")).json()

    assert made == read
    assert made["url"] == f"{idle_service.settings.base_url}/u/{made['token']}"
    assert dt.datetime.fromisoformat(made["expires_at"]) == dt.datetime.fromisoformat(str(wanted["expires_at"]))
    assert (made["label"], made["state"], made["used_files"], made["revoked_at"]) == ("Stocktaking", "open", 0, None)
    assert {name: made[name] for name in list(wanted)[2:]} == {name: wanted[name] for name in list(wanted)[2:]}
