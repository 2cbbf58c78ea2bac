"""Faults that only decoding finds: the image becomes `rejected` with a reason, and the next one is processed."""

from tests.support.images import gif_of_frames, jpeg, png, png_of_chunks, truncated_jpeg
from tests.support.service import Service

HOSTILE = {
    "truncated.jpg": (truncated_jpeg(seed=1), "broken-image"),
    "huge.png": (png_of_chunks(50_000, 50_000), "too-many-pixels"),
    "enormous.png": (png_of_chunks(2**31 - 1, 2**31 - 1), "too-many-pixels"),
    "frames.gif": (gif_of_frames(10_000), "too-many-frames"),
    "head.png": (png(seed=2)[:40], "broken-image"),
    "magic.jpg": (jpeg(seed=3)[:20] + b"\0" * 300, "broken-image"),
}


async def test_hostile_files_end_as_rejected_and_the_next_image_is_processed(service: Service) -> None:
    link = await service.new_link()

    hostile = [
        (await service.anyone.put(f"{link['path']}/{name}", content=data)).json()["results"][0]
        for name, (data, _) in HOSTILE.items()
    ]
    good = (await service.anyone.put(f"{link['path']}/good.jpg", content=jpeg(seed=4))).json()["results"][0]
    images = [await service.image_of(result) for result in hostile]

    assert (await service.image_of(good))["state"] == "ready"
    assert [image["state"] for image in images] == ["rejected"] * len(HOSTILE)
    assert {name: image["problem"]["type"] for name, image in zip(HOSTILE, images, strict=True)} == {
        name: f"/problems/{slug}" for name, (_, slug) in HOSTILE.items()
    }
    assert [image["renditions"] for image in images] == [[]] * len(HOSTILE)


async def test_the_receipt_of_a_rejected_file_has_the_reason(service: Service) -> None:
    link = await service.new_link()

    sent = (await service.anyone.put(f"{link['path']}/a.jpg", content=truncated_jpeg(seed=1))).json()["results"][0]
    await service.image_of(sent)
    receipt = (await service.anyone.get(sent["url"])).json()

    assert (receipt["state"], receipt["problem"]["type"]) == ("rejected", "/problems/broken-image")
    assert receipt["thumbnail_url"] is None
    assert (await service.anyone.get(f"{sent['url']}/thumb.webp")).status_code == 404


async def test_rejected_content_is_rejected_again_and_not_counted(service: Service) -> None:
    first, second = await service.new_link(), await service.new_link()
    data = truncated_jpeg(seed=1)

    results = [
        (await service.anyone.put(f"{link['path']}/a.jpg", content=data)).json()["results"][0]
        for link in (first, second)
    ]
    states = [(await service.image_of(result))["state"] for result in results]
    totals = (await service.owner.get("/v1/stats")).json()["totals"]
    used = [(await service.owner.get(f"/v1/links/{link['id']}")).json()["used_files"] for link in (first, second)]

    assert states == ["rejected", "rejected"]
    assert (totals["images"], totals["uploads"], totals["blobs"], totals["bytes_received"]) == (0, 0, 0, 0)
    assert used == [1, 1]


async def test_the_original_of_a_rejected_image_can_still_be_fetched(service: Service) -> None:
    link = await service.new_link()
    data = truncated_jpeg(seed=1)

    sent = (await service.anyone.put(f"{link['path']}/a.jpg", content=data)).json()["results"][0]
    image = await service.image_of(sent)
    answer = await service.owner.get(image["original_url"])

    assert (answer.status_code, answer.content) == (200, data)


async def test_the_problems_of_images_have_explanations(service: Service) -> None:
    link = await service.new_link()

    sent = (await service.anyone.put(f"{link['path']}/a.jpg", content=truncated_jpeg(seed=1))).json()["results"][0]
    problem = (await service.image_of(sent))["problem"]
    explanation = await service.anyone.get(problem["type"])

    assert explanation.status_code == 200
    assert explanation.json()["title"] == problem["title"]
