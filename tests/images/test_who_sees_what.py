"""Who may do what with another's image: every route that takes an id of something of an image, every kind of caller.

A route that is added later has to be put into this matrix, or among those that have nothing to do with images.
"""

from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.images.uploads import PUBLIC_VIEW
from tests.support.contract import openapi_document
from tests.support.images import exif_jpeg
from tests.support.people import People, Person
from tests.support.service import Service
from tests.support.wire import MULTIPART, field_part, file_part, form

CALLERS = ("anyone", "another", "link", "owner", "admin")
"""Of these, ``link`` has the token of a link of the owner, through which the image came."""
HIDDEN = (401, 404, 401, 200, 200)
SEEN = (200, 200, 401, 200, 200)
OWN = (404, 404, 401, 200, 200)

READS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    # what is answered to whom: of a private image, of a public one
    "GET /v1/images/{image_id}": (OWN, SEEN),
    "GET /v1/images/{image_id}/similar": (OWN, SEEN),
    "GET /v1/images/{image_id}/renditions/{preset}.{form}": (OWN, SEEN),
    "GET /v1/images/{image_id}/original": (HIDDEN, HIDDEN),
    "GET /v1/images/{image_id}/shares": (HIDDEN, HIDDEN),
    "GET /v1/uploads/{upload_id}": (HIDDEN, HIDDEN),
    "GET /v1/batches/{batch_id}": (HIDDEN, HIDDEN),
    "GET /v1/resizes/{token}": ((401, 404, 401, 200, 404), (401, 404, 401, 200, 404)),
    "GET /v1/resizes/{token}/result": ((401, 404, 401, 200, 404), (401, 404, 401, 200, 404)),
    "GET /u/{token}/uploads/{upload_id}": ((401, 401, 200, 401, 401), (401, 401, 200, 401, 401)),
    "GET /u/{token}/uploads/{upload_id}/thumb.webp": ((401, 401, 200, 401, 401), (401, 401, 200, 401, 401)),
    "GET /s/{token}": ((200,) * 5, (200,) * 5),
}
CHANGES: dict[str, tuple[int, ...]] = {
    # the same of a private image and of a public one; the last two one after the other
    "PATCH /v1/images/{image_id}": HIDDEN,
    "POST /v1/images/{image_id}/shares": (401, 404, 401, 201, 201),
    "DELETE /v1/images/{image_id}/shares/{share_id}": (401, 404, 401, 204, 404),
    "DELETE /v1/images/{image_id}": (401, 404, 401, 204, 404),
}
ELSEWHERE = (
    # nothing of an image is behind these ids; each has tests of its own
    *("/v1/users/", "/v1/api-keys/", "/v1/links/", "/v1/stores/", "/v1/webhooks/", "/v1/ops/", "/problems/"),
    # an upload that is not complete is no image; jobs are their owner's
    *("/v1/tus/", "/u/{token}/tus", "/v1/jobs/"),
    # ways in
    *("/u/{token}/check", "/u/{token}/{filename}"),
)


def test_every_route_with_an_id_is_in_the_matrix() -> None:
    with_id = {
        f"{method.upper()} {path}"
        for path, methods in openapi_document()["paths"].items()
        for method in methods
        if "{" in path and path != "/u/{token}" and not path.startswith(ELSEWHERE)
    }

    assert with_id == READS.keys() | CHANGES.keys()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """An image with all that hangs on it. ``clients`` are in the order of ``CALLERS``."""

    clients: list[httpx.AsyncClient]
    ids: dict[str, str]

    def path(self, template: str) -> str:
        return template.replace("{preset}.{form}", "thumb.webp").format(**self.ids)

    async def ask(self, route: str, **body: Any) -> list[int]:
        method, template = route.split()
        if template.startswith("/u/{token}"):
            # in the header, so that each sends what it has
            template = template.replace("{token}", "-")
        if template.startswith("/s/{token}"):
            template = template.replace("{token}", self.ids["share_token"])
        return [(await client.request(method, self.path(template), **body)).status_code for client in self.clients]


async def staged(
    service: Service, people: People, owner: Person, another: Person, *, seed: int, visibility: str
) -> Stage:
    link = (await owner.client.post("/v1/links", json={"expires_in": 600, "visibility": visibility})).json()
    picture = exif_jpeg(seed=seed, size=(96, 72), latitude=48.85837, longitude=2.29448)
    body = form(field_part("store_id", b"S1"), file_part(picture))
    sent = (await service.anyone.post(f"/u/{link['token']}", content=body, headers=MULTIPART)).json()
    upload_id = sent["results"][0]["upload_id"]
    upload = (await owner.client.get(f"/v1/uploads/{upload_id}", params={"wait": 30})).json()
    image_id = upload["image"]["id"]
    share = (await owner.client.post(f"/v1/images/{image_id}/shares", json={"expires_in": 600})).json()
    asked = await owner.client.post("/v1/resizes", json={"image_id": image_id, "width": 32})
    token = asked.raise_for_status().json()["token"]
    status = ""
    while status not in ("SUCCESS", "FAILURE"):
        status = (await owner.client.get(f"/v1/resizes/{token}")).raise_for_status().json()["status"]
    return Stage(
        clients=[
            service.anyone,
            another.client,
            await people.holding(link["token"]),
            owner.client,
            service.owner,
        ],
        ids={
            "image_id": image_id,
            "upload_id": upload_id,
            "batch_id": sent["batch_id"],
            "share_id": share["id"],
            "share_token": share["url"].removeprefix("/s/"),
            "token": token,
        },
    )


@pytest.mark.parametrize(("visibility", "at"), [("private", 0), ("public", 1)])
async def test_the_matrix(service: Service, visibility: str, at: int) -> None:
    async with People(service) as people:
        owner, another = await people.new("ann"), await people.new("bob")
        stage = await staged(service, people, owner, another, seed=at, visibility=visibility)

        reads = {route: tuple(await stage.ask(route)) for route in READS}
        heads = {
            route: tuple(await stage.ask(route.replace("GET", "HEAD")))
            for route in READS
            if route.endswith(("/original", ".{form}", "thumb.webp", "/s/{token}"))
        }
        views = [
            (await client.get(stage.path("/v1/images/{image_id}"))).json()
            for client in stage.clients
            if visibility == "public"
        ]
        listed = [len((await client.get("/v1/images")).json().get("items", ())) for client in stage.clients]
        digest = (await service.owner.get(stage.path("/v1/images/{image_id}"))).json()["sha256"]
        known = (await another.client.post("/v1/images/check", json={"sha256": [digest]})).json()
        bodies: dict[str, dict[str, Any]] = {
            "PATCH": {"json": {"description": "new"}},
            "POST": {"json": {"expires_in": 60}},
        }
        changes = {route: tuple(await stage.ask(route, **bodies.get(route.split()[0], {}))) for route in CHANGES}
        afterwards = {route: set(await stage.ask(route)) for route in READS}

    assert reads == {route: statuses[at] for route, statuses in READS.items()}
    assert heads == {route: READS[route][at] for route in heads}
    assert changes == CHANGES
    # with the image all that hung on it is gone, but for what was made of it on request
    assert {route for route, statuses in afterwards.items() if 200 in statuses} <= {
        "GET /v1/batches/{batch_id}",
        "GET /v1/resizes/{token}",
        "GET /v1/resizes/{token}/result",
    }
    assert listed == ([0, 0, 0, 1, 1] if visibility == "private" else [1, 1, 0, 1, 1])
    assert known == {"have": {}}
    for_others, in_full = views[:2], views[3:]
    assert [{name for name, value in view.items() if value not in (None, [])} - PUBLIC_VIEW for view in for_others] == [
        set() for _ in for_others
    ]
    assert [(view["location"] is not None, view["uploads"][0]["store_id"]) for view in in_full] == [
        (True, "S1") for _ in in_full
    ]


async def test_another_link_of_the_same_owner_knows_nothing_of_what_came_through_this_one(service: Service) -> None:
    async with People(service) as people:
        owner, another = await people.new("ann"), await people.new("bob")
        stage = await staged(service, people, owner, another, seed=7, visibility="public")
        other_link = (await owner.client.post("/v1/links", json={"expires_in": 600})).json()["token"]

        below = f"/u/{other_link}/uploads/{stage.ids['upload_id']}"
        statuses = [(await service.anyone.get(path)).status_code for path in (below, f"{below}/thumb.webp")]

    assert statuses == [404, 404]
