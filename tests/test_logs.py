"""Logs of the real processes: one JSON line per request, and no secrets (invariant 11)."""

import json
import signal
from collections.abc import Callable
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from imagesvc.settings import Settings
from imagesvc.wiring import Servers, open_servers
from tests.support.images import jpeg, truncated_jpeg
from tests.support.processes import api_process, process
from tests.support.wire import MULTIPART, connected, file_part, form

PASSWORD = "a long sentence of my own"
NEW = "another long sentence of my own"
WRONG = "Wr0ng-0123456789-abcdefghijklmnopqrstuvwxyz-XYZ"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def use_a_link(owner: httpx.AsyncClient, anyone: httpx.AsyncClient) -> list[str]:
    """Use every upload route of a link, successfully and not. Returns the secrets that must not be logged."""
    token = (await owner.post("/v1/links", json={"expires_in": 600})).json()["token"]
    path, image = f"/u/{token}", jpeg(seed=1)
    sent = await anyone.put(f"{path}/a.jpg", content=image)
    receipt = sent.json()["results"][0]["url"]
    await owner.get(f"/v1/uploads/{sent.json()['results'][0]['upload_id']}", params={"wait": 20})
    await anyone.post(path, content=form(file_part(truncated_jpeg(seed=2))), headers=MULTIPART)
    await anyone.put("/u/-/b.jpg", content=image, headers=bearer(token))
    await anyone.get(path)
    await anyone.get(receipt)
    await anyone.get(f"{receipt}/thumb.webp")
    await anyone.put(f"{path}/c.jpg", content=b"no image")
    await anyone.put(f"{path[:-3]}/c.jpg", content=image)
    await anyone.get(f"{path}/no/such/route")
    await anyone.get("/no/such/route", params={"token": token})
    await anyone.get(receipt, headers={"Referer": f"https://elsewhere.example.org{path}"})
    async with connected(str(anyone.base_url)) as connection:
        await connection.send(f"GET {path} HTTP/9.9\r\n\r\n".encode())
        await connection.last_answer()
    return [token, token[:-3], *token.split(".")]


async def use_an_account(owner: httpx.AsyncClient, anyone: httpx.AsyncClient) -> list[str]:
    """Log in successfully and not, use an API key, and share an image. Returns the secrets that must not be logged."""
    await owner.post("/v1/users", json={"account": "ann", "password": PASSWORD, "role": "member"})
    await anyone.post("/v1/auth/token", data={"username": "ann", "password": WRONG})
    granted = (await anyone.post("/v1/auth/token", data={"username": "ann", "password": PASSWORD})).json()
    ann = bearer(granted["access_token"])
    key = (await anyone.post("/v1/api-keys", json={"name": "till", "scopes": ["upload"]}, headers=ann)).json()["key"]
    sent = await anyone.post("/v1/images", content=form(file_part(jpeg(seed=3))), headers=MULTIPART | bearer(key))
    shares = f"{sent.json()['results'][0]['url']}/shares"
    made = await anyone.post(shares, json={"expires_in": 600, "what": "original"}, headers=ann)
    assert made.status_code == 201, made.text
    shared = made.json()["url"]
    await anyone.get(shared)
    await anyone.get(f"{shared[:-3]}xyz")
    await anyone.get("/v1/links", headers=bearer(WRONG))
    await anyone.get("/v1/users/me", headers=bearer(f"{key}x"))
    await owner.post("/v1/users", json={"account": "ann", "password": NEW})
    await owner.post("/v1/users", json={"account": "ann", "password": NEW, "colour": NEW})
    me = (await anyone.get("/v1/users/me", headers=ann)).json()["id"]
    await anyone.patch(f"/v1/users/{me}", json={"password": NEW}, headers=ann)
    return [PASSWORD, NEW, WRONG, granted["access_token"], key, shared.removeprefix("/s/")]


async def cause_failures(owner: httpx.AsyncClient, anyone: httpx.AsyncClient, servers: Servers) -> list[str]:
    """Make requests fail unexpectedly. Returns the tokens in their paths."""
    token = (await owner.post("/v1/links", json={"expires_in": 600, "label": WRONG})).json()["token"]
    async with servers.database.sessions.begin() as session:
        await session.execute(text("ALTER TABLE links RENAME TO elsewhere"))
    by_statement = await anyone.put(f"/u/{token}/a.jpg", content=jpeg(seed=4))
    by_session = await owner.get("/v1/links")
    assert [by_statement.status_code, by_session.status_code] == [500, 500]
    return [token, *token.split(".")]


async def upload_without_store(settings: Settings) -> list[str]:
    """Upload while the object store is unavailable. Returns the secrets that must not be logged."""
    async with api_process(settings) as (_, owner):
        token = (await owner.post("/v1/links", json={"expires_in": 600})).json()["token"]
        small = await owner.put(f"/u/{token}/a.jpg", content=jpeg(seed=5))
        large = await owner.put(f"/u/{token}/b.jpg", content=jpeg(seed=6) + bytes(9 * 1024 * 1024))
    assert [small.status_code, large.status_code] == [503, 503]
    return [token, *token.split(".")]


def configured(settings: Settings) -> list[str]:
    return [secret for secret in settings.secrets() if secret] + [settings.secret_keys.get_secret_value()]


async def test_no_log_line_contains_a_secret(
    settings_with: Callable[..., Settings], capfd: pytest.CaptureFixture[str]
) -> None:
    settings = settings_with(log_level="DEBUG")
    async with (
        open_servers(settings) as servers,
        api_process(settings) as (_, owner),
        httpx.AsyncClient(base_url=owner.base_url, timeout=60) as anyone,
        process(settings, "worker"),
    ):
        by_link = await use_a_link(owner, anyone)
        by_account = await use_an_account(owner, anyone)
        without_store = await upload_without_store(settings_with(log_level="DEBUG", s3_endpoint="http://127.0.0.1:9"))
        broken = await cause_failures(owner, anyone, servers)
    written = capfd.readouterr().err
    lines = [json.loads(line) for line in written.splitlines()]

    secrets = {*by_link, *by_account, *without_store, *broken, *configured(settings)}
    assert [secret for secret in secrets if secret in written] == []
    answered = {(line["route"], line["status"]) for line in lines if line["event"] == "request"}
    assert {("/u/{token}", 201), ("/u/{token}/{filename}", 401), ("/u/{token}/{filename}", 500)} <= answered
    assert {("/v1/auth/token", 200), ("/v1/auth/token", 401), ("/v1/links", 500)} <= answered
    assert {("/u/{token}/{filename}", 503), (None, 404)} <= answered
    assert "UndefinedTableError" in written
    assert "Traceback" in written


async def test_log_lines_have_the_request_id_of_the_response(
    settings_with: Callable[..., Settings], capfd: pytest.CaptureFixture[str]
) -> None:
    settings = settings_with()
    async with api_process(settings) as (api, owner):
        answer = await owner.get(f"/v1/images/{uuid4()}")
        await api.end(signal.SIGTERM)  # the API writes the line after the response; SIGKILL could prevent it
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]

    (line,) = [line for line in lines if line.get("request_id") == answer.headers["x-request-id"]]
    assert answer.json()["instance"] == line["request_id"]
    assert (line["method"], line["route"], line["status"]) == ("GET", "/v1/images/{image_id}", 404)
    assert line["problem"] == "image-not-found"
