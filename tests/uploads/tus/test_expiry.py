"""Resumable uploads expire, and so many may be unfinished, of so many bytes."""

from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy import text

from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from tests.support.service import Service, running_service
from tests.support.traces import NOTHING
from tests.uploads.tus.test_ends import DATA, change, let_expire, reserved, what_is_left
from tests.uploads.tus.tus import MIB, of_link, of_user, verdict


@pytest.fixture
async def few(settings_with: Callable[..., Settings], sandbox: Sandbox) -> AsyncIterator[Service]:
    """A service where two uploads may be unfinished at once."""
    settings = settings_with(resumable_max_unfinished=2, max_file_bytes=100_000)
    async with running_service(settings, sandbox, with_worker=False) as running:
        yield running


async def test_an_abandoned_upload_expires_and_releases_its_resources(idle_service: Service) -> None:
    tus, link = await of_link(idle_service, max_files=2)
    small, large = await tus.new(len(DATA[0]), DATA[0][:100]), await tus.new(12 * MIB, DATA[1] + bytes(9 * MIB))
    await let_expire(idle_service)

    before = [await tus.head(small), await tus.patch(large, 0, b"x")]
    ended = await idle_service.background.expiry.expire()
    after = await tus.head(large)

    assert [answer.status_code for answer in (*before, after)] == [410] * 3
    assert ended == 2
    assert after.headers["imagesvc-problem"] == "upload-expired"
    assert await reserved(idle_service, link) == (0, 0)
    assert await what_is_left(idle_service) == NOTHING


async def test_going_on_puts_expiry_off_but_not_for_ever(idle_service: Service) -> None:
    tus = of_user(idle_service)
    upload = await tus.new(1000, DATA[0][:100])
    await change(idle_service, "UPDATE resumable_uploads SET expires_at = now() + interval '1 minute'")
    await tus.patch(upload, 100, DATA[0][100:200])
    put_off = await _hours_left(idle_service)
    await change(idle_service, "UPDATE resumable_uploads SET created_at = now() - interval '167 hours'")
    await tus.patch(upload, 200, DATA[0][200:300])

    assert put_off == pytest.approx(24, abs=0.1)
    assert await _hours_left(idle_service) == pytest.approx(1, abs=0.1)


async def _hours_left(service: Service) -> float:
    left = "SELECT extract(epoch FROM expires_at - now())::float8 / 3600 FROM resumable_uploads"
    async with service.background.servers.database.engine.connect() as connection:
        return float((await connection.execute(text(left))).scalar_one())


async def test_results_are_kept_for_a_limited_time(idle_service: Service) -> None:
    tus = of_user(idle_service)
    done = await tus.create(len(DATA[0]), DATA[0])
    await change(idle_service, "UPDATE resumable_uploads SET expires_at = now()")

    forgotten = await idle_service.background.expiry.expire()

    assert forgotten == 1
    assert (await tus.head(done.headers["location"])).status_code == 404
    assert (await idle_service.owner.get(done.headers["imagesvc-url"])).status_code == 200


async def test_so_many_uploads_may_be_unfinished_and_not_one_more(few: Service) -> None:
    user, (link, _) = of_user(few), await of_link(few)

    made = [await tus.create(100) for tus in (user, link) for _ in range(3)]
    await user.delete(made[0].headers["location"])
    after = await user.create(100)

    assert [answer.status_code for answer in made] == [201, 201, 429] * 2
    assert verdict(made[2]) == (429, "too-many-unfinished")
    assert int(made[2].headers["retry-after"]) > 0
    assert after.status_code == 201


async def test_an_upload_may_be_as_long_as_the_limit_and_not_a_byte_longer(few: Service) -> None:
    tus = of_user(few)

    at, over = await tus.create(100_000), await tus.create(100_001)

    assert (at.status_code, verdict(over)) == (201, (413, "file-too-large"))
    assert over.json()["max_file_bytes"] == 100_000
