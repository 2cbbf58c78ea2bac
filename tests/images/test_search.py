"""Search: what each filter finds, for whom; pages that stay whole while images arrive; wishes that make no sense."""

from tests.images.uploads import send
from tests.support.images import jpeg
from tests.support.service import Service


async def test_the_newest_image_comes_first(idle_service: Service) -> None:
    sent = [await send(idle_service, jpeg(seed=seed, size=(64, 64))) for seed in range(3)]

    answer = await idle_service.owner.get("/v1/images")

    assert [image["id"] for image in answer.json()["items"]] == [one["image_id"] for one in reversed(sent)]
    assert answer.json()["next_cursor"] is None
