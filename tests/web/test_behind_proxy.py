"""The pages behind the shipped proxy configuration in a real nginx."""

from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.conftest import ADMIN_TOKEN
from tests.support.nginx import needs_nginx, running_nginx
from tests.support.service import Service

pytestmark = needs_nginx


async def test_pages_and_forms_pass_the_proxy_and_no_log_has_the_token(service: Service, tmp_path: Path) -> None:
    link = await service.new_link()
    form = {"account": "admin", "password": ADMIN_TOKEN}
    async with (
        running_nginx(tmp_path, api=urlsplit(service.url).netloc) as proxy,
        httpx.AsyncClient(base_url=proxy.url, verify=False, timeout=30) as browser,
    ):
        signed_in = await browser.post("/admin/sign-in", data=form, headers={"Origin": service.settings.base_url})
        overview = await browser.get("/admin")
        upload_page = await browser.get(link["path"], headers={"Accept": "text/html"})
        foreign = await browser.post("/admin/sign-in", data=form, headers={"Origin": "https://evil.example"})
        logs = proxy.logs()
    assert [answer.status_code for answer in (signed_in, overview, upload_page, foreign)] == [303, 200, 200, 403]
    assert upload_page.headers.get_list("content-security-policy") == [overview.headers["content-security-policy"]]
    assert upload_page.headers["cache-control"] == "no-store"
    assert link["token"] not in logs
