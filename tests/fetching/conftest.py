"""Fetchers that need no database or other server, and an image server on loopback."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from imagesvc.fetching import Fetcher
from imagesvc.settings import Settings
from tests.support.image_server import ImageServer, image_server

UNREACHABLE: dict[str, Any] = {
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
    """Creates fetchers. ``parts`` are arguments of Fetcher, all other arguments are settings."""
    async with AsyncExitStack() as stack:

        def make(*, parts: dict[str, Any] | None = None, **changes: Any) -> Fetcher:
            fetcher = Fetcher(Settings(**{**UNREACHABLE, **changes}), **(parts or {}))
            stack.push_async_exit(fetcher)
            return fetcher

        yield make


@pytest.fixture
def fetcher(fetcher_with: NewFetcher) -> Fetcher:
    """A fetcher that may connect to 127.0.0.1."""
    return fetcher_with(fetch_allow="127.0.0.1/32")
