"""Fixtures: an image server on loopback, and services that may fetch from loopback."""

from collections.abc import AsyncIterator, Callable

import pytest

from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from tests.support.image_server import ImageServer, image_server
from tests.support.service import Service, running_service


@pytest.fixture
async def images() -> AsyncIterator[ImageServer]:
    async with image_server() as running:
        yield running


@pytest.fixture
def fetching_settings(settings_with: Callable[..., Settings]) -> Settings:
    """Retries follow quickly, and there are few slots, so that few tasks fill them."""
    return settings_with(
        fetch_allow=("127.0.0.1/32",), fetch_per_host=50, task_retry_seconds=0.05, task_max_attempts=3, turns_at_once=4
    )


@pytest.fixture
async def fetching(fetching_settings: Settings, sandbox: Sandbox) -> AsyncIterator[Service]:
    async with running_service(fetching_settings, sandbox) as running:
        yield running


@pytest.fixture
async def idle_fetching(fetching_settings: Settings, sandbox: Sandbox) -> AsyncIterator[Service]:
    """Without a worker."""
    async with running_service(fetching_settings, sandbox, with_worker=False) as running:
        yield running
