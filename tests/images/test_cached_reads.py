"""Conditional requests and caches: what they save, and that they notice a hidden or deleted image at once."""

from collections.abc import Iterator
from typing import Any

import httpx

from tests.faults.stage import staged
from tests.images.uploads import send
from tests.support.images import jpeg
from tests.support.service import Service


def executed_statements(recorded: bytearray) -> list[str]:
    """The types of a client's PostgreSQL messages that execute a statement (E: prepared, Q: text)."""

    def types() -> Iterator[str]:
        at = 0
        while at < len(recorded):
            yield chr(recorded[at])
            at += 1 + int.from_bytes(recorded[at + 1 : at + 5], "big")

    return [kind for kind in types() if kind in "EQ"]


async def test_a_conditional_read_of_an_image_costs_one_statement_and_no_s3_request(service: Service) -> None:
    sent = await send(service, jpeg(seed=1, size=(96, 72)), visibility="public")
    await service.image_of(sent)
    await service.stop_worker()
    paths = [sent["url"], f"{sent['url']}/renditions/thumb.webp", f"{sent['url']}/original"]
    answers: list[tuple[int, list[str], int]] = []

    async with staged(service.settings) as stage:
        for path in paths:
            etag = (await stage.owner.get(path)).headers["etag"]
            await stage.owner.get(path, headers={"If-None-Match": etag})
            stage.postgres.record()
            stage.s3.record()
            again = await stage.owner.get(path, headers={"If-None-Match": etag})
            assert stage.postgres.recorded is not None
            assert stage.s3.recorded is not None
            answers.append((again.status_code, executed_statements(stage.postgres.recorded), len(stage.s3.recorded)))
        whole = await stage.owner.get(paths[1])
        read_from_s3 = len(stage.s3.recorded or b"")

    assert answers == [(304, ["E"], 0)] * 3
    assert (whole.status_code, read_from_s3 > 0) == (200, True)


CACHED = {
    # path below the image: Cache-Control while it is private, and while it is public
    "": ("private, no-cache", "private, no-cache"),
    "/similar": ("private, no-cache", "private, no-cache"),
    "/original": ("private, no-cache", "private, no-cache"),
    "/renditions/thumb.webp": ("private, no-cache", "public, max-age=60, must-revalidate"),
}


async def test_shared_caches_may_keep_only_renditions_of_public_images_for_a_minute(service: Service) -> None:
    sent = await send(service, jpeg(seed=1, size=(96, 72)))
    await service.image_of(sent)

    async def cache_controls() -> dict[str, Any]:
        answers = {path: await service.owner.get(f"{sent['url']}{path}") for path in CACHED}
        return {path: answer.headers["cache-control"] for path, answer in answers.items()}

    while_private = await cache_controls()
    await service.owner.patch(sent["url"], json={"visibility": "public"})
    while_public = await cache_controls()
    listed = await service.anyone.get("/v1/images")

    assert while_private == {path: private for path, (private, _) in CACHED.items()}
    assert while_public == {path: public for path, (_, public) in CACHED.items()}
    assert listed.headers["cache-control"] == "private, no-cache"


async def test_a_cache_gets_404_as_soon_as_an_image_is_private_or_deleted(service: Service) -> None:
    hidden = await send(service, jpeg(seed=1, size=(96, 72)), visibility="public")
    deleted = await send(service, jpeg(seed=2, size=(96, 72)), visibility="public")
    etags: dict[str, str] = {}
    for sent in (hidden, deleted):
        await service.image_of(sent)
        for path in (sent["url"], f"{sent['url']}/renditions/thumb.webp"):
            etags[path] = (await service.anyone.get(path)).headers["etag"]

    async def revalidated() -> list[httpx.Response]:
        return [await service.anyone.get(path, headers={"If-None-Match": etag}) for path, etag in etags.items()]

    before = await revalidated()
    await service.owner.patch(hidden["url"], json={"visibility": "private"})
    await service.owner.delete(deleted["url"])
    after = await revalidated()

    assert [answer.status_code for answer in before] == [304] * 4
    assert [answer.status_code for answer in after] == [404] * 4
    assert {answer.headers["cache-control"] for answer in after} == {"no-store"}
