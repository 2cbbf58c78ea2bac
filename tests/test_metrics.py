"""Metrics: counters, gauges of the content of the servers, and access to the metrics page."""

from collections.abc import Callable

import httpx
import pytest

from imagesvc.metrics.endpoint import PortInUse, serve_metrics
from imagesvc.metrics.exposition import MetricsPage
from imagesvc.settings import Settings
from tests.support.images import jpeg
from tests.support.processes import until
from tests.support.scrape import Scrape, page_of
from tests.support.service import Service, running_api
from tests.support.sql import sql

UNREACHABLE = "127.0.0.1:1"
DEAD_LETTER = "INSERT INTO tasks (id, kind, state, attempts) VALUES (gen_random_uuid(), 'process_image', 'dead', 5)"
WAITING = """
    INSERT INTO tasks (id, kind, due_at) VALUES (gen_random_uuid(), 'process_image', now() - interval '1 hour')
"""
LOOSE_OBJECT = """
    INSERT INTO loose_objects (key, state, not_before, created_at)
    VALUES ('o/00/x', 'reaping', now() + interval '1 minute', now() - interval '1 hour')
"""


async def scrape_of(service: Service) -> Scrape:
    answer = await service.anyone.get("/metrics")
    assert answer.status_code == 200
    return Scrape(answer.text)


async def test_an_upload_is_counted_at_every_step(idle_service: Service) -> None:
    service = idle_service
    link, before = await service.new_link(), Scrape((await MetricsPage().text()).decode())
    # started after the first scrape, which must not include the first rounds of background work
    service.start_worker()
    data = jpeg(seed=1, size=(320, 240))
    files = [("file", ("a.jpg", data)), ("file", ("b.jpg", data)), ("file", ("c.txt", b"no image"))]

    answer = await service.anyone.post(link["path"], files=files)
    await service.image_of(answer.json()["results"][0])
    refused = await service.anyone.post("/u/no-token", files=files)

    async def a_round_is_counted() -> bool:
        rounds = "imagesvc_background_rounds_total"
        return (await scrape_of(service)).of(rounds, result="ok") > before.of(rounds, result="ok")

    await until(a_round_is_counted)
    after = await scrape_of(service)

    def increase(name: str, **labels: str) -> float:
        return after.of(name, **labels) - before.of(name, **labels)

    assert refused.status_code == 401
    assert increase("imagesvc_uploads_total", way="link", result="created") == 1
    assert increase("imagesvc_uploads_total", way="link", result="duplicate") == 1
    assert increase("imagesvc_uploads_total", way="link", result="refused") == 1
    assert increase("imagesvc_upload_refusals_total", way="link", problem="unsupported-media-type") == 1
    assert increase("imagesvc_upload_bytes_total", way="link", result="duplicate") == len(data)
    assert increase("imagesvc_http_requests_total", method="POST", route="/u/{token}", status="201") == 1
    assert increase("imagesvc_http_first_byte_seconds_count", method="POST", route="/u/{token}") == 2
    assert increase("imagesvc_http_seconds_count", method="POST", route="/u/{token}") == 2
    assert increase("imagesvc_problems_total", problem=refused.json()["type"].removeprefix("/problems/")) == 1
    assert increase("imagesvc_s3_requests_total", operation="PutObject", result="ok") >= 2
    assert increase("imagesvc_s3_requests_total", operation="GetObject", result="ok") >= 1
    assert increase("imagesvc_task_runs_total", kind="process_image", result="done") == 1
    assert increase("imagesvc_task_seconds_count", kind="process_image") == 1
    assert increase("imagesvc_sandbox_runs_total", outcome="processed") == 1
    assert increase("imagesvc_background_rounds_total", result="ok") > 0
    assert link["token"] not in str(await scrape_of(service))

    gauges = await page_of(service.settings)
    assert gauges.of("imagesvc_images", media_type="image/jpeg") == 1
    assert gauges.of("imagesvc_blobs", media_type="image/jpeg") == 1
    assert gauges.of("imagesvc_content_bytes", what="deduplicated") == len(data)
    assert gauges["imagesvc_census_up"] == 1
    assert gauges.labels("imagesvc_dependency_up", "dependency") == {"database", "storage", "queue"}
    assert gauges["imagesvc_dependency_up"] == 3
    assert gauges["imagesvc_worker_heartbeat"] == 1


async def test_a_resumable_upload_is_counted_once_when_it_is_complete(service: Service) -> None:
    before, data = await scrape_of(service), jpeg(seed=2, size=(64, 64))
    tus = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}

    await service.owner.post("/v1/tus", headers={**tus, "Upload-Length": str(len(data))}, content=data)
    await service.owner.post("/v1/tus", headers={**tus, "Upload-Length": "8"}, content=b"no image")
    after = await scrape_of(service)

    for result in ("created", "refused"):
        previous = before.of("imagesvc_uploads_total", way="tus", result=result)
        assert after.of("imagesvc_uploads_total", way="tus", result=result) - previous == 1


async def test_gauges_count_dead_and_due_tasks_and_loose_objects_with_their_age(idle_service: Service) -> None:
    before = await page_of(idle_service.settings)
    for statement in (DEAD_LETTER, WAITING, LOOSE_OBJECT):
        await sql(idle_service, statement)

    page = await page_of(idle_service.settings)

    assert (before["imagesvc_dead_letters"], before["imagesvc_oldest_due_task_seconds"]) == (0, 0)
    assert before["imagesvc_worker_heartbeat"] == 0
    assert page["imagesvc_dead_letters"] == 1
    assert page.of("imagesvc_tasks", kind="process_image", state="dead") == 1
    assert page.of("imagesvc_tasks", kind="process_image", state="pending") == 1
    assert page["imagesvc_oldest_due_task_seconds"] == pytest.approx(3600, abs=60)
    assert page.of("imagesvc_loose_objects", state="reaping") == 1
    assert page.of("imagesvc_oldest_loose_object_seconds", state="reaping") == pytest.approx(3600, abs=60)


async def test_an_unavailable_server_removes_only_its_own_metrics(
    settings_with: Callable[..., Settings],
) -> None:
    without_store = await page_of(settings_with(s3_endpoint=f"http://{UNREACHABLE}"))
    without_database = await page_of(settings_with(database_url=f"postgresql://nobody:nothing@{UNREACHABLE}/none"))

    assert without_store.of("imagesvc_dependency_up", dependency="storage") == 0
    assert without_store["imagesvc_census_up"] == 1
    assert "imagesvc_dead_letters" in without_store.names
    assert without_database.of("imagesvc_dependency_up", dependency="database") == 0
    assert without_database.of("imagesvc_dependency_up", dependency="storage") == 1
    assert without_database["imagesvc_census_up"] == 0
    assert "imagesvc_dead_letters" not in without_database.names


async def test_unknown_methods_and_paths_create_no_series(idle_service: Service) -> None:
    await idle_service.anyone.request("PROPFIND", "/coffee/0123456789")

    page = await scrape_of(idle_service)

    assert "PROPFIND" not in page.labels("imagesvc_http_requests_total", "method")
    assert page.of("imagesvc_http_requests_total", method="other", route="none", status="404") >= 1
    assert not any("coffee" in route for route in page.labels("imagesvc_http_requests_total", "route"))


async def test_other_networks_than_the_configured_ones_get_404_for_metrics(
    settings_with: Callable[..., Settings],
) -> None:
    settings = settings_with(metrics_networks="10.0.0.0/8,192.168.0.0/16")
    async with running_api(settings) as url, httpx.AsyncClient(base_url=url, verify=False) as client:
        answer = await client.get("/metrics")

    assert answer.status_code == 404
    assert "imagesvc_" not in answer.text


async def test_the_metrics_port_of_a_worker_answers_and_reports_a_taken_port() -> None:
    async with (
        serve_metrics(MetricsPage(), host="127.0.0.1", port=0) as port,
        httpx.AsyncClient(verify=False) as client,
    ):
        answer = await client.get(f"http://127.0.0.1:{port}/metrics")
        with pytest.raises(PortInUse, match=f"port {port}"):
            async with serve_metrics(MetricsPage(), host="127.0.0.1", port=port):
                pass

    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "imagesvc_task_runs_total" in Scrape(answer.text).all_names()
