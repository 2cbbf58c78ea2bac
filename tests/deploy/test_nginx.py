"""The shipped proxy configuration in a real nginx: what it passes on, caches, hides and refuses."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn

from tests.support.images import jpeg
from tests.support.nginx import NginxProxy, free_ports, needs_nginx, running_nginx
from tests.support.service import Service
from tests.support.wire import connected

pytestmark = needs_nginx

TOKEN = "eyJhbGciOiJIUzI1NiJ9.a-token-that-must-stay-secret.c2lnbmF0dXJl"
MIB = 1024 * 1024


class Upstream:
    """Replaces the API in tests of what reaches it. It returns the request headers as JSON."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.arrived = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.paths.append(scope["path"])
        while True:
            message = await receive()
            if message.get("body"):
                self.arrived.set()
            if not message.get("more_body"):
                break
        body = json.dumps({name.decode(): value.decode() for name, value in scope["headers"]}).encode()
        head = [(b"content-length", str(len(body)).encode()), (b"cache-control", b"public, max-age=60")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def upstream() -> AsyncIterator[tuple[Upstream, str]]:
    app, (port,) = Upstream(), free_ports(1)
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0.01)
    yield app, f"127.0.0.1:{port}"
    server.should_exit = True
    await serving


@pytest.fixture
async def before_upstream(tmp_path: Path, upstream: tuple[Upstream, str]) -> AsyncIterator[NginxProxy]:
    async with running_nginx(tmp_path, api=upstream[1]) as proxy:
        yield proxy


@contextlib.asynccontextmanager
async def client_of(proxy: NginxProxy, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=proxy.url, headers=headers, verify=False, timeout=30) as client:
        yield client


async def test_only_public_renditions_without_credentials_are_cached(service: Service, tmp_path: Path) -> None:
    files = [("file", (name, jpeg(seed=seed, size=(320, 240)))) for seed, name in enumerate(("a.jpg", "b.jpg"))]
    sent = (await service.owner.post("/v1/images", files=files)).json()["results"]
    public, private = [(await service.image_of(result))["id"] for result in sent]
    seen = await service.owner.get(f"/v1/images/{public}")
    etag = {"If-Match": seen.headers["etag"]}
    await service.owner.patch(f"/v1/images/{public}", json={"visibility": "public"}, headers=etag)
    shown, hidden = (f"/v1/images/{image}/renditions/thumb.webp" for image in (public, private))
    bearer = {"Authorization": service.owner.headers["authorization"]}

    async with running_nginx(tmp_path, api=urlsplit(service.url).netloc) as proxy, client_of(proxy) as anyone:
        first, second = await anyone.get(shown), await anyone.get(shown)
        ranged = await anyone.get(shown, headers={"Range": "bytes=0-9"})
        known = await anyone.get(shown, headers={"If-None-Match": first.headers["etag"]})
        with_key = await anyone.get(shown, headers=bearer)
        with_bad_key = await anyone.get(shown, headers={"Authorization": "Bearer nonsense"})
        with_cookie = await anyone.get(shown, headers={"Cookie": "session=1"})
        owners = await anyone.get(hidden, headers=bearer)
        anonymous = [await anyone.get(hidden), await anyone.get(hidden)]

    assert [answer.status_code for answer in (first, second, ranged, known)] == [200, 200, 206, 304]
    assert first.headers["cache-status"].endswith("fwd=miss")
    assert {answer.headers["cache-status"].rpartition(" ")[2] for answer in (second, ranged, known)} == {"hit"}
    assert second.content == first.content
    assert with_key.headers["cache-status"].endswith("fwd=bypass")
    assert with_cookie.headers["cache-status"].endswith("fwd=bypass")
    assert with_bad_key.status_code == 401
    assert owners.status_code == 200
    assert [(answer.status_code, answer.headers["cache-status"]) for answer in anonymous] == [
        (404, "imagesvc-proxy; fwd=miss")
    ] * 2


async def test_responses_to_requests_with_credentials_are_not_cached(
    before_upstream: NginxProxy, upstream: tuple[Upstream, str]
) -> None:
    path = "/v1/images/1/renditions/thumb.webp"
    async with client_of(before_upstream) as client:
        await client.get(path, headers={"Authorization": "Bearer key"})
        await client.get(path, headers={"Cookie": "session=1"})
        anonymous = await client.get(path)
        other_query = await client.get(path, params={"x": "1"})

    assert anonymous.headers["cache-status"].endswith("fwd=miss")
    assert other_query.headers["cache-status"].endswith("hit")
    assert len(upstream[0].paths) == 3


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", f"/u/{TOKEN}/a.jpg"), ("POST", "/v1/images"), ("PATCH", "/v1/tus/1")]
)
async def test_a_body_reaches_the_api_while_the_client_still_sends_it(
    before_upstream: NginxProxy, upstream: tuple[Upstream, str], method: str, path: str
) -> None:
    app, size = upstream[0], 4 * MIB
    async with connected(before_upstream.url) as connection:
        await connection.begin(method, path, f"Content-Length: {size}", "Connection: close")
        await connection.send(bytes(64 * 1024))
        async with asyncio.timeout(10):
            await app.arrived.wait()
        await connection.send(bytes(size - 64 * 1024))
        answer = await connection.last_answer()

    assert answer.startswith(b"HTTP/1.1 200")


async def test_large_files_pass_and_early_refusals_reach_a_sending_client(service: Service, tmp_path: Path) -> None:
    link = await service.new_link()
    # trailing bytes do not make a JPEG invalid
    large = jpeg(seed=9, size=(64, 64)) + bytes(9 * MIB)

    async with running_nginx(tmp_path, api=urlsplit(service.url).netloc) as proxy, client_of(proxy) as client:
        taken = await client.put(f"{link['path']}/large.jpg", content=large)
        no_image = await client.put(f"{link['path']}/a.txt", content=b"text" * (2 * MIB))
        no_link = await client.put(f"/u/{TOKEN}/a.jpg", content=large)
        too_much_json = await client.post("/v1/links", content=bytes(3 * MIB))

    assert taken.status_code == 201
    assert (no_image.status_code, no_image.json()["type"]) == (415, "/problems/unsupported-media-type")
    assert no_link.status_code == 401
    assert (too_much_json.status_code, too_much_json.json()["type"]) == (413, "/problems/body-too-large")
    assert too_much_json.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/readyz", "//metrics", "/%6detrics", "/metrics?x=1", "/docs/../readyz", "/./metrics", "/readyz#x"],
)
async def test_metrics_and_readiness_are_not_public(
    before_upstream: NginxProxy, upstream: tuple[Upstream, str], path: str
) -> None:
    async with connected(before_upstream.url) as connection:
        await connection.begin("GET", path)
        answer = await connection.answer()

    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "/problems/not-found"
    assert upstream[0].paths == []


@pytest.mark.parametrize("is_up", [True, False])
async def test_no_spelling_of_a_path_puts_a_token_into_the_logs(
    tmp_path: Path, upstream: tuple[Upstream, str], is_up: bool
) -> None:
    paths = [f"/u/{TOKEN}", f"/s/{TOKEN}", f"/u/{TOKEN}/uploads/7?token={TOKEN}", f"//u//{TOKEN}/a", f"/%75/{TOKEN}"]
    paths += [f"/U/{TOKEN}", f"/./s/{TOKEN}", f"/x/../u/{TOKEN}/tus", f"/u/-/{TOKEN[:5]}.jpg"]
    async with running_nginx(tmp_path, api=upstream[1] if is_up else "127.0.0.1:1") as proxy:
        async with connected(proxy.url) as connection:
            for path in paths:
                head = (f"Referer: http://x/u/{TOKEN}", f"Authorization: Bearer {TOKEN}", f"Cookie: a={TOKEN}")
                await connection.begin("GET", path, *head)
                await connection.answer()
        async with asyncio.timeout(5):
            while proxy.access_log.read_text().count("\n") < len(paths):
                await asyncio.sleep(0.01)
        logs, lines = proxy.logs(), proxy.access_log.read_text().splitlines()

    assert TOKEN not in logs
    assert TOKEN.split(".")[1] not in logs
    assert [json.loads(line)["path"] for line in lines][:3] == ["/u/[hidden]", "/s/[hidden]", "/u/[hidden]/uploads/7"]
    assert json.loads(lines[-1])["path"] == f"/u/[hidden]/{TOKEN[:5]}.jpg"


async def test_an_unavailable_api_is_answered_with_a_temporary_problem(tmp_path: Path) -> None:
    async with running_nginx(tmp_path, api="127.0.0.1:1") as proxy, client_of(proxy) as client:
        answers = [await client.get("/v1/images"), await client.put(f"/u/{TOKEN}/a.jpg", content=b"x")]

    assert [answer.status_code for answer in answers] == [503, 503]
    assert [answer.headers["retry-after"] for answer in answers] == ["5", "5"]
    assert answers[0].headers["content-type"] == "application/problem+json"
    assert answers[0].json()["type"] == "/problems/unavailable"


async def test_clients_cannot_set_forwarding_headers(before_upstream: NginxProxy) -> None:
    forged = {"X-Forwarded-For": "10.9.8.7", "X-Forwarded-Proto": "https", "Forwarded": "for=10.9.8.7"}
    async with client_of(before_upstream, **forged) as client:
        plain, streamed = await client.get("/v1/links"), await client.get("/u/-")
        received = [plain.json(), streamed.json()]

    assert [headers["x-forwarded-for"] for headers in received] == ["127.0.0.1"] * 2
    assert [headers["x-forwarded-proto"] for headers in received] == ["http"] * 2
    assert not any("forwarded" in headers for headers in received)
