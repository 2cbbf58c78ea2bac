"""What tests of the dashboard do: sign in, and fill the service with one thing of each kind."""

from dataclasses import dataclass
from typing import Any

from tests.conftest import ADMIN_TOKEN
from tests.support.browser import Visitor
from tests.support.images import exif_jpeg, jpeg
from tests.support.service import Service
from tests.support.sql import sql
from tests.web.conftest import Windows

PAGES = (
    "",
    "/images",
    "/links",
    "/batches",
    "/visits",
    "/stores",
    "/jobs",
    "/resizes",
    "/webhooks",
    "/tasks",
    "/runs",
    "/accounts",
    "/keys",
)
HOSTILE = "<img src=x onerror=alert(1)>\u202egpj" + "W" * 3900


async def sign_in(windows: Windows, account: str = "admin", password: str = ADMIN_TOKEN, **options: Any) -> Visitor:
    visitor = await windows.new(**options)
    await visitor.open("/admin")
    await visitor.page.get_by_label("Account").fill(account)
    await visitor.page.get_by_label("Password").fill(password)
    await visitor.page.get_by_role("button", name="Sign in").click()
    await visitor.page.get_by_role("button", name="Sign out").wait_for()
    return visitor


@dataclass(kw_only=True)
class Content:
    """Ids of one thing of each kind."""

    image: str
    link: str
    batch: str
    job: str
    webhook: str

    def pages(self) -> list[str]:
        return [
            *PAGES,
            f"/images/{self.image}",
            f"/links/{self.link}",
            f"/links/{self.link}/poster",
            f"/batches/{self.batch}",
            f"/jobs/{self.job}",
            f"/webhooks/{self.webhook}",
        ]


async def fill(service: Service) -> Content:
    """One thing of each kind, with hostile names where strangers choose them."""
    link = await service.new_link(label=HOSTILE[:200])
    owner = service.owner
    await service.owner.put("/v1/stores/S1", json={"store_name": HOSTILE[:150], "area": "A"})
    sent = await owner.post(
        "/v1/images",
        data={"title": HOSTILE[:300], "description": HOSTILE, "store_id": "S1"},
        files={"file": ("a.jpg", exif_jpeg(seed=1))},
    )
    result = sent.json()["results"][0]
    await service.image_of(result)
    await owner.post("/v1/images", files={"file": ("b.jpg", jpeg(seed=1, quality=60))})
    visit = {"store_id": "S1", "image_url": ["http://127.0.0.1:9/a.jpg"], "visit_time": "2026-11-01T10:00:00Z"}
    job = (await owner.post("/v1/jobs", json={"count": 1, "visits": [visit]})).json()["job_id"]
    await owner.post("/v1/resizes", json={"image_id": result["image_id"], "width": 20, "height": 20})
    hook = await owner.post("/v1/webhooks", json={"url": "http://127.0.0.1:9/hook", "events": ["image.ready"]})
    assert hook.status_code == 201, hook.text
    await sql(
        service,
        "INSERT INTO tasks (id, kind, state, payload, dedupe_key, attempts, last_error, died_at)"
        " VALUES (gen_random_uuid(), 'process_image', 'dead', '{}', 'test', 5, 'decoder-timeout', now())",
    )
    return Content(
        image=result["image_id"], link=link["id"], batch=sent.json()["batch_id"], job=job, webhook=hook.json()["id"]
    )
