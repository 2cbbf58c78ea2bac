"""Fixtures: a service that may send webhooks to loopback and retries quickly, and a receiver on loopback."""

from collections.abc import AsyncIterator, Callable

import pytest

from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from tests.support.image_server import ImageServer, image_server
from tests.support.people import People
from tests.support.service import Service, running_service


@pytest.fixture
async def receiver() -> AsyncIterator[ImageServer]:
    """Answers 204 below /hook, and 404 elsewhere."""
    async with image_server() as running:
        running.serve("/hook", b"", status=204)
        yield running


@pytest.fixture
async def hook_service(settings_with: Callable[..., Settings], sandbox: Sandbox) -> AsyncIterator[Service]:
    """Has a worker. A delivery has three attempts."""
    settings = settings_with(fetch_allow="127.0.0.1/32", task_retry_seconds=0.02, webhook_max_attempts=3)
    async with running_service(settings, sandbox) as running:
        yield running


@pytest.fixture
async def people(hook_service: Service) -> AsyncIterator[People]:
    async with People(hook_service) as people:
        yield people
