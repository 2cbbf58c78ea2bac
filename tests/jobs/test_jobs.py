"""Jobs over HTTP: submission, results, errors and access."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from tests.jobs.job_requests import TIME, counts, finished, images_of, job, picture, submit, visit
from tests.stores.store_requests import put_store
from tests.support.image_server import ImageServer, answer
from tests.support.images import truncated_jpeg
from tests.support.people import People
from tests.support.service import Service, running_service
from tests.support.sql import sql
from tests.uploads.ways_in import verdict


async def test_a_job_downloads_admits_and_measures_its_images(fetching: Service, images: ImageServer) -> None:
    await put_store(fetching, "S1", store_name="B P STORE")
    await put_store(fetching, "S2")
    urls = [images.serve(f"/shelves/{n}%20a.jpg?x=1", picture(n)) for n in range(3)]

    job_id = await submit(
        fetching.owner, visit(*urls[:2]), visit(urls[2], store="S2", time="2020-09-02T13:00:00+02:00")
    )
    done = await finished(fetching.owner, job_id)
    items = await images_of(fetching.owner, job_id)

    assert counts(done) == ("completed", 3, 3, 0, 0)
    assert (done["errors"], done["errors_omitted"]) == ([], 0)
    assert [(item["store_id"], item["image_url"], item["state"]) for item in items] == [
        ("S1", urls[0], "done"),
        ("S1", urls[1], "done"),
        ("S2", urls[2], "done"),
    ]
    assert {item["perimeter"] for item in items} == {224}
    assert all(0 <= item["score"] <= 100 and item["seconds"] > 0 for item in items)
    upload = (await fetching.owner.get(f"/v1/uploads/{items[2]['upload_id']}")).json()
    context = {name: upload[name] for name in ("way", "filename", "store_id", "store_name", "captured_at", "duplicate")}
    assert context == {
        "way": "job",
        "filename": "2 a.jpg",
        "store_id": "S2",
        "store_name": "Store S2",
        "captured_at": "2020-09-02T11:00:00.000Z",
        "duplicate": False,
    }
    assert (upload["image"]["id"], upload["image"]["visibility"]) == (items[2]["image_id"], "private")
    assert (await sql(fetching, "SELECT count(*) FROM tasks"))[0]["count"] == 0


async def test_each_failed_image_has_its_reason_and_the_others_stay_done(
    fetching: Service, images: ImageServer
) -> None:
    await put_store(fetching, "S1")
    good = images.serve("/good.jpg", picture(1))
    bad = {
        "http-404": images.url("/nothing"),
        "unsupported-media-type": images.serve("/page.html", b"<html>no picture at all</html>"),
        "empty-file": images.serve("/empty", b""),
        "broken-image": images.serve("/cut.jpg", truncated_jpeg(seed=2)),
        "address-refused": images.redirect("/inside", "http://169.254.169.254/latest"),
        "too-many-redirects": images.redirect("/loop", images.url("/loop")),
    }

    job_id = await submit(fetching.owner, visit(*bad.values(), good), visit(good, good, store="NOPE"))
    failed = await finished(fetching.owner, job_id)

    assert counts(failed) == ("failed", 9, 1, 8, 0)
    assert [(error["store_id"], error["image_url"], error["reason"]) for error in failed["errors"]] == [
        *(("S1", url, reason) for reason, url in bad.items()),
        ("NOPE", None, "unknown-store"),
    ]
    texts = [error["error"] for error in failed["errors"]]
    assert (texts[0], texts[-1]) == ("The host answered 404.", "There is no such store.")
    assert all(text.endswith(".") and "169.254" not in text for text in texts)
    assert (await sql(fetching, "SELECT count(*) FROM tasks"))[0]["count"] == 0  # a bad URL leaves no dead letter


async def test_a_job_of_unknown_stores_fails_at_once(idle_fetching: Service, images: ImageServer) -> None:
    job_id = await submit(idle_fetching.owner, visit(images.url("/a"), store="NOPE"))

    assert counts(await job(idle_fetching.owner, job_id)) == ("failed", 1, 0, 1, 0)
    assert (await sql(idle_fetching, "SELECT count(*) FROM tasks"))[0]["count"] == 0


async def test_temporary_errors_are_retried_and_permanent_ones_are_not(fetching: Service, images: ImageServer) -> None:
    await put_store(fetching, "S1")
    recovers = images.behave("/recovers", answer(b"busy", status=500), answer(b"busy", status=503), answer(picture(1)))
    stays = images.serve("/stays", b"down", status=503)
    gone = images.serve("/gone", b"gone", status=410)

    done = await finished(fetching.owner, await submit(fetching.owner, visit(recovers, stays, gone)))

    assert counts(done) == ("failed", 3, 1, 2, 0)
    assert {error["reason"] for error in done["errors"]} == {"http-503", "http-410"}
    assert [images.times(path) for path in ("/recovers", "/stays", "/gone")] == [3, 3, 1]


async def test_a_job_fetches_a_url_once_and_adds_an_upload_for_each_visit(
    fetching: Service, images: ImageServer
) -> None:
    await put_store(fetching, "S1")
    await put_store(fetching, "S2")
    url = images.serve("/a.jpg", picture(1))

    job_id = await submit(fetching.owner, visit(url, url), visit(url, store="S2"))
    done = await finished(fetching.owner, job_id)
    items = await images_of(fetching.owner, job_id)

    assert counts(done) == ("completed", 3, 3, 0, 0)
    assert images.times("/a.jpg") == 1
    assert len({item["image_id"] for item in items}) == 1
    uploads = await sql(fetching, "SELECT id::text, store_id, duplicate, settled FROM uploads ORDER BY id")
    assert [(upload["id"], upload["store_id"]) for upload in uploads] == [
        (item["upload_id"], item["store_id"]) for item in items
    ]
    assert [upload["duplicate"] for upload in uploads] == [False, True, True]
    assert all(upload["settled"] for upload in uploads)


async def test_a_later_job_requests_a_known_url_conditionally_while_the_image_exists(
    fetching: Service, images: ImageServer
) -> None:
    await put_store(fetching, "S1")
    first, second = answer(picture(1), etag='"one"'), answer(b"", status=304)
    url = images.behave("/a.jpg", first, second, answer(picture(2), etag='"two"'), answer(picture(2)))
    owner = fetching.owner

    async def run() -> dict[str, Any]:
        job_id = await submit(owner, visit(url))
        assert counts(await finished(owner, job_id)) == ("completed", 1, 1, 0, 0)
        return (await images_of(owner, job_id))[0]

    runs = [await run() for _ in range(3)]
    await owner.delete(f"/v1/images/{runs[2]['image_id']}")
    runs.append(await run())
    async with People(fetching) as people:
        ann = await people.new("ann")
        others = await finished(ann.client, await submit(ann.client, visit(url)))

    assert runs[0]["image_id"] == runs[1]["image_id"] != runs[2]["image_id"]
    assert runs[1]["perimeter"] == 224
    asked = [asked.headers.get("if-none-match") for asked in images.requests]
    assert asked == [None, '"one"', '"one"', None, None]
    assert others["status"] == "completed"


JOB = {"count": 1, "visits": [visit("http://pictures.example.org/a.jpg")]}


def job_with(**changes: Any) -> dict[str, Any]:
    return {"count": 1, "visits": [{**visit("http://pictures.example.org/a.jpg"), **changes}]}


WRONG = [
    ({**JOB, "count": 2}, "/count"),
    ({"visits": JOB["visits"]}, "/count"),
    ({"count": 1}, "/visits"),
    ({"count": 0, "visits": []}, "/count"),
    ({"count": "1", "visits": JOB["visits"]}, "/count"),
    ({**JOB, "colour": "red"}, "/colour"),
    (job_with(image_url=[]), "/visits/0/image_url"),
    (job_with(image_url="http://pictures.example.org/a.jpg"), "/visits/0/image_url"),
    (job_with(image_url=["http://ok.example.org/", "ftp://x/y"]), "/visits/0/image_url/1"),
    (job_with(image_url=["http://user:secret@pictures.example.org/"]), "/visits/0/image_url/0"),
    (job_with(image_url=["http://2130706433/"]), "/visits/0/image_url/0"),
    (job_with(image_url=["http://pictures.example.org/\ud800"]), "/visits/0/image_url/0"),
    (job_with(image_url=[f"http://pictures.example.org/{'x' * 5000}"]), "/visits/0/image_url/0"),
    (job_with(visit_time="x"), "/visits/0/visit_time"),
    (job_with(visit_time="2020-09-02T10:00:00"), "/visits/0/visit_time"),
    (job_with(visit_time=1599040800), "/visits/0/visit_time"),
    (job_with(store_id=""), "/visits/0/store_id"),
    (job_with(store_id="a\x00b"), "/visits/0/store_id"),
    ({"count": 1, "visits": [{"image_url": ["http://a.example.org/"], "visit_time": TIME}]}, "/visits/0/store_id"),
    ({"count": 1, "visits": [{"store_id": "S1", "visit_time": TIME}]}, "/visits/0/image_url"),
]


async def test_an_invalid_job_is_422_with_a_pointer(idle_fetching: Service) -> None:
    answers = [await idle_fetching.owner.post("/v1/jobs", content=json.dumps(body)) for body, _ in WRONG]

    assert [answer.status_code for answer in answers] == [422] * len(WRONG)
    assert [answer.json()["errors"][0]["pointer"] for answer in answers] == [pointer for _, pointer in WRONG]
    assert all("secret" not in answer.text for answer in answers)
    bodies = (b"", b"{", b"\xff", b"[" * 100_000)
    broken = [verdict(await idle_fetching.owner.post("/v1/jobs", content=body)) for body in bodies]
    assert broken == [(400, "malformed-request")] * 4
    assert (await idle_fetching.owner.get("/v1/jobs")).json()["items"] == []


@pytest.fixture
async def limited(settings_with: Callable[..., Settings], sandbox: Sandbox) -> AsyncIterator[Service]:
    settings = settings_with(max_job_images=3, max_job_bytes=2000)
    async with running_service(settings, sandbox, with_worker=False) as running:
        yield running


async def test_a_job_above_the_limit_of_images_or_bytes_is_refused(limited: Service) -> None:
    three = [visit("http://a.example.org/1", "http://a.example.org/2"), visit("http://a.example.org/3")]
    whole = b'{"count": 1, "visits": [{"store_id": "S1", "image_url": ["http://a.example.org/1"], "visit_time": "%s"}]}'

    await submit(limited.owner, *three)
    answers = [
        await limited.owner.post("/v1/jobs", json={"count": 3, "visits": [*three, visit("http://a.example.org/4")]}),
        await limited.owner.post("/v1/jobs", content=(whole % TIME.encode()).ljust(2000)),
        await limited.owner.post("/v1/jobs", content=(whole % TIME.encode()).ljust(2001)),
    ]

    assert verdict(answers[0]) == (422, "invalid-job")
    assert answers[1].status_code == 201
    assert verdict(answers[2]) == (413, "body-too-large")


async def test_only_the_owner_and_admins_see_and_cancel_a_job(idle_fetching: Service, images: ImageServer) -> None:
    async with People(idle_fetching) as people:
        ann, bob = await people.new("ann"), await people.new("bob")
        reader = await people.holding((await people.new_key(ann, "read"))["key"])
        job_id = await submit(ann.client, visit(images.url("/a")))
        path = f"/v1/jobs/{job_id}"

        bobs = [await bob.client.get(path), await bob.client.get(f"{path}/images"), await bob.client.delete(path)]
        others = [
            await idle_fetching.anyone.get(path),
            await reader.post("/v1/jobs", json=JOB),
            await reader.delete(path),
            await reader.get(path),
            await idle_fetching.owner.get(path),
            await idle_fetching.owner.get("/v1/jobs/123"),
        ]
        lists = [(await client.get("/v1/jobs")).json()["items"] for client in (ann.client, bob.client)]

    assert [verdict(answer) for answer in bobs] == [(404, "job-not-found")] * 3
    assert [answer.status_code for answer in others] == [401, 403, 403, 200, 200, 404]
    assert [[item["job_id"] for item in items] for items in lists] == [[job_id], []]


async def test_jobs_and_their_images_are_paged(idle_fetching: Service, images: ImageServer) -> None:
    owner = idle_fetching.owner
    await put_store(idle_fetching, "S1")
    jobs = [
        await submit(owner, visit(images.url(f"/{n}"), images.url("/x")), visit(images.url("/y"))) for n in range(3)
    ]

    first = await owner.get("/v1/jobs", params={"limit": 2})
    second = await owner.get(first.links["next"]["url"])
    shown = await owner.get(f"/v1/jobs/{jobs[0]}/images", params={"limit": 2})
    rest = await owner.get(shown.links["next"]["url"])
    elsewhere = {"cursor": shown.json()["next_cursor"]}

    assert [item["job_id"] for page in (first, second) for item in page.json()["items"]] == jobs[::-1]
    assert [item["image_url"] for page in (shown, rest) for item in page.json()["items"]] == [
        images.url(path) for path in ("/0", "/x", "/y")
    ]
    assert [page.json()["next_cursor"] for page in (second, rest)] == [None, None]
    assert (await owner.get(f"/v1/jobs/{jobs[1]}/images", params=elsewhere)).status_code == 400


async def test_a_job_sent_again_with_its_idempotency_key_is_the_same_job(
    idle_fetching: Service, images: ImageServer
) -> None:
    body, key = {"count": 1, "visits": [visit(images.url("/a"))]}, {"Idempotency-Key": "one"}

    answers = [await idle_fetching.owner.post("/v1/jobs", json=body, headers=key) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert len((await idle_fetching.owner.get("/v1/jobs")).json()["items"]) == 1
