"""The service behind a real PgBouncer: what works in which mode, and what is refused at the start."""

import asyncio
from collections import Counter
from collections.abc import Callable
from hashlib import sha256

import pytest

from imagesvc.pooler import UnusablePooler, require_usable_pooler, store_session_settings
from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from tests.cli.test_serve import environment_of, imagesvc
from tests.support.images import jpeg
from tests.support.pgbouncer import TIMEOUTS, pgbouncer, requires_pgbouncer
from tests.support.service import Service, running_service
from tests.uploads.tus.tus import of_user

NewSettings = Callable[..., Settings]
pytestmark = requires_pgbouncer


async def one_of_each(service: Service, seed: int) -> list[int]:
    """The statuses of requests of most kinds."""
    data, owner, tus = jpeg(seed=seed, size=(64, 48)), service.owner, of_user(service)
    link = await owner.post("/v1/links", json={"expires_in": 600, "max_files": 5})
    put = await service.anyone.put(f"/u/{link.json()['token']}/a.jpg", content=data)
    form = await owner.post("/v1/images", files=[("file", ("b.jpg", jpeg(seed=seed + 1000, size=(64, 48))))])
    created = await tus.create(len(data))
    patched = await tus.patch(created.headers["location"], 0, data)
    receipt = put.json()["results"][0]["upload_id"]
    waited = await owner.get(f"/v1/uploads/{receipt}", params={"wait": 30})
    image = waited.json()["image"]
    seen = [
        await owner.get("/v1/images", params={"q": "a"}),
        await owner.get(f"/v1/images/{image['id']}"),
        await owner.get(f"/v1/images/{image['id']}/original"),
        await owner.patch(f"/v1/images/{image['id']}", json={"title": f"Picture {seed}"}),
        await owner.get("/v1/stats"),
        await owner.get("/v1/links"),
    ]
    assert image["state"] == "ready"
    assert image["sha256"] == sha256(data).hexdigest()
    return [answer.status_code for answer in (link, put, form, created, patched, waited, *seen)]


@pytest.mark.parametrize("mode", ["session", "transaction"])
async def test_the_service_works_behind_it(
    mode: str, settings: Settings, settings_with: NewSettings, sandbox: Sandbox
) -> None:
    await store_session_settings(settings_with(database_pooler=mode))
    async with pgbouncer(settings.database_url.get_secret_value(), mode=mode) as url:
        behind = settings_with(database_url=url, database_pooler=mode)
        await require_usable_pooler(behind)
        async with running_service(behind, sandbox) as service:
            statuses = await asyncio.gather(*(one_of_each(service, seed) for seed in range(24)))

    counted = Counter(status for each in statuses for status in each)
    assert set(counted) <= {200, 201, 204}, counted


async def test_a_mode_that_is_not_the_set_one_is_refused(settings: Settings, settings_with: NewSettings) -> None:
    async with pgbouncer(settings.database_url.get_secret_value(), mode="transaction", ignored=TIMEOUTS) as url:
        for said in ("none", "session"):
            with pytest.raises(UnusablePooler, match=f"transaction mode, but IMAGESVC_DATABASE_POOLER is {said}"):
                await require_usable_pooler(settings_with(database_url=url, database_pooler=said))


@pytest.mark.parametrize("mode", ["session", "transaction"])
async def test_timeouts_that_do_not_arrive_are_refused_until_migrate_has_stored_them(
    mode: str, settings: Settings, settings_with: NewSettings
) -> None:
    async with pgbouncer(settings.database_url.get_secret_value(), mode=mode) as url:
        behind = settings_with(database_url=url, database_pooler=mode, port=0)
        environment = environment_of(behind)
        refused = await asyncio.to_thread(imagesvc, "worker", environment=environment)
    async with pgbouncer(settings.database_url.get_secret_value(), mode=mode) as url:
        behind = settings_with(database_url=url, database_pooler=mode)
        migrated = await asyncio.to_thread(imagesvc, "migrate", environment=environment_of(behind))
    async with pgbouncer(settings.database_url.get_secret_value(), mode=mode) as url:
        await require_usable_pooler(settings_with(database_url=url, database_pooler=mode))

    assert (refused.returncode, migrated.returncode) == (1, 0), migrated.stderr
    assert "have lock_timeout = 0 instead of 10000: run `imagesvc migrate`" in refused.stderr


async def test_timeouts_that_it_drops_silently_are_refused(settings: Settings, settings_with: NewSettings) -> None:
    async with pgbouncer(settings.database_url.get_secret_value(), mode="session", ignored=TIMEOUTS) as url:
        with pytest.raises(UnusablePooler, match="lock_timeout = 0 instead of 10000"):
            await require_usable_pooler(settings_with(database_url=url))


async def test_a_startup_parameter_that_it_refuses_names_the_setting(
    settings: Settings, settings_with: NewSettings
) -> None:
    async with pgbouncer(settings.database_url.get_secret_value(), mode="session") as url:
        environment = environment_of(settings_with(database_url=url))
        refused = await asyncio.to_thread(imagesvc, "worker", environment=environment)

    assert refused.returncode == 1
    assert "unsupported startup parameter" in refused.stderr
    assert "set IMAGESVC_DATABASE_POOLER to its mode" in refused.stderr
