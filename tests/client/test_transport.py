"""How the client handles broken connections, busy services and refusals."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Unpack

import httpx
import pytest

from imagesvc.client import AccessDenied, Client, Context, FileUnreadable, Refused, ServerUnavailable
from imagesvc.client.file_reader import read_hash, stat_file
from imagesvc.client.models import LinkOptions
from imagesvc.client.transport import retry_after_seconds
from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from tests.client.pictures import content
from tests.client.proxy import FaultyProxy, busy, faulty_proxy
from tests.support.people import People
from tests.support.processes import until
from tests.support.service import Service, running_service

LARGE = 9 * 1024 * 1024


@pytest.fixture
async def proxy(idle_service: Service) -> AsyncIterator[FaultyProxy]:
    async with faulty_proxy(idle_service.url) as proxy:
        yield proxy


async def client_with_link(service: Service, proxy: FaultyProxy, **options: Unpack[LinkOptions]) -> Client:
    """A client with a new link that sends its requests through the proxy."""
    link = await service.new_link(**options)
    return Client.through(f"{proxy.url}/u/{link['token']}", retry_timeout_seconds=20)


def write_file(folder: Path, data: bytes | None = None, name: str = "a.jpg") -> Path:
    path = folder / name
    path.write_bytes(content() if data is None else data)
    return path


async def test_a_retry_waits_for_the_retry_after_of_a_busy_service(
    idle_service: Service, proxy: FaultyProxy, tmp_path: Path
) -> None:
    proxy.refusals = [busy(seconds=1)]

    async with await client_with_link(idle_service, proxy) as client:
        sent = await client.upload(write_file(tmp_path))

    refused, taken = proxy.uploads
    assert sent.status == "created"
    assert refused.ended_at is not None
    assert taken.started_at - refused.ended_at >= 1.0


async def test_a_retry_after_beyond_the_retry_timeout_ends_the_call(
    idle_service: Service, proxy: FaultyProxy, tmp_path: Path
) -> None:
    proxy.refusals = [busy(seconds=3600)]

    async with await client_with_link(idle_service, proxy) as client:
        with pytest.raises(ServerUnavailable, match="Too many uploads are under way"):
            await client.upload(write_file(tmp_path))

    assert len(proxy.uploads) == 1


async def test_a_lost_answer_leaves_one_image(idle_service: Service, proxy: FaultyProxy, tmp_path: Path) -> None:
    proxy.cut_answer = True

    async with await client_with_link(idle_service, proxy) as client:
        sent = await client.upload(write_file(tmp_path))

    assert sent.status == "duplicate"
    assert len(proxy.uploads) == 2
    totals = (await idle_service.owner.get("/v1/stats")).json()["totals"]
    assert totals["images"] == 1


async def test_a_large_file_resumes_where_the_connection_broke(
    idle_service: Service, proxy: FaultyProxy, tmp_path: Path
) -> None:
    data = content(LARGE)
    path = write_file(tmp_path, data)
    proxy.cut_after = 6 * 1024 * 1024

    async with await client_with_link(idle_service, proxy) as client:
        sent = await client.upload(path)

    assert sent.status == "created"
    creations = [request for request in proxy.requests if request.method == "POST"]
    sent_bytes = sum(request.body_bytes for request in proxy.requests)
    assert len(creations) == 1
    assert sent_bytes < LARGE + 2 * 1024 * 1024, "bytes that had arrived were sent again"
    image = await idle_service.owner.get(f"/v1/uploads/{sent.upload_id}")
    assert image.json()["image"]["sha256"] == hashlib.sha256(data).hexdigest()


async def test_a_large_file_that_changed_since_it_was_hashed_is_not_sent(
    idle_service: Service, proxy: FaultyProxy, tmp_path: Path
) -> None:
    path = write_file(tmp_path, content(LARGE))
    contents = read_hash(stat_file(path))
    path.write_bytes(content(LARGE))

    async with await client_with_link(idle_service, proxy) as client:
        with pytest.raises(FileUnreadable, match="changed"):
            await client.upload_resumably(contents, Context())


async def test_an_upload_that_the_service_no_longer_has_is_created_again(
    idle_service: Service, proxy: FaultyProxy, tmp_path: Path
) -> None:
    contents = read_hash(stat_file(write_file(tmp_path, content(LARGE))))
    lost = "01995f4e-2f6c-7c3e-9a8d-0f8e5b7f1a13"

    async with await client_with_link(idle_service, proxy) as client:
        sent = await client.upload_resumably(contents, Context(), upload_id=lost)

    assert sent.status == "created"


async def test_a_refusal_is_not_retried_and_carries_its_problem(
    idle_service: Service, proxy: FaultyProxy, tmp_path: Path
) -> None:
    async with await client_with_link(idle_service, proxy) as client:
        with pytest.raises(Refused) as small:
            await client.upload(write_file(tmp_path, b"no picture"))
        with pytest.raises(Refused) as large:
            await client.upload(write_file(tmp_path, b"\0" * LARGE, name="large.jpg"))

    assert (small.value.problem.status, small.value.problem.slug) == (415, "unsupported-media-type")
    assert large.value.problem.slug == "unsupported-media-type"
    assert not isinstance(small.value, AccessDenied)


async def test_no_request_is_sent_after_a_link_is_used_up(
    idle_service: Service, proxy: FaultyProxy, tmp_path: Path
) -> None:
    async with await client_with_link(idle_service, proxy, max_files=1) as client:
        await client.upload(write_file(tmp_path))
        with pytest.raises(AccessDenied) as first:
            await client.upload(write_file(tmp_path, name="b.jpg"))
        requests = len(proxy.requests)
        with pytest.raises(AccessDenied) as second:
            await client.upload(write_file(tmp_path, name="c.jpg"))

    assert [denied.value.problem.slug for denied in (first, second)] == ["link-used-up"] * 2
    assert len(proxy.requests) == requests


async def test_an_upload_continues_when_the_service_is_back(
    idle_service: Service, proxy: FaultyProxy, tmp_path: Path
) -> None:
    async with await client_with_link(idle_service, proxy) as client:
        await client.upload(write_file(tmp_path))
        proxy.is_away = True
        proxy.close_connections()
        uploading = asyncio.create_task(client.upload(write_file(tmp_path, name="b.jpg")))
        await until(lambda: _has_refused_two(proxy))
        proxy.is_away = False

        assert (await uploading).status == "created"


async def _has_refused_two(proxy: FaultyProxy) -> bool:
    return proxy.refused_connections >= 2


async def test_an_unreachable_server_is_reported_soon_and_without_the_secret() -> None:
    async with Client.through("http://127.0.0.1:9/u/a-secret", retry_timeout_seconds=0.5) as client:
        with pytest.raises(ServerUnavailable, match=r"^http://127.0.0.1:9: cannot be reached") as unavailable:
            await client.check(["0" * 64])

    assert "a-secret" not in str(unavailable.value)


async def test_an_account_logs_in_and_logs_in_again_when_its_token_expires(
    settings_with: Callable[..., Settings], sandbox: Sandbox, tmp_path: Path
) -> None:
    settings = settings_with(access_token_seconds=2)
    async with (
        running_service(settings, sandbox, with_worker=False) as service,
        faulty_proxy(service.url) as proxy,
        People(service) as people,
    ):
        ann = await people.new("ann")
        async with Client(proxy.url, account="ann", password=ann.password) as client:
            first = await client.upload(write_file(tmp_path), Context(visibility="public", description="a shelf"))
            later = await people.holding((await people.log_in("ann", ann.password)).json()["access_token"])

            async def has_expired() -> bool:
                return (await later.get("/v1/users/me")).status_code == 401

            await until(has_expired)
            again = await client.upload(write_file(tmp_path, name="b.jpg"))

        shown = (await service.anyone.get(f"/v1/images/{first.image_id}")).json()

    assert (shown["visibility"], shown["description"]) == ("public", "a shelf")
    assert again.status == "created"
    assert [request.path for request in proxy.requests].count("/v1/auth/token") == 2


async def test_a_wrong_password_denies_access(idle_service: Service) -> None:
    async with Client(idle_service.url, account="ann", password="wrong") as client:
        with pytest.raises(AccessDenied) as denied:
            await client.check(["0" * 64])

    assert denied.value.problem.slug == "wrong-password"


async def test_check_returns_exactly_the_contents_that_the_service_has(idle_service: Service, tmp_path: Path) -> None:
    known = write_file(tmp_path)
    hashes = [hashlib.sha256(known.read_bytes()).hexdigest(), *(f"{number:064x}" for number in range(1200))]
    token = idle_service.settings.admin_token
    assert token is not None

    async with Client(idle_service.url, token=token.get_secret_value()) as client:
        sent = await client.upload(known)
        have = await client.check(hashes)

    assert have == {hashes[0]: sent.image_id}


@pytest.mark.parametrize("address", ["example.org", "ftp://example.org", "http://", "http://ann:pw@example.org", "//x"])
def test_an_invalid_server_address_raises_at_once(address: str) -> None:
    with pytest.raises(ValueError, match="not the address"):
        Client(address)


@pytest.mark.parametrize("link", ["http://example.org/", "http://example.org/u/", "http://example.org/u/a/b", "u/x"])
def test_an_invalid_link_raises_without_repeating_it(link: str) -> None:
    with pytest.raises(ValueError, match="not a link") as error:
        Client.through(link)

    assert link not in str(error.value).replace("https://images.example.org/u/…", "")


@pytest.mark.parametrize(
    ("value", "min_seconds", "max_seconds"),
    [("7", 7, 7), ("Fri, 31 Dec 2199 23:59:59 GMT", 1e9, 1e11), ("Sat, 01 Jan 2000 00:00:00 GMT", 0, 0), ("x", 0, 0)],
)
def test_retry_after_is_seconds_or_a_date(value: str, min_seconds: float, max_seconds: float) -> None:
    seconds = retry_after_seconds(httpx.Response(503, headers={"Retry-After": value}))

    assert min_seconds <= seconds <= max_seconds
