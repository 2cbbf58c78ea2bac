"""A browser for all tests of a process, and windows that fail the test when their page complained."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from playwright.async_api import Browser

from imagesvc.settings import Settings
from tests.support.browser import Visitor, running_browser, visiting
from tests.support.service import Service


@pytest.fixture
def settings(settings_with: Callable[..., Settings]) -> Settings:
    """Webhooks and downloads of this machine are allowed."""
    return settings_with(fetch_allow="127.0.0.1/32")


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with running_browser() as running:
        yield running


class Windows:
    """Opens browser windows on a service."""

    def __init__(self, browser: Browser, origin: str, stack: AsyncExitStack) -> None:
        self.browser, self.origin, self._stack = browser, origin, stack
        self.opened: list[Visitor] = []

    async def new(self, *, origin: str | None = None, **options: Any) -> Visitor:
        visitor = await self._stack.enter_async_context(visiting(self.browser, origin or self.origin, **options))
        self.opened.append(visitor)
        return visitor


@pytest.fixture
async def windows(browser: Browser, service: Service) -> AsyncIterator[Windows]:
    """At the end of the test, no page may have had an error, violated its policy or called another host."""
    async with AsyncExitStack() as stack:
        opened = Windows(browser, service.url, stack)
        yield opened
        assert [visitor.complaints for visitor in opened.opened if visitor.complaints] == []
