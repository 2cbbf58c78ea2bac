"""A fetcher for tests that no database or other server is needed for, and an image server that may be reached."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from imagesvc.fetching import Fetcher
from imagesvc.settings import Settings
from tests.support.image_server import ImageServer, image_server

NOWHERE: dict[str, Any] = {
    "database_url": "postgresql:///nowhere?host=/nowhere",
    "redis_url": "unix:///nowhere",
    "s3_endpoint": "http://192.0.2.1:9000",
    "s3_access_key": "x",
    "s3_secret_key": "x",
    "secret_keys": "k1:" + "x" * 32,
}
NewFetcher = Callable[..., Fetcher]


@pytest.fixture
async def images() -> AsyncIterator[ImageServer]:
    async with image_server() as running:
        yield running


@pytest.fixture
async def fetcher_with() -> AsyncIterator[NewFetcher]:
    """Makes fetchers; those arguments that are settings are settings."""
    async with AsyncExitStack() as stack:
        opened: list[Fetcher] = []

        def make(*, parts: dict[str, Any] | None = None, **changes: Any) -> Fetcher:
            fetcher = Fetcher(Settings(**{**NOWHERE, **changes}), **(parts or {}))
            stack.push_async_exit(fetcher)
            opened.append(fetcher)
            return fetcher

        yield make


@pytest.fixture
def fetcher(fetcher_with: NewFetcher) -> Fetcher:
    """May reach loopback."""
    return fetcher_with(fetch_allow="127.0.0.1/32")
