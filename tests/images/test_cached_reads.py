"""What caches and conditional requests save, and how soon they learn that an image is no longer to be seen."""

from collections.abc import Iterator
from typing import Any

import httpx

from tests.faults.proxied_service import proxied_service
from tests.images.uploads import send
from tests.support.images import jpeg
from tests.support.service import Service


def statements(recorded: bytearray) -> list[str]:
    """What a client had PostgreSQL do: the types of its messages that execute something (E: prepared, Q: text)."""

    def types() -> Iterator[str]:
        at = 0
        while at < len(recorded):
            yield chr(recorded[at])
            at += 1 + int.from_bytes(recorded[at + 1 : at + 5], "big")

    return [kind for kind in types() if kind in "EQ"]


async def test_a_conditional_read_of_an_image_is_one_statement_and_nothing_of_s3(service: Service) -> None:
    sent = await send(service, jpeg(seed=1, size=(96, 72)), visibility="public")
    await service.image_of(sent)
    await service.stop_worker()
    paths = [sent["url"], f"{sent['url']}/renditions/thumb.webp", f"{sent['url']}/original"]
    told: list[tuple[int, list[str], int]] = []

    async with proxied_service(service.settings) as proxied:
        for path in paths:
            etag = (await proxied.owner.get(path)).headers["etag"]
            await proxied.owner.get(path, headers={"If-None-Match": etag})
            proxied.postgres.record()
            proxied.s3.record()
            again = await proxied.owner.get(path, headers={"If-None-Match": etag})
            assert proxied.postgres.recorded is not None
            assert proxied.s3.recorded is not None
            told.append((again.status_code, statements(proxied.postgres.recorded), len(proxied.s3.recorded)))
        whole = await proxied.owner.get(paths[1])
        read_from_s3 = len(proxied.s3.recorded or b"")

    assert told == [(304, ["E"], 0)] * 3
    assert (whole.status_code, read_from_s3 > 0) == (200, True)


CACHED = {
    "": ("private, no-cache", "private, no-cache"),
    "/similar": ("private, no-cache", "private, no-cache"),
    "/original": ("private, no-cache", "private, no-cache"),
    "/renditions/thumb.webp": ("private, no-cache", "public, max-age=60, must-revalidate"),
}


async def test_only_renditions_of_public_images_may_be_kept_by_others_and_for_a_minute(service: Service) -> None:
    sent = await send(service, jpeg(seed=1, size=(96, 72)))
    await service.image_of(sent)

    async def told() -> dict[str, Any]:
        answers = {path: await service.owner.get(f"{sent['url']}{path}") for path in CACHED}
        return {path: answer.headers["cache-control"] for path, answer in answers.items()}

    while_private = await told()
    await service.owner.patch(sent["url"], json={"visibility": "public"})
    while_public = await told()
    listed = await service.anyone.get("/v1/images")

    assert while_private == {path: private for path, (private, _) in CACHED.items()}
    assert while_public == {path: public for path, (_, public) in CACHED.items()}
    assert listed.headers["cache-control"] == "private, no-cache"


async def test_what_becomes_private_or_is_deleted_is_gone_at_the_next_question_of_a_cache(service: Service) -> None:
    hidden = await send(service, jpeg(seed=1, size=(96, 72)), visibility="public")
    deleted = await send(service, jpeg(seed=2, size=(96, 72)), visibility="public")
    known: dict[str, str] = {}
    for sent in (hidden, deleted):
        await service.image_of(sent)
        for path in (sent["url"], f"{sent['url']}/renditions/thumb.webp"):
            known[path] = (await service.anyone.get(path)).headers["etag"]

    async def asked() -> list[httpx.Response]:
        return [await service.anyone.get(path, headers={"If-None-Match": etag}) for path, etag in known.items()]

    before = await asked()
    await service.owner.patch(hidden["url"], json={"visibility": "private"})
    await service.owner.delete(deleted["url"])
    after = await asked()

    assert [answer.status_code for answer in before] == [304] * 4
    assert [answer.status_code for answer in after] == [404] * 4
    assert {answer.headers["cache-control"] for answer in after} == {"no-store"}
