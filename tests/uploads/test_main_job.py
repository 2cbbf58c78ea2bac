"""The main job over HTTP: link, upload, stored once, facts and renditions, image and statistics."""

import asyncio
import base64
from collections import Counter
from hashlib import sha256

from tests.support.images import exif_jpeg, heic, jpeg, png
from tests.support.service import Service


async def test_a_link_accepts_several_files_with_a_result_for_each(service: Service) -> None:
    link = await service.new_link(max_files=20)
    first, second = jpeg(seed=1), heic(seed=2)
    files = [
        ("file", ("a.jpg", first)),
        ("file", ("b.heic", second)),
        ("file", ("a.jpg", first)),
        ("file", ("notes.txt", b"hello world")),
    ]

    answer = await service.anyone.post(link["path"], files=files)

    assert answer.status_code == 201
    results = answer.json()["results"]
    assert [result["status"] for result in results] == ["created", "created", "duplicate", "rejected"]
    assert results[0]["sha256"] == sha256(first).hexdigest()
    assert results[0]["url"] == f"{link['path']}/uploads/{results[0]['upload_id']}"
    assert all("image_id" not in result for result in results)
    assert results[3]["problem"]["status"] == 415
    image = await service.image_of(results[0])
    assert image["state"] == "ready"
    assert (await service.image_of(results[2]))["id"] == image["id"]


async def test_an_image_has_size_camera_time_and_location(service: Service) -> None:
    link = await service.new_link()
    data = exif_jpeg(seed=3, size=(400, 300), latitude=48.85837, longitude=2.29448)

    answer = await service.anyone.put(f"{link['path']}/c.jpg", content=data)
    image = await service.image_of(answer.json()["results"][0])

    assert (image["stored_width"], image["stored_height"]) == (400, 300)
    assert image["camera"]["model"]
    assert image["captured"]["local"]
    assert image["location"]["latitude"]
    assert [rendition["preset"] for rendition in image["renditions"]] == ["thumb", "medium", "large"]
    assert image["title"] == "c"


async def test_a_receipt_shows_the_state_and_never_the_location(service: Service) -> None:
    link, other = await service.new_link(), await service.new_link()
    sent = (await service.anyone.put(f"{link['path']}/c.jpg", content=exif_jpeg(seed=4))).json()["results"][0]
    await service.image_of(sent)

    receipt = await service.anyone.get(sent["url"])

    assert receipt.json()["state"] == "ready"
    assert not {"image_id", "location", "camera", "captured"} & set(receipt.json())
    assert (await service.anyone.get(receipt.json()["thumbnail_url"])).headers["content-type"] == "image/webp"
    assert (await service.anyone.get(f"{other['path']}/uploads/{sent['upload_id']}")).status_code == 404


async def test_a_link_does_not_reveal_the_contents_of_its_owner(service: Service) -> None:
    data = jpeg(seed=5)
    theirs = (await service.owner.post("/v1/images", files=[("file", ("x.jpg", data))])).json()["results"][0]
    await service.image_of(theirs)
    await service.stop_worker()
    link = await service.new_link()

    first = (await service.anyone.put(f"{link['path']}/y.jpg", content=data)).json()["results"][0]
    again = (await service.anyone.put(f"{link['path']}/y.jpg", content=data)).json()["results"][0]

    assert (first["status"], again["status"]) == ("created", "duplicate")
    states = [(await service.anyone.get(result["url"])).json()["state"] for result in (first, again)]
    assert states == ["pending", "pending"]
    service.start_worker()
    upload = await service.owner.get(f"/v1/uploads/{first['upload_id']}")
    assert upload.json()["image"]["id"] == theirs["image_id"]


async def test_fields_hold_for_the_files_that_follow_until_given_again(service: Service) -> None:
    parts = [
        ("store_id", (None, b"S1")),
        ("barcode", (None, b"4006381333931")),
        ("file", ("a.jpg", jpeg(seed=6))),
        ("barcode", (None, b"")),
        ("store_id", (None, b"S2")),
        ("colour", (None, b"red")),
        ("file", ("b.jpg", jpeg(seed=7))),
        ("camera_id", (None, b"till 4")),
    ]

    body = (await service.owner.post("/v1/images", files=parts)).json()

    uploads = [(await service.owner.get(f"/v1/uploads/{result['upload_id']}")).json() for result in body["results"]]
    assert [(upload["store_id"], upload["barcode"]) for upload in uploads] == [("S1", "4006381333931"), ("S2", None)]
    assert uploads[0]["batch_id"] == body["batch_id"]
    assert len(body["warnings"]) == 2


async def test_a_digest_that_does_not_match_keeps_nothing(idle_service: Service) -> None:
    service, data = idle_service, jpeg(seed=8)
    wrong = base64.b64encode(sha256(b"another").digest()).decode()
    right = base64.b64encode(sha256(data).digest()).decode()
    link = await service.new_link()

    refused = await service.anyone.put(
        f"{link['path']}/d.jpg", content=data, headers={"Repr-Digest": f"sha-256=:{wrong}:"}
    )
    by_field = await service.anyone.put(f"{link['path']}/d.jpg?sha256={'0' * 64}", content=data)
    taken = await service.anyone.put(
        f"{link['path']}/d.jpg", content=data, headers={"Repr-Digest": f"sha-256=:{right}:"}
    )

    assert [refused.status_code, by_field.status_code, taken.status_code] == [422, 422, 201]
    assert refused.json()["type"] == "/problems/digest-mismatch"
    assert (await service.owner.get("/v1/stats")).json()["totals"]["uploads"] == 1


async def test_a_large_file_arrives_whole_in_parts(service: Service) -> None:
    data = jpeg(seed=9) + bytes(19 * 1024 * 1024)
    link = await service.new_link(max_files=2)

    first = await service.anyone.put(f"{link['path']}/large.jpg", content=data)
    again = await service.anyone.put(f"{link['path']}/large.jpg", content=data)

    assert (first.status_code, again.status_code) == (201, 200)
    image = await service.image_of(first.json()["results"][0])
    original = await service.owner.get(image["original_url"])
    assert sha256(original.content).hexdigest() == sha256(data).hexdigest() == image["sha256"]
    after = (await service.owner.get(f"/v1/links/{link['id']}")).json()
    assert (after["used_files"], after["reserved_files"], after["reserved_bytes"]) == (1, 0, 0)


async def test_statistics_are_exact_and_immediate_deletions_included(service: Service) -> None:
    link = await service.new_link()
    photo, drawing = exif_jpeg(seed=10), png(seed=11)
    files = [("file", ("a.jpg", photo)), ("file", ("b.png", drawing)), ("file", ("a.jpg", photo))]
    results = (await service.anyone.post(link["path"], files=files)).json()["results"]
    pending = (await service.owner.get("/v1/stats")).json()
    image = await service.image_of(results[0])
    await service.image_of(results[1])

    ready = (await service.owner.get("/v1/stats")).json()
    await service.owner.delete(f"/v1/images/{image['id']}")
    after = (await service.owner.get("/v1/stats")).json()

    assert pending["totals"] == ready["totals"]
    assert ready["totals"] == {
        "images": 2,
        "blobs": 2,
        "uploads": 3,
        "bytes_received": 2 * len(photo) + len(drawing),
        "bytes_stored": len(photo) + len(drawing),
        "bytes_saved": len(photo),
    }
    assert Counter({row["media_type"]: row["count"] for row in ready["formats"]}) == {"image/jpeg": 1, "image/png": 1}
    assert [row["count"] for row in ready["cameras"]] == [1]
    assert (pending["cameras_unknown"], ready["cameras_unknown"]) == (2, 1)
    assert len(ready["uploads_per_day"]) == 30
    assert ready["uploads_per_day"][-1]["count"] == 3
    assert after["totals"]["uploads"] == after["totals"]["images"] == 1
    assert after["cameras"] == []
    assert after["uploads_per_day"][-1]["count"] == 1


async def test_fifty_uploads_of_one_file_make_one_blob_and_one_object(service: Service) -> None:
    data = jpeg(seed=12, size=(800, 600))
    link = await service.new_link()

    answers = await asyncio.gather(*(service.anyone.put(f"{link['path']}/{n}.jpg", content=data) for n in range(50)))

    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 49}
    image = await service.image_of(answers[0].json()["results"][0])
    assert len(image["uploads"]) == 50
    assert (await service.owner.get("/v1/stats")).json()["totals"]["blobs"] == 1


async def test_a_link_for_ten_files_admits_ten_of_fifty_racing_uploads(idle_service: Service) -> None:
    link = await idle_service.new_link(max_files=10)

    answers = await asyncio.gather(
        *(idle_service.anyone.put(f"{link['path']}/{n}.jpg", content=jpeg(seed=n, size=(64, 64))) for n in range(50))
    )

    assert Counter(answer.status_code for answer in answers) == {201: 10, 410: 40}
    used = (await idle_service.owner.get(f"/v1/links/{link['id']}")).json()
    assert (used["used_files"], used["state"]) == (10, "used-up")


async def test_a_used_up_link_still_shows_its_receipts(idle_service: Service) -> None:
    data = jpeg(seed=13)
    link = await idle_service.new_link(max_files=1)
    await idle_service.anyone.put(f"{link['path']}/a.jpg", content=data)

    again = await idle_service.anyone.put(f"{link['path']}/a.jpg", content=data)
    other = await idle_service.anyone.put(f"{link['path']}/b.jpg", content=jpeg(seed=14))

    assert (again.status_code, again.json()["results"][0]["status"]) == (200, "duplicate")
    assert (other.status_code, other.json()["type"]) == (410, "/problems/link-used-up")


async def test_a_file_larger_than_the_remaining_limit_of_a_link_is_413(idle_service: Service) -> None:
    small, large = jpeg(seed=15, size=(32, 32)), jpeg(seed=16, size=(1200, 900))
    link = await idle_service.new_link(max_bytes=len(large) - 1)

    too_large = await idle_service.anyone.put(f"{link['path']}/x.jpg", content=large)
    fits = await idle_service.anyone.put(f"{link['path']}/y.jpg", content=small)

    assert (too_large.status_code, too_large.json()["type"]) == (413, "/problems/link-room-too-small")
    assert fits.status_code == 201
