"""Signing in to the dashboard: cookies, forms of other sites, and sessions that have ended."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from tests.conftest import ADMIN_TOKEN
from tests.support.images import jpeg
from tests.support.people import People
from tests.support.service import Service, running_service
from tests.support.sql import sql

FORM_TOKEN = re.compile(r'name="form_token" value="([^"]+)"')
FORM_ID = re.compile(r'name="form_id" value="([^"]+)"')


class Dashboard:
    """A signed-in client of the dashboard that sends forms as a browser does."""

    def __init__(self, client: httpx.AsyncClient, origin: str) -> None:
        self.client, self.origin = client, origin

    async def page(self, path: str) -> str:
        answer = await self.client.get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
        return answer.text

    async def send(self, path: str, origin: str | None = None, **fields: Any) -> httpx.Response:
        token = FORM_TOKEN.search(await self.page("/admin/keys"))
        assert token is not None
        data = {"form_token": token[1], **fields}
        return await self.client.post(path, data=data, headers={"Origin": origin or self.origin})


async def sign_in(service: Service, account: str = "admin", password: str = ADMIN_TOKEN) -> Dashboard:
    client = httpx.AsyncClient(base_url=service.url, timeout=60, verify=False)
    form = {"account": account, "password": password}
    answer = await client.post("/admin/sign-in", data=form, headers={"Origin": service.url})
    assert answer.status_code == 303, answer.text
    return Dashboard(client, service.url)


async def test_admin_token_and_accounts_sign_in(people: People) -> None:
    ann = await people.new("ann")
    admin = await sign_in(people.service)
    member = await sign_in(people.service, "ANN", ann.password)
    assert "Overview" in await admin.page("/admin")
    assert (await member.client.get("/admin")).headers["location"] == "/admin/images"


async def test_cookie_is_out_of_reach_of_scripts_and_other_sites(idle_service: Service) -> None:
    form = {"account": "admin", "password": ADMIN_TOKEN}
    answer = await idle_service.anyone.post("/admin/sign-in", data=form, headers={"Origin": idle_service.url})
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("imagesvc_session=")
    assert {"HttpOnly", "SameSite=strict", "Path=/admin"} <= set(cookie.split("; "))


async def test_cookie_is_bound_to_the_host_with_https(settings_with: Callable[..., Settings], sandbox: Sandbox) -> None:
    settings = settings_with(public_url="https://images.example.org")
    async with running_service(settings, sandbox, with_worker=False) as service:
        form = {"account": "admin", "password": ADMIN_TOKEN}
        headers = {"Origin": "https://images.example.org"}
        answer = await service.anyone.post("/admin/sign-in", data=form, headers=headers)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-imagesvc_session=")
    assert {"HttpOnly", "SameSite=strict", "Path=/", "Secure"} <= set(cookie.split("; "))


async def test_api_and_upload_routes_ignore_the_cookie(idle_service: Service) -> None:
    dashboard = await sign_in(idle_service)
    cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in dashboard.client.cookies.items())}
    for method, path in (("GET", "/v1/users/me"), ("GET", "/v1/stats"), ("POST", "/v1/links"), ("GET", "/u/-")):
        answer = await idle_service.anyone.request(method, path, headers=cookie)
        assert answer.status_code == 401, path


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1", "javascript:", ""]
)
async def test_form_of_another_site_is_refused(idle_service: Service, origin: str) -> None:
    dashboard = await sign_in(idle_service)
    token = FORM_TOKEN.search(await dashboard.page("/admin/links"))
    assert token is not None
    fields = {"form_token": token[1], "lifetime": "1"}
    answer = await dashboard.client.post("/admin/links", data=fields, headers={"Origin": origin})
    assert answer.status_code == 403
    assert (await idle_service.owner.get("/v1/links")).json()["items"] == []


async def test_form_without_the_token_of_the_session_is_refused(idle_service: Service) -> None:
    dashboard, other = await sign_in(idle_service), await sign_in(idle_service)
    foreign = FORM_TOKEN.search(await other.page("/admin/links"))
    assert foreign is not None
    for token in ("", "x", foreign[1], foreign[1][:-1]):
        answer = await dashboard.send("/admin/links", form_token=token, lifetime="1")
        assert answer.status_code == 403, token
    assert (await idle_service.owner.get("/v1/links")).json()["items"] == []


async def test_sign_in_form_of_another_site_is_refused(idle_service: Service) -> None:
    form = {"account": "admin", "password": ADMIN_TOKEN}
    answer = await idle_service.anyone.post("/admin/sign-in", data=form, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("tamper", [lambda cookie: cookie[1:], lambda _: "", lambda _: "x" * 5000, lambda _: "\u00e9"])
async def test_tampered_session_gets_the_sign_in_page(idle_service: Service, tamper: Callable[[str], str]) -> None:
    [(name, cookie)] = (await sign_in(idle_service)).client.cookies.items()
    headers = [(b"Cookie", f"{name}={tamper(cookie)}".encode("latin-1"))]
    answer = await idle_service.anyone.get("/admin/keys", headers=headers)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/admin/sign-in?next=/admin/keys"


async def test_expired_session_ends_and_is_deleted_by_later_sign_ins(idle_service: Service) -> None:
    dashboard = await sign_in(idle_service)
    await sql(idle_service, "UPDATE web_sessions SET expires_at = now()")
    assert (await dashboard.client.get("/admin/keys")).status_code == 303
    await sign_in(idle_service)
    assert await sql(idle_service, "SELECT count(*) FROM web_sessions") == [{"count": 1}]


@pytest.mark.parametrize("change", [{"password": "another long sentence"}, {"disabled": True}])
async def test_changed_account_ends_its_sessions(people: People, change: dict[str, Any]) -> None:
    ann = await people.new("ann")
    dashboard = await sign_in(people.service, "ann", ann.password)
    await dashboard.page("/admin/keys")
    assert (await people.service.owner.patch(f"/v1/users/{ann.id}", json=change)).status_code == 200
    assert (await dashboard.client.get("/admin/keys")).status_code == 303


async def test_another_admin_token_ends_its_sessions(settings_with: Callable[..., Settings], sandbox: Sandbox) -> None:
    async with running_service(settings_with(), sandbox, with_worker=False) as service:
        cookies = (await sign_in(service)).client.cookies
    async with running_service(settings_with(admin_token="n" * 40), sandbox, with_worker=False) as service:
        answer = await service.anyone.get("/admin", cookies=dict(cookies))
    assert answer.status_code == 303


async def test_sign_out_ends_the_session_on_the_server(idle_service: Service) -> None:
    dashboard = await sign_in(idle_service)
    cookies = dict(dashboard.client.cookies)
    assert (await dashboard.send("/admin/sign-out")).headers["location"] == "/admin/sign-in"
    assert (await idle_service.anyone.get("/admin", cookies=cookies)).status_code == 303


async def test_failed_sign_ins_are_slowed(idle_people: People) -> None:
    await idle_people.new("ann")
    form, headers = {"account": "ann", "password": "wrong"}, {"Origin": idle_people.service.url}
    statuses = [
        (await idle_people.service.anyone.post("/admin/sign-in", data=form, headers=headers)).status_code
        for _ in range(8)
    ]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert (await idle_people.log_in("ann", "wrong")).status_code == 429


@pytest.mark.parametrize(
    "wanted",
    ["https://evil.example", "//evil.example", "/v1/stats", "/administer", "javascript:alert(1)", "/admin\\..", ""],
)
async def test_sign_in_leads_only_to_pages_of_the_dashboard(idle_service: Service, wanted: str) -> None:
    form = {"account": "admin", "password": ADMIN_TOKEN, "next": wanted}
    answer = await idle_service.anyone.post("/admin/sign-in", data=form, headers={"Origin": idle_service.url})
    assert answer.headers["location"] == "/admin"


async def test_form_sent_twice_does_the_thing_once(idle_service: Service) -> None:
    dashboard = await sign_in(idle_service)
    page = await dashboard.page("/admin/keys")
    form_id = FORM_ID.search(page)
    assert form_id is not None
    fields = {"form_id": form_id[1], "name": "till 4", "scope": "upload"}
    first, second = [await dashboard.send("/admin/keys", **fields) for _ in range(2)]
    assert (first.status_code, first.text) == (second.status_code, second.text)
    assert first.headers["content-security-policy"] == second.headers["content-security-policy"]
    assert len((await idle_service.owner.get("/v1/api-keys")).json()["items"]) == 1


async def test_member_sees_and_changes_only_their_own(people: People) -> None:
    ann, bob = await people.new("ann"), await people.new("bob")
    sent = await bob.client.post("/v1/images", files={"file": ("x.jpg", jpeg(seed=1))})
    image = sent.json()["results"][0]["image_id"]
    link = (await bob.client.post("/v1/links", json={"expires_in": 60})).json()["id"]
    dashboard = await sign_in(people.service, "ann", ann.password)
    assert image not in await dashboard.page("/admin/images")
    for path in (f"/admin/images/{image}", f"/admin/images/{image}/thumb.webp", f"/admin/links/{link}"):
        assert (await dashboard.client.get(path)).status_code == 404, path
    for path in ("/admin/tasks", "/admin/runs", "/admin/accounts"):
        assert (await dashboard.client.get(path)).status_code == 403, path
    assert (await dashboard.send(f"/admin/images/{image}/delete")).status_code == 404
    for action in ("delete", "publish", "hide"):
        assert (await dashboard.send("/admin/images", image=image, action=action)).status_code == 303
    assert (await dashboard.send("/admin/images", image=image, action="reprocess")).status_code == 403
    assert (await bob.client.get(f"/v1/images/{image}")).json()["visibility"] == "private"


async def test_overlapping_selections_are_deleted_without_a_deadlock(idle_service: Service) -> None:
    dashboard = await sign_in(idle_service)
    files = [("file", (f"{seed}.jpg", jpeg(seed=seed, size=(32, 24)))) for seed in range(12)]
    sent = (await idle_service.owner.post("/v1/images", files=files)).json()["results"]
    ids = [result["image_id"] for result in sent]
    selections = [ids[start:] + ids[:start] for start in range(0, 12, 2)]
    work = [
        *(dashboard.send("/admin/images", image=selected, action="publish") for selected in selections),
        *(dashboard.send("/admin/images", image=selected[:8], action="delete") for selected in selections),
        *(idle_service.owner.post("/v1/images", files=[file]) for file in files),
    ]
    assert {answer.status_code for answer in await asyncio.gather(*work)} <= {303, 200, 201}


async def test_text_of_a_url_is_not_shown(idle_service: Service) -> None:
    dashboard = await sign_in(idle_service)
    assert "hunter2" not in await dashboard.page("/admin?done=Your+password+is+hunter2")


@pytest.mark.parametrize(
    "query", ["min_score=x", "near=1,2", "cursor=forged", "unknown=1", "q=%00", "uploaded_from=yesterday", "owner=x"]
)
async def test_filter_that_cannot_be_read_is_explained(idle_service: Service, query: str) -> None:
    dashboard = await sign_in(idle_service)
    answer = await dashboard.client.get(f"/admin/images?{query}")
    assert answer.status_code in (400, 422)
    assert 'role="alert"' in answer.text


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/admin/links", {"lifetime": "many"}),
        ("/admin/links", {"lifetime": "9" * 15, "unit": "days"}),
        ("/admin/links", {}),
        ("/admin/keys", {"name": ""}),
        ("/admin/accounts", {"account": "x", "password": "short"}),
        ("/admin/webhooks", {"url": "nonsense", "event": "image.ready"}),
        ("/admin/images", {"action": "delete"}),
        ("/admin/images", {"action": "delete", "image": "no-id"}),
        ("/admin/images", {"action": "explode", "image": "01995f4e-2f6c-7c3e-9a8d-0f8e5b7f1a13"}),
        ("/admin/stores", {"store_name": "A"}),
        ("/admin/stores", {"store_id": "a\0b", "store_name": "A", "area": "A"}),
        ("/admin/links", {"lifetime": "1", "label": "a\0b"}),
        ("/admin/keys", {"name": "a\0b", "scope": "read"}),
        ("/admin/accounts", {"account": "a\0b", "password": "correct horse battery"}),
        ("/admin/stores/import", {"csv": "nonsense"}),
    ],
)
async def test_form_that_cannot_be_read_is_explained(idle_service: Service, path: str, fields: dict[str, str]) -> None:
    dashboard = await sign_in(idle_service)
    answer = await dashboard.send(path, **fields)
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"].startswith("text/html")


async def test_pages_below_a_sub_path_stay_below_it(settings_with: Callable[..., Settings], sandbox: Sandbox) -> None:
    settings = settings_with(public_url="http://images.example.org/img")
    async with running_service(settings, sandbox, with_worker=False) as service:
        redirected = await service.anyone.get("/img/admin/links?cursor=x")
        form = {"account": "admin", "password": ADMIN_TOKEN, "next": "/admin/links"}
        headers = {"Origin": "http://images.example.org"}
        signed_in = await service.anyone.post("/img/admin/sign-in", data=form, headers=headers)
        page = await service.anyone.get("/img/admin/links")
        link = await service.new_link()
        upload_page = await service.anyone.get(f"/img{link['path']}", headers={"Accept": "text/html"})
        sent = await service.anyone.put(f"{link['path']}/a.jpg", content=jpeg(seed=1))
        image = (await service.owner.get(f"/v1/uploads/{sent.json()['results'][0]['upload_id']}")).json()["image"]["id"]
        await service.owner.post(f"/v1/images/{image}/shares", json={"expires_in": 60})
        image_page = await service.anyone.get(f"/img/admin/images/{image}")
    assert redirected.headers["location"] == "/img/admin/sign-in?next=/admin/links%3Fcursor%3Dx"
    assert signed_in.headers["location"] == "/img/admin/links"
    assert "Path=/img/admin" in signed_in.headers["set-cookie"]
    assert ">http://images.example.org/img/s/" in image_page.text
    for text in (page.text, upload_page.text, image_page.text):
        addresses = re.findall(r'(?:href|src|action|data-base)="(/[^"]*)"', text)
        assert addresses
        assert [address for address in addresses if not address.startswith("/img/")] == []
