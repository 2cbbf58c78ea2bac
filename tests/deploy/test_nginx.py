"""The shipped proxy configuration in a real nginx: forwarding, caching, hidden paths and refusals."""

import asyncio
import base64
import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
import uvicorn

from imagesvc.errors import ImagesvcError
from imagesvc.images.service import MAX_WAIT_SECONDS
from imagesvc.settings import Settings
from imagesvc.uploads.tus.service import FINISH_WAIT_SECONDS
from tests.support.images import jpeg
from tests.support.nginx import SHIPPED, NginxProxy, free_ports, needs_nginx, running_nginx
from tests.support.service import Service
from tests.support.wire import connected

pytestmark = needs_nginx

TOKEN = "eyJhbGciOiJIUzI1NiJ9.a-token-that-must-stay-secret.c2lnbmF0dXJl"
MIB = 1024 * 1024


class Upstream:
    """Replaces the API and records the paths that reach it. It returns the request headers as JSON."""

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


def test_the_problems_of_the_proxy_are_those_of_the_api() -> None:
    block = re.search(r"map \$status \$problem \{(.*?)\n    \}", SHIPPED.read_text(), re.DOTALL)
    assert block is not None
    documents = [json.loads(text) for text in re.findall(r"'(\{.*?\})';", block[1])]
    classes = {kind.slug: kind for kind in reversed(list(error_classes(ImagesvcError)))}

    assert len(documents) == 10
    for document in documents:
        kind = classes[document["type"].removeprefix("/problems/")]
        assert (document["status"], document["title"]) == (kind.status, kind.title)


@pytest.mark.parametrize(
    ("head", "status", "slug"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "malformed-request"),
        (b"G\x01T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "malformed-request"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "malformed-request"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400, "malformed-request"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: rot13\r\n\r\n", 400, "malformed-request"),
        (b"GET / HTTP/3.1\r\nHost: a\r\n\r\n", 400, "malformed-request"),
        (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, "method-not-allowed"),
        (b"POST /v1/links HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n", 413, "body-too-large"),
        (b"GET /?q=" + b"a" * 140_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "url-too-long"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 140_000 + b"\r\n\r\n", 431, "headers-too-large"),
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 404, "not-found"),
    ],
)
async def test_every_refusal_of_the_proxy_itself_is_a_problem(
    before_upstream: NginxProxy, upstream: tuple[Upstream, str], head: bytes, status: int, slug: str
) -> None:
    async with connected(before_upstream.url) as connection:
        await connection.send(head)
        answer = await connection.answer()

    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["type"] == f"/problems/{slug}"
    assert answer.json()["status"] == status
    assert answer.json()["instance"] == answer.headers["x-request-id"]
    assert upstream[0].paths == []


def error_classes(root: type[ImagesvcError]) -> Iterator[type[ImagesvcError]]:
    yield root
    for kind in root.__subclasses__():
        yield from error_classes(kind)


async def test_a_broken_response_of_the_api_is_a_temporary_problem(tmp_path: Path) -> None:
    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-")
        writer.close()

    async with await asyncio.start_server(break_off, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        async with running_nginx(tmp_path, api=f"{host}:{port}") as proxy, client_of(proxy) as client:
            answer = await client.post("/v1/links", json={})

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["type"] == "/problems/unavailable"


LETTERS = "\N{CJK UNIFIED IDEOGRAPH-20000}" * 5_000


async def test_the_proxy_passes_all_that_the_api_accepts(service: Service, tmp_path: Path) -> None:
    link, data = await service.new_link(), jpeg(seed=3)
    context = {"description": LETTERS, "store_name": LETTERS[:200], "barcode": "4" * 100}
    metadata = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in context.items())
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(data)), "Upload-Metadata": metadata}
    urls = [f"https://images.example.org/{'x' * 500}/{number}.jpg" for number in range(10_000)]
    visit = {"store_id": "S1", "visit_time": "2026-11-20T10:00:00Z", "image_url": urls}
    await service.owner.put("/v1/stores/S1", json={"name": "Shop", "area_code": "A"})

    async with (
        running_nginx(tmp_path, api=urlsplit(service.url).netloc) as proxy,
        client_of(proxy, Authorization=service.owner.headers["authorization"]) as client,
    ):
        raw = await client.put(f"{link['path']}/a.jpg", params=context, content=data)
        created = await client.post(f"{link['path']}/tus", headers=tus, content=b"")
        job = await client.post("/v1/jobs", json={"count": 1, "visits": [visit]})

    assert (raw.status_code, created.status_code, job.status_code) == (201, 201, 201), (raw.text, job.text)
    upload = await service.upload_of(raw.json()["results"][0])
    assert upload["image"]["description"] == LETTERS


async def test_large_bodies_get_the_same_response_with_and_without_the_proxy(service: Service, tmp_path: Path) -> None:
    document = (await service.owner.get("/openapi.json")).json()
    operations = [
        (
            method.upper(),
            re.sub(r"\{.*?\}", "0", re.sub(r"\{\w+_id\}", str(uuid4()), path)),
            next(iter(operation["requestBody"]["content"])),
        )
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in ("post", "put", "patch") and "requestBody" in operation
    ]
    head = {"authorization": service.owner.headers["authorization"]}
    head |= {"tus-resumable": "1.0.0", "upload-offset": "0", "upload-length": str(3 * MIB)}

    async with running_nginx(tmp_path, api=urlsplit(service.url).netloc) as proxy, client_of(proxy) as through:
        for method, path, media_type in operations:
            answers = [
                await client.request(
                    method, path, content=b" " * (3 * MIB), headers={**head, "content-type": media_type}
                )
                for client in (service.owner, through)
            ]
            types = [answer.json().get("type") if answer.content else None for answer in answers]
            assert [answer.status_code for answer in answers] == [answers[0].status_code] * 2, (method, path, types)
            assert types[0] == types[1], (method, path)

    assert len(operations) > 15


def test_the_timeouts_of_the_proxy_are_longer_than_those_of_the_api(settings: Settings) -> None:
    text = SHIPPED.read_text()

    def seconds(directive: str) -> list[float]:
        return [float(value) for value in re.findall(rf"^ *{directive} (\d+)s;", text, re.MULTILINE)]

    assert min(seconds("client_body_timeout")) > settings.upload_idle_seconds
    assert min(seconds("proxy_send_timeout")) > settings.upload_idle_seconds
    assert min(seconds("proxy_read_timeout")) > MAX_WAIT_SECONDS + settings.database_statement_seconds
    assert min(seconds("proxy_read_timeout")) > FINISH_WAIT_SECONDS


async def test_ranges_of_a_cached_rendition_are_those_of_the_api(service: Service, tmp_path: Path) -> None:
    file = {"file": ("a.jpg", jpeg(seed=5))}
    sent = await service.owner.post("/v1/images", data={"visibility": "public"}, files=file)
    image = await service.image_of(sent.json()["results"][0])
    path = f"/v1/images/{image['id']}/renditions/thumb.webp"
    ranges = ["bytes=0-9", "bytes=-5", "bytes=5-", "bytes=0-0,2-3", "bytes=99999999-", "bytes=-0", "x=0-1"]

    async with running_nginx(tmp_path, api=urlsplit(service.url).netloc) as proxy, client_of(proxy) as anyone:
        await anyone.get(path)
        for text in ranges:
            direct = await service.anyone.get(path, headers={"Range": text})
            cached = await anyone.get(path, headers={"Range": text})
            assert cached.headers["cache-status"].endswith("hit") or cached.status_code == 416
            for name in ("content-range", "content-type", "content-length"):
                if cached.status_code != 416 or name != "content-length":
                    assert cached.headers.get(name) == direct.headers.get(name), (text, name)
            assert cached.status_code == direct.status_code, text


async def test_clients_cannot_set_forwarding_headers(before_upstream: NginxProxy) -> None:
    forged = {"X-Forwarded-For": "10.9.8.7", "X-Forwarded-Proto": "https", "Forwarded": "for=10.9.8.7"}
    async with client_of(before_upstream, **forged) as client:
        plain, streamed = await client.get("/v1/links"), await client.get("/u/-")
        received = [plain.json(), streamed.json()]

    assert [headers["x-forwarded-for"] for headers in received] == ["127.0.0.1"] * 2
    assert [headers["x-forwarded-proto"] for headers in received] == ["http"] * 2
    assert not any("forwarded" in headers for headers in received)
