"""Resizes: the request formats, the results, and the refusals."""

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from tests.images.uploads import send
from tests.resizes.resize_client import encoded, result_image, tasks, token_for, wait_until_ended
from tests.support.images import bomb_png, exif_jpeg, jpeg, truncated_jpeg
from tests.support.people import People
from tests.support.service import Service, running_service
from tests.support.sql import sql
from tests.support.traces import NOTHING, traces

PHOTO = jpeg(seed=1, size=(320, 240))


async def test_the_same_resize_in_any_request_format_has_one_token_and_result(service: Service) -> None:
    owner = service.owner
    token = await token_for(owner, image=encoded(PHOTO))
    status = await wait_until_ended(owner, token)
    result = await owner.get(status["resized_image_url"])
    unchanged = await owner.get(status["resized_image_url"], headers={"If-None-Match": result.headers["etag"]})
    image = await send(service, PHOTO)

    again = await token_for(owner, fit="contain", height=100, quality=80, image=encoded(PHOTO), format="jpg")
    form = await owner.post("/v1/resizes", files={"file": ("a.jpg", PHOTO)}, data={"width": "100"})
    fields_last = await owner.post(
        "/v1/resizes", files=[("image", ("a.jpg", PHOTO)), ("width", (None, "100")), ("format", (None, "jpg"))]
    )
    of_image = await token_for(owner, image_id=image["image_id"], width=100)

    assert status | {"created_at": "", "expires_at": ""} == {
        "token": token,
        "status": "SUCCESS",
        "error": None,
        "created_at": "",
        "expires_at": "",
        "format": "jpg",
        "width": 100,
        "height": 75,
        "bytes": len(result.content),
        "resized_image_url": f"/v1/resizes/{token}/result",
    }
    assert (await result_image(owner, token)).size == (100, 75)
    assert (result.headers["content-type"], result.headers["cache-control"]) == ("image/jpeg", "private, no-cache")
    assert unchanged.status_code == 304
    assert {again, form.json()["token"], fields_last.json()["token"], of_image} == {token}
    assert uuid.UUID(token).version == 5
    assert await tasks(service) == []
    assert await sql(service, "SELECT count(*) FROM resizes") == [{"count": 1}]


async def test_other_parameters_are_another_resize(service: Service) -> None:
    image = await send(service, exif_jpeg(seed=2, size=(320, 240), orientation=6))
    wanted: list[dict[str, Any]] = [
        {"width": 60},
        {"width": 60, "fit": "cover", "height": 40},
        {"width": 60, "fit": "fill", "height": 40, "format": "png"},
        {"width": 60, "format": "webp", "quality": 10},
        {"width": 4096, "height": 4096, "format": "avif"},
    ]

    tokens = [await token_for(service.owner, image_id=image["image_id"], **asked) for asked in wanted]

    pictures = [await result_image(service.owner, token) for token in tokens]
    assert len({*tokens}) == 5
    assert [(picture.format, picture.size) for picture in pictures] == [
        ("JPEG", (60, 80)),
        ("JPEG", (60, 40)),
        ("PNG", (60, 40)),
        ("WEBP", (60, 80)),
        ("AVIF", (240, 320)),
    ]


async def test_only_the_result_of_a_file_of_several_parts_stays_stored(
    settings_with: Callable[..., Settings], sandbox: Sandbox
) -> None:
    large = PHOTO + bytes(6 * 1024 * 1024)
    async with running_service(settings_with(part_bytes=5 * 1024 * 1024), sandbox) as service:
        token = await token_for(service.owner, image=encoded(large))
        assert (await result_image(service.owner, token)).size == (100, 75)
        assert await token_for(service.owner, image=encoded(large)) == token
        await service.stop_worker()
        assert await traces(service) == NOTHING | {"objects": 1}


async def test_concurrent_requests_for_the_same_resize_do_the_work_once(idle_service: Service) -> None:
    request = {"image": encoded(PHOTO), "width": 50}

    tokens = await asyncio.gather(*(token_for(idle_service.owner, **request) for _ in range(8)))

    task, *others = await tasks(idle_service)
    status = (await idle_service.owner.get(f"/v1/resizes/{tokens[0]}")).json()
    runner = idle_service.background.runner
    done = await asyncio.gather(*(runner.run(task["id"]) for _ in range(3)))
    assert len({*tokens}) == 1
    assert others == []
    assert (status["status"], status["expires_at"], status["resized_image_url"]) == ("PENDING", None, None)
    assert sorted(done) == [False, False, True]
    assert await traces(idle_service) == NOTHING | {"objects": 1}


INVALID_REQUESTS: list[tuple[dict[str, Any], int, str, str | None]] = [
    ({}, 422, "no-file", "/image"),
    ({"width": 10}, 422, "no-file", "/image"),
    ({"image": None}, 422, "no-file", "/image"),
    ({"image": ""}, 422, "empty-file", None),
    ({"image": "%%%"}, 422, "broken-base64", "/image"),
    ({"image": "data:image/jpeg;base64," + encoded(PHOTO)}, 422, "broken-base64", "/image"),
    ({"image": 7}, 422, "not-a-resize", "/image"),
    ({"image": encoded(b"MZ" * 500)}, 415, "unsupported-media-type", None),
    ({"image_id": "x"}, 422, "invalid-request", "/image_id"),
    ({"image_id": str(uuid.uuid4())}, 404, "image-not-found", None),
    ({"image": encoded(PHOTO), "image_id": str(uuid.uuid4())}, 422, "not-a-resize", "/image_id"),
    ({"image": encoded(PHOTO), "width": 0}, 422, "invalid-request", "/width"),
    ({"image": encoded(PHOTO), "width": -1}, 422, "invalid-request", "/width"),
    ({"image": encoded(PHOTO), "width": 10**9}, 422, "invalid-request", "/width"),
    ({"image": encoded(PHOTO), "width": 4097}, 422, "not-a-resize", "/width"),
    ({"image": encoded(PHOTO), "height": "10"}, 422, "invalid-request", "/height"),
    ({"image": encoded(PHOTO), "height": 1.5}, 422, "invalid-request", "/height"),
    ({"image": encoded(PHOTO), "height": True}, 422, "invalid-request", "/height"),
    ({"image": encoded(PHOTO), "quality": 101}, 422, "invalid-request", "/quality"),
    ({"image": encoded(PHOTO), "fit": "x"}, 422, "invalid-request", "/fit"),
    ({"image": encoded(PHOTO), "format": "svg"}, 422, "invalid-request", "/format"),
    ({"image": encoded(PHOTO), "depth": 1}, 422, "invalid-request", "/depth"),
]


async def test_an_invalid_request_is_refused_with_a_pointer_and_leaves_nothing(idle_service: Service) -> None:
    owner = idle_service.owner
    answers = [await owner.post("/v1/resizes", json=body) for body, *_ in INVALID_REQUESTS]
    raw = [
        await owner.post("/v1/resizes", content=b"[]", headers={"content-type": "application/json"}),
        await owner.post("/v1/resizes", content=b'{"image": "AA', headers={"content-type": "application/json"}),
        await owner.post("/v1/resizes", content=b'{"width": 1, "width": 2}'),
        await owner.post("/v1/resizes", content=b"x", headers={"content-type": "text/plain"}),
        await owner.post("/v1/resizes", files=[("file", ("a", PHOTO)), ("file", ("b", PHOTO))]),
        await owner.post("/v1/resizes", files={"file": ("a", PHOTO)}, data={"colour": "red"}),
        await owner.post("/v1/resizes", files={"file": ("a", PHOTO)}, data={"width": "wide"}),
    ]

    problems = [(answer.status_code, answer.json()["type"].rpartition("/")[2]) for answer in answers]
    pointers = [answer.json().get("errors", [{"pointer": None}])[0]["pointer"] for answer in answers]
    assert problems == [(status, slug) for _, status, slug, _ in INVALID_REQUESTS]
    assert pointers == [pointer for *_, pointer in INVALID_REQUESTS]
    assert [answer.status_code for answer in raw] == [422, 400, 422, 415, 422, 422, 422]
    assert await traces(idle_service) == NOTHING
    assert await sql(idle_service, "SELECT 1 FROM resizes") == []


async def test_a_rejected_file_fails_with_its_problem_and_is_not_retried(service: Service) -> None:
    broken = encoded(truncated_jpeg(seed=3, keep=0.3))
    huge = encoded(bomb_png())

    tokens = [await token_for(service.owner, image=image) for image in (broken, huge)]
    failures = [await wait_until_ended(service.owner, token) for token in tokens]

    assert [failure["status"] for failure in failures] == ["FAILURE", "FAILURE"]
    assert [failure["error"]["type"] for failure in failures] == ["/problems/broken-image", "/problems/too-many-pixels"]
    assert [failure["resized_image_url"] for failure in failures] == [None, None]
    result = await service.owner.get(f"/v1/resizes/{tokens[0]}/result")
    assert (result.status_code, result.json()["type"]) == (409, "/problems/no-result")
    assert await token_for(service.owner, image=broken) == tokens[0]
    assert await tasks(service) == []
    await service.stop_worker()
    assert await traces(service) == NOTHING


async def test_limits_hold_for_size_side_and_unfinished_resizes(
    settings_with: Callable[..., Settings], sandbox: Sandbox
) -> None:
    settings = settings_with(resize_max_bytes=len(PHOTO), resize_max_side=200, resize_max_unfinished=2)
    async with running_service(settings, sandbox, with_worker=False) as service:
        too_large = await service.owner.post("/v1/resizes", json={"image": encoded(PHOTO + b"x")})
        too_wide = await service.owner.post("/v1/resizes", json={"image": encoded(PHOTO), "height": 201})
        await token_for(service.owner, image=encoded(PHOTO), width=200, height=200)
        await token_for(service.owner, image=encoded(PHOTO), width=1)
        one_more = await service.owner.post("/v1/resizes", json={"image": encoded(PHOTO), "width": 2})
        await token_for(service.owner, image=encoded(PHOTO), width=1)

    assert (too_large.status_code, too_large.json()["type"]) == (413, "/problems/file-too-large")
    assert (too_wide.status_code, too_wide.json()["errors"][0]["pointer"]) == (422, "/height")
    assert (one_more.status_code, one_more.json()["type"]) == (429, "/problems/too-many-resizes")


async def test_a_resize_is_visible_to_its_owner_only(people: People) -> None:
    ann, bob = await people.new("ann"), await people.new("bob")
    sent = await ann.client.post("/v1/images", files={"file": ("a.jpg", PHOTO)}, data={"visibility": "public"})
    image_id = sent.json()["results"][0]["image_id"]
    token = await token_for(ann.client, image_id=image_id)
    theirs = await token_for(bob.client, image=encoded(PHOTO))
    await wait_until_ended(ann.client, token)
    reader = await people.holding((await people.new_key(ann, "read"))["key"])
    uploader = await people.holding((await people.new_key(ann, "upload"))["key"])

    for_bob = [await bob.client.get(f"/v1/resizes/{token}{path}") for path in ("", "/result")]
    of_ann = await bob.client.post("/v1/resizes", json={"image_id": image_id})
    with_keys = [
        await reader.get(f"/v1/resizes/{token}"),
        await reader.post("/v1/resizes", json={"image": encoded(PHOTO)}),
        await uploader.post("/v1/resizes", json={"image": encoded(PHOTO)}),
        await uploader.post("/v1/resizes", json={"image_id": image_id}),
        await uploader.get(f"/v1/resizes/{token}"),
        await people.service.anyone.get(f"/v1/resizes/{token}"),
        await people.service.owner.get(f"/v1/resizes/{token}"),
        await people.service.owner.post("/v1/resizes", json={"image_id": image_id}),
    ]

    assert token != theirs
    assert [answer.status_code for answer in (*for_bob, of_ann)] == [404, 404, 404]
    assert [answer.status_code for answer in with_keys] == [200, 403, 202, 403, 403, 401, 404, 202]
