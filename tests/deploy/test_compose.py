"""The compose file and the images: checks that need no container engine."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagesvc.metrics.endpoint import serve_metrics
from imagesvc.metrics.exposition import MetricsPage
from imagesvc.settings import Settings
from tests.support.nginx import free_ports

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
STACK: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
ONE_SHOT = {"migrate", "minio-setup"}


def test_only_the_proxy_publishes_ports_and_the_operator_port_on_loopback() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    assert SERVICES["proxy"]["ports"][1].startswith("127.0.0.1:")


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_has_a_health_check_and_waits_for_its_dependencies(name: str) -> None:
    service = SERVICES[name]
    healthcheck = service["healthcheck"]

    if name in ONE_SHOT:
        assert healthcheck == {"disable": True}
        assert service["restart"] == "no"
    else:
        assert healthcheck["test"]
        assert service["restart"] == "unless-stopped"
    wanted = {
        other: "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
        for other in service.get("depends_on", {})
    }
    assert {other: on["condition"] for other, on in service.get("depends_on", {}).items()} == wanted


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"postgres"}))
def test_every_service_but_the_database_is_unprivileged_and_read_only(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_every_image_is_pinned_to_a_version() -> None:
    dockerfiles = (ROOT / "Dockerfile").read_text() + (ROOT / "minio" / "Dockerfile").read_text()
    bases = [base for base in re.findall(r"^(?:FROM|ARG BASE=)\s*(\S+)", dockerfiles, re.MULTILINE) if "$" not in base]
    images = [service["image"] for service in SERVICES.values() if not service["image"].startswith("${")]

    assert len(bases) == 3
    assert all(re.search(r":[^:]*\d", image) and not image.endswith("latest") for image in [*bases, *images])


def test_no_secret_has_a_default_and_the_example_lists_each_required_one() -> None:
    required = set(re.findall(r"\$\{(\w+):\?", TEXT))
    with_default = set(re.findall(r"\$\{(\w+):-", TEXT))
    example = (ROOT / ".env.example").read_text()

    assert not any(re.search(r"PASSWORD|SECRET|TOKEN|KEYS?$", name) for name in with_default)
    assert set(re.findall(r"^(\w+)=$", example, re.MULTILINE)) == required
    assert not re.findall(r"^\w+=.+$", example, re.MULTILINE)


def test_every_setting_in_the_compose_file_exists() -> None:
    passed = {name for service in SERVICES.values() for name in service.get("environment", {}) if "IMAGESVC_" in name}

    assert {name.removeprefix("IMAGESVC_").lower() for name in passed} <= set(Settings.model_fields)


def test_the_bucket_policy_allows_exactly_the_operations_in_use() -> None:
    policy = json.loads((ROOT / "minio" / "policy.json").read_text())
    allowed = {action for statement in policy["Statement"] for action in statement["Action"]}
    storage = (ROOT / "src" / "imagesvc" / "storage" / "bucket.py").read_text()
    calls = set(re.findall(r"_client\.([a-z]+_\w+)\(", storage)) - {"create_bucket", "get_paginator"}
    calls |= {f"{call}_object" for call in re.findall(r"_objects\.([a-z]+)_async\(", storage)}
    needed = {
        "put_object": "s3:PutObject",
        "create_multipart_upload": "s3:PutObject",
        "upload_part": "s3:PutObject",
        "complete_multipart_upload": "s3:PutObject",
        "abort_multipart_upload": "s3:AbortMultipartUpload",
        "get_object": "s3:GetObject",
        "head_object": "s3:GetObject",
        "delete_object": "s3:DeleteObject",
        "head_bucket": "s3:ListBucket",
    }

    assert {needed[call] for call in calls} == allowed


async def test_a_container_is_healthy_only_while_its_server_answers_200() -> None:
    async def is_healthy(port: int) -> bool:
        script = ROOT / "deploy" / "healthy"
        process = await asyncio.create_subprocess_exec(script, str(port), "/metrics", stderr=asyncio.subprocess.DEVNULL)
        return await process.wait() == 0

    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
        writer.close()

    async with serve_metrics(MetricsPage(), host="127.0.0.1", port=0) as port:
        assert await is_healthy(port)
    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        assert not await is_healthy(server.sockets[0].getsockname()[1])
    assert not await is_healthy(free_ports(1)[0])
