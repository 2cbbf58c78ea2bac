"""Resumable uploads with real clients: tuspy, and tus-js-client where Node.js is installed (as in CI)."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError, TusUploadFailed

from tests.support.images import jpeg
from tests.support.service import Service, running_api
from tests.support.traces import pass_time, traces
from tests.uploads.tus.tus import MIB

PROGRAM = Path(__file__).parent / "js" / "upload.mjs"
needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (PROGRAM.parent / "node_modules").is_dir(),
    reason="needs Node.js, and `npm ci` in tests/uploads/tus/js",
)
DATA = jpeg(seed=1) + bytes(range(256)) * (11 * MIB // 256)


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "a.jpg"
    path.write_bytes(DATA)
    return str(path)


@pytest.fixture
async def replica(idle_service: Service) -> AsyncIterator[str]:
    """The URL of a second API over the same servers, which shares nothing else with the first."""
    async with running_api(idle_service.settings) as url:
        yield url


def bearer(service: Service) -> dict[str, str]:
    return {"Authorization": service.owner.headers["authorization"]}


async def expire_all(service: Service) -> None:
    async with service.background.servers.database.sessions.begin() as session:
        await session.execute(text("UPDATE resumable_uploads SET expires_at = now() WHERE state = 'receiving'"))
    await service.background.expiry.expire()
    await pass_time(service)


# ---- tuspy


async def test_tuspy_aborts_and_continues_through_another_api(
    idle_service: Service, replica: str, picture: str
) -> None:
    def abort() -> str:
        client = TusClient(f"{idle_service.url}/v1/tus", headers=bearer(idle_service))
        uploader: Any = client.uploader(picture, chunk_size=3 * MIB, metadata={"filename": "a.jpg", "store_id": "S9"})
        uploader.upload_chunk()
        return str(uploader.url)

    def go_on(url: str) -> tuple[int, str]:
        client = TusClient(f"{replica}/v1/tus", headers=bearer(idle_service))
        uploader: Any = client.uploader(picture, url=url.replace(idle_service.url, replica), chunk_size=3 * MIB)
        offset = uploader.offset
        uploader.upload()
        return offset, uploader.request.response_headers["imagesvc-upload-id"]

    url = await asyncio.to_thread(abort)
    offset, upload_id = await asyncio.to_thread(go_on, url)

    upload = (await idle_service.owner.get(f"/v1/uploads/{upload_id}")).json()
    assert offset == 3 * MIB
    assert (upload["way"], upload["filename"], upload["store_id"]) == ("tus", "a.jpg", "S9")
    assert upload["image"]["sha256"] == sha256(DATA).hexdigest()
    assert (await traces(idle_service))["objects"] == 1


async def test_tuspy_sends_checksums_which_are_checked(idle_service: Service, picture: str) -> None:
    def send(*, is_damaged: bool) -> Any:
        client = TusClient(f"{idle_service.url}/v1/tus", headers=bearer(idle_service))
        uploader: Any = client.uploader(picture, chunk_size=6 * MIB, upload_checksum=True)
        if is_damaged:
            client.set_headers({"upload-checksum": "sha1 MDAwMDAwMDAwMDAwMDAwMDAwMDA="})
            uploader.upload_checksum = False
        uploader.upload()
        return uploader.request.response_headers

    last = await asyncio.to_thread(send, is_damaged=False)
    with pytest.raises(TusUploadFailed) as refused:
        await asyncio.to_thread(send, is_damaged=True)

    assert last["imagesvc-status"] == "created"
    assert refused.value.status_code == 460


async def test_tuspy_reports_an_expired_and_a_too_large_upload(idle_service: Service, picture: str) -> None:
    link = await idle_service.new_link(max_file_bytes=len(DATA) - 1)

    def begin() -> str:
        uploader: Any = TusClient(f"{idle_service.url}/v1/tus", headers=bearer(idle_service)).uploader(
            picture, chunk_size=1 * MIB
        )
        uploader.upload_chunk()
        return str(uploader.url)

    def go_on(url: str) -> None:
        TusClient(f"{idle_service.url}/v1/tus", headers=bearer(idle_service)).uploader(picture, url=url).upload()

    def too_large() -> None:
        TusClient(f"{idle_service.url}{link['path']}/tus").uploader(picture).upload()

    url = await asyncio.to_thread(begin)
    await expire_all(idle_service)
    with pytest.raises(TusCommunicationError) as expired:
        await asyncio.to_thread(go_on, url)
    with pytest.raises(TusCommunicationError) as refused:
        await asyncio.to_thread(too_large)

    assert (expired.value.status_code, refused.value.status_code) == (410, 413)
    assert (await traces(idle_service))["objects"] == 0


# ---- tus-js-client


async def run_js(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    node = await asyncio.create_subprocess_exec(
        "node", str(PROGRAM), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(node.communicate(json.dumps(steps).encode()), 60)
    assert node.returncode == 0
    return [json.loads(line) for line in out.splitlines()]


@needs_node
async def test_tus_js_client_aborts_and_continues_through_another_api(
    idle_service: Service, replica: str, picture: str
) -> None:
    step = {"endpoint": f"{idle_service.url}/v1/tus", "headers": bearer(idle_service), "file": picture}
    first = {
        **step,
        "chunkSize": 3 * MIB,
        "abortAfter": 5 * MIB,
        "metadata": {"filename": "ähm.jpg", "camera_id": "C1"},
    }

    (aborted,) = await run_js([first])
    url = aborted["url"].replace(idle_service.url, replica)
    (gone_on,) = await run_js([{**step, "uploadUrl": url, "chunkSize": 2 * MIB}])

    upload = (await idle_service.owner.get(f"/v1/uploads/{gone_on['uploadId']}")).json()
    assert aborted["outcome"] == "aborted"
    assert (gone_on["outcome"], gone_on["status"]) == ("success", "created")
    assert gone_on["requests"][0] == "HEAD 200"
    assert len(gone_on["requests"]) <= 6  # what was accepted before is not sent again
    assert (upload["filename"], upload["camera_id"]) == ("ähm.jpg", "C1")
    assert upload["image"]["sha256"] == sha256(DATA).hexdigest()
    assert (await traces(idle_service))["objects"] == 1


@needs_node
async def test_tus_js_client_recovers_from_a_wrong_offset_and_hears_of_every_refusal(
    idle_service: Service, picture: str
) -> None:
    link = await idle_service.new_link(max_file_bytes=len(DATA) - 1)
    step = {"endpoint": f"{idle_service.url}/v1/tus", "headers": bearer(idle_service), "file": picture}
    wrong_checksum = {"Upload-Checksum": "sha1 MDAwMDAwMDAwMDAwMDAwMDAwMDA="}

    wrong_offset, damaged, too_large, at_once = await run_js(
        [
            {**step, "tamper": {"Upload-Offset": "5"}, "retryDelays": [0]},
            {**step, "tamper": wrong_checksum},
            {**step, "endpoint": f"{idle_service.url}{link['path']}/tus"},
            {**step, "uploadDataDuringCreation": True},
        ]
    )

    assert (wrong_offset["outcome"], wrong_offset["status"]) == ("success", "created")
    assert wrong_offset["requests"] == ["POST 201", "PATCH 409", "HEAD 200", "PATCH 204"]
    assert (damaged["outcome"], damaged["code"]) == ("error", 460)
    assert (too_large["outcome"], too_large["code"]) == ("error", 413)
    assert (at_once["requests"], at_once["status"]) == (["POST 201"], "duplicate")


@needs_node
async def test_tus_js_client_begins_anew_when_its_upload_has_expired(idle_service: Service, picture: str) -> None:
    step = {"endpoint": f"{idle_service.url}/v1/tus", "headers": bearer(idle_service), "file": picture}

    (aborted,) = await run_js([{**step, "chunkSize": 2 * MIB, "abortAfter": 5 * MIB}])
    await expire_all(idle_service)
    (anew,) = await run_js([{**step, "uploadUrl": aborted["url"]}])

    assert anew["requests"] == ["HEAD 410", "POST 201", "PATCH 204"]
    assert anew["status"] == "created"
    assert anew["url"] != aborted["url"]
    assert (await traces(idle_service))["objects"] == 1


@needs_node
async def test_parallel_uploads_of_tus_js_client_are_refused_with_a_reason(idle_service: Service, picture: str) -> None:
    link = await idle_service.new_link(max_files=1)
    step = {"endpoint": f"{idle_service.url}{link['path']}/tus", "headers": {}, "file": picture, "parallelUploads": 2}

    (refused,) = await run_js([step])

    assert (refused["outcome"], refused["code"]) == ("error", 400)
    assert "parallelUploads: 1" in json.loads(refused["body"])["detail"]
    invitation = (await idle_service.anyone.get(link["path"])).json()
    assert invitation["remaining"]["files"] == 1
