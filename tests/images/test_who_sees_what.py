"""Who may access an image: every route with an id of an image or of something that belongs to it, for each caller.

A new route must be added to the matrix, or to the routes that have nothing to do with images.
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
"""``link`` holds the token of the owner's link through which the image was uploaded."""
OWNER_AND_ADMIN = (401, 404, 401, 200, 200)
EVERYONE_BUT_LINKS = (200, 200, 401, 200, 200)
OWNER_AND_ADMIN_ELSE_404 = (404, 404, 401, 200, 200)

READS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    # the statuses for CALLERS: for a private image, for a public image
    "GET /v1/images/{image_id}": (OWNER_AND_ADMIN_ELSE_404, EVERYONE_BUT_LINKS),
    "GET /v1/images/{image_id}/similar": (OWNER_AND_ADMIN_ELSE_404, EVERYONE_BUT_LINKS),
    "GET /v1/images/{image_id}/renditions/{preset}.{form}": (OWNER_AND_ADMIN_ELSE_404, EVERYONE_BUT_LINKS),
    "GET /v1/images/{image_id}/original": (OWNER_AND_ADMIN, OWNER_AND_ADMIN),
    "GET /v1/images/{image_id}/shares": (OWNER_AND_ADMIN, OWNER_AND_ADMIN),
    "GET /v1/uploads/{upload_id}": (OWNER_AND_ADMIN, OWNER_AND_ADMIN),
    "GET /v1/batches/{batch_id}": (OWNER_AND_ADMIN, OWNER_AND_ADMIN),
    "GET /v1/resizes/{token}": ((401, 404, 401, 200, 404), (401, 404, 401, 200, 404)),
    "GET /v1/resizes/{token}/result": ((401, 404, 401, 200, 404), (401, 404, 401, 200, 404)),
    "GET /u/{token}/uploads/{upload_id}": ((401, 401, 200, 401, 401), (401, 401, 200, 401, 401)),
    "GET /u/{token}/uploads/{upload_id}/thumb.webp": ((401, 401, 200, 401, 401), (401, 401, 200, 401, 401)),
    "GET /s/{token}": ((200,) * 5, (200,) * 5),
}
CHANGES: dict[str, tuple[int, ...]] = {
    # the same for private and public images; the owner and the admin follow each other
    "PATCH /v1/images/{image_id}": OWNER_AND_ADMIN,
    "POST /v1/images/{image_id}/shares": (401, 404, 401, 201, 201),
    "DELETE /v1/images/{image_id}/shares/{share_id}": (401, 404, 401, 204, 404),
    "DELETE /v1/images/{image_id}": (401, 404, 401, 204, 404),
}
WITHOUT_IMAGE = (
    # these ids belong to nothing of an image; their routes have their own tests
    *("/v1/users/", "/v1/api-keys/", "/v1/links/", "/v1/stores/", "/v1/webhooks/", "/v1/ops/", "/problems/"),
    # an incomplete upload has no image; jobs belong to their owner
    *("/v1/tus/", "/u/{token}/tus", "/v1/jobs/"),
    # routes that upload
    *("/u/{token}/check", "/u/{token}/{filename}"),
)


def test_every_route_with_an_id_is_in_the_matrix() -> None:
    with_id = {
        f"{method.upper()} {path}"
        for path, methods in openapi_document()["paths"].items()
        for method in methods
        if "{" in path and path != "/u/{token}" and not path.startswith(WITHOUT_IMAGE)
    }

    assert with_id == READS.keys() | CHANGES.keys()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """An image with everything that belongs to it. ``clients`` are in the order of ``CALLERS``."""

    clients: list[httpx.AsyncClient]
    ids: dict[str, str]

    def path(self, template: str) -> str:
        return template.replace("{preset}.{form}", "thumb.webp").format(**self.ids)

    async def ask(self, route: str, **body: Any) -> list[int]:
        method, template = route.split()
        if template.startswith("/u/{token}"):
            # the token is in the header, so that each client sends its own
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
async def test_each_caller_gets_the_status_of_the_matrix(service: Service, visibility: str, at: int) -> None:
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
    # everything that belonged to the image is deleted with it, except for the batch and the resize
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


async def test_another_link_of_the_same_owner_cannot_see_the_receipt(service: Service) -> None:
    async with People(service) as people:
        owner, another = await people.new("ann"), await people.new("bob")
        stage = await staged(service, people, owner, another, seed=7, visibility="public")
        other_link = (await owner.client.post("/v1/links", json={"expires_in": 600})).json()["token"]

        below = f"/u/{other_link}/uploads/{stage.ids['upload_id']}"
        statuses = [(await service.anyone.get(path)).status_code for path in (below, f"{below}/thumb.webp")]

    assert statuses == [404, 404]
