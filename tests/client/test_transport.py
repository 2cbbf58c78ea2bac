"""What the client makes of bad lines, busy services and closed doors."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from imagesvc.client import Client, Context, DoorClosed, FileUnusable, Refused, ServerAway
from imagesvc.client.file_reader import look_at, read_hash
from imagesvc.client.transport import retry_after_seconds
from imagesvc.processing.sandbox import Sandbox
from imagesvc.settings import Settings
from tests.client.pictures import content
from tests.client.proxy import Line, busy, line_to
from tests.support.people import People
from tests.support.processes import until
from tests.support.service import Service, running_service

LARGE = 9 * 1024 * 1024


@pytest.fixture
async def line(idle_service: Service) -> AsyncIterator[Line]:
    async with line_to(idle_service.url) as line:
        yield line


async def through(service: Service, line: Line, **wanted: Any) -> Client:
    """A client that holds a new link and comes over that line."""
    link = await service.new_link(**wanted)
    return Client.through(f"{line.url}/u/{link['token']}", patience_seconds=20)


def a_file(folder: Path, data: bytes | None = None, name: str = "a.jpg") -> Path:
    path = folder / name
    path.write_bytes(content() if data is None else data)
    return path


async def test_a_busy_service_is_asked_again_not_before_it_said(
    idle_service: Service, line: Line, tmp_path: Path
) -> None:
    line.refuse = [busy(seconds=1)]

    async with await through(idle_service, line) as client:
        sent = await client.upload(a_file(tmp_path))

    refused, taken = line.uploads
    assert sent.status == "created"
    assert refused.ended_at is not None
    assert taken.began_at - refused.ended_at >= 1.0


async def test_a_service_that_asks_for_more_patience_than_there_is_is_away(
    idle_service: Service, line: Line, tmp_path: Path
) -> None:
    line.refuse = [busy(seconds=3600)]

    async with await through(idle_service, line) as client:
        with pytest.raises(ServerAway, match="Too many uploads are under way"):
            await client.upload(a_file(tmp_path))

    assert len(line.uploads) == 1


async def test_a_lost_answer_leaves_one_image(idle_service: Service, line: Line, tmp_path: Path) -> None:
    line.cut_answer = True

    async with await through(idle_service, line) as client:
        sent = await client.upload(a_file(tmp_path))

    assert sent.status == "duplicate"
    assert len(line.uploads) == 2
    totals = (await idle_service.owner.get("/v1/stats")).json()["totals"]
    assert totals["images"] == 1


async def test_a_large_file_goes_on_where_the_line_broke(idle_service: Service, line: Line, tmp_path: Path) -> None:
    data = content(LARGE)
    path = a_file(tmp_path, data)
    line.cut_after = 6 * 1024 * 1024

    async with await through(idle_service, line) as client:
        sent = await client.upload(path)

    assert sent.status == "created"
    begun = [request for request in line.requests if request.method == "POST"]
    sent_bytes = sum(request.body_bytes for request in line.requests)
    assert len(begun) == 1
    assert sent_bytes < LARGE + 2 * 1024 * 1024, "what had arrived was sent again"
    image = await idle_service.owner.get(f"/v1/uploads/{sent.upload_id}")
    assert image.json()["image"]["sha256"] == hashlib.sha256(data).hexdigest()


async def test_a_large_file_that_was_changed_since_it_was_hashed_is_not_sent(
    idle_service: Service, line: Line, tmp_path: Path
) -> None:
    path = a_file(tmp_path, content(LARGE))
    contents = read_hash(look_at(path))
    path.write_bytes(content(LARGE))

    async with await through(idle_service, line) as client:
        with pytest.raises(FileUnusable, match="changed"):
            await client.upload_resumably(contents, Context())


async def test_an_upload_that_the_service_forgot_is_begun_anew(
    idle_service: Service, line: Line, tmp_path: Path
) -> None:
    contents = read_hash(look_at(a_file(tmp_path, content(LARGE))))
    forgotten = "01995f4e-2f6c-7c3e-9a8d-0f8e5b7f1a13"

    async with await through(idle_service, line) as client:
        sent = await client.upload_resumably(contents, Context(), known=forgotten)

    assert sent.status == "created"


async def test_a_refusal_is_not_tried_again_and_says_why(idle_service: Service, line: Line, tmp_path: Path) -> None:
    async with await through(idle_service, line) as client:
        with pytest.raises(Refused) as small:
            await client.upload(a_file(tmp_path, b"no picture"))
        with pytest.raises(Refused) as large:
            await client.upload(a_file(tmp_path, b"\0" * LARGE, name="large.jpg"))

    assert (small.value.problem.status, small.value.problem.slug) == (415, "unsupported-media-type")
    assert large.value.problem.slug == "unsupported-media-type"
    assert not isinstance(small.value, DoorClosed)


async def test_nothing_more_is_sent_through_a_link_that_is_gone(
    idle_service: Service, line: Line, tmp_path: Path
) -> None:
    async with await through(idle_service, line, max_files=1) as client:
        await client.upload(a_file(tmp_path))
        with pytest.raises(DoorClosed, match="has taken all"):
            await client.upload(a_file(tmp_path, name="b.jpg"))
        asked = len(line.requests)
        with pytest.raises(DoorClosed, match="has taken all"):
            await client.upload(a_file(tmp_path, name="c.jpg"))

    assert len(line.requests) == asked


async def test_a_service_that_comes_back_is_gone_on_with(idle_service: Service, line: Line, tmp_path: Path) -> None:
    async with await through(idle_service, line) as client:
        await client.upload(a_file(tmp_path))
        line.is_away = True
        line.hang_up()
        uploading = asyncio.create_task(client.upload(a_file(tmp_path, name="b.jpg")))
        await until(lambda: _refused_some(line))
        line.is_away = False

        assert (await uploading).status == "created"


async def _refused_some(line: Line) -> bool:
    return line.turned_away >= 2


async def test_nobody_there_is_told_soon_and_without_the_secret() -> None:
    async with Client.through("http://127.0.0.1:9/u/a-secret", patience_seconds=0.5) as client:
        with pytest.raises(ServerAway, match=r"^http://127.0.0.1:9: cannot be reached") as away:
            await client.check(["0" * 64])

    assert "a-secret" not in str(away.value)


async def test_an_account_logs_in_by_itself_and_again_when_its_token_has_expired(
    settings_with: Callable[..., Settings], sandbox: Sandbox, tmp_path: Path
) -> None:
    settings = settings_with(access_token_seconds=2)
    async with (
        running_service(settings, sandbox, with_worker=False) as service,
        line_to(service.url) as line,
        People(service) as people,
    ):
        ann = await people.new("ann")
        async with Client(line.url, account="ann", password=ann.password) as client:
            first = await client.upload(a_file(tmp_path), Context(visibility="public", description="a shelf"))
            later = await people.holding((await people.log_in("ann", ann.password)).json()["access_token"])

            async def has_expired() -> bool:
                return (await later.get("/v1/users/me")).status_code == 401

            await until(has_expired)
            again = await client.upload(a_file(tmp_path, name="b.jpg"))

        shown = (await service.anyone.get(f"/v1/images/{first.image_id}")).json()

    assert (shown["visibility"], shown["description"]) == ("public", "a shelf")
    assert again.status == "created"
    assert [request.path for request in line.requests].count("/v1/auth/token") == 2


async def test_a_wrong_password_ends_it(idle_service: Service) -> None:
    async with Client(idle_service.url, account="ann", password="wrong") as client:
        with pytest.raises(DoorClosed, match="Account or password is wrong"):
            await client.check(["0" * 64])


async def test_only_what_is_known_need_not_be_sent(idle_service: Service, tmp_path: Path) -> None:
    known = a_file(tmp_path)
    hashes = [hashlib.sha256(known.read_bytes()).hexdigest(), *(f"{number:064x}" for number in range(1200))]
    token = idle_service.settings.admin_token
    assert token is not None

    async with Client(idle_service.url, token=token.get_secret_value()) as client:
        sent = await client.upload(known)
        have = await client.check(hashes)

    assert have == {hashes[0]: sent.image_id}


@pytest.mark.parametrize("address", ["example.org", "ftp://example.org", "http://", "http://ann:pw@example.org", "//x"])
def test_what_is_no_address_is_told_at_once(address: str) -> None:
    with pytest.raises(ValueError, match="no address"):
        Client(address)


@pytest.mark.parametrize("link", ["http://example.org/", "http://example.org/u/", "http://example.org/u/a/b", "u/x"])
def test_what_is_no_link_is_told_without_repeating_it(link: str) -> None:
    with pytest.raises(ValueError, match="no link") as wrong:
        Client.through(link)

    assert link not in str(wrong.value).replace("https://images.example.org/u/…", "")


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [("7", 7, 7), ("Fri, 31 Dec 2199 23:59:59 GMT", 1e9, 1e11), ("Sat, 01 Jan 2000 00:00:00 GMT", 0, 0), ("x", 0, 0)],
)
def test_retry_after_is_seconds_or_a_date(value: str, least: float, most: float) -> None:
    assert least <= retry_after_seconds(httpx.Response(503, headers={"Retry-After": value})) <= most
