"""A real browser for tests of pages: Debian's Chromium, driven by Playwright.

Where none is installed the tests are skipped, unless IMAGESVC_REQUIRE_BROWSER is set, as in continuous integration.
"""

import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, ConsoleMessage, Page, Request, Response, async_playwright

PATH = shutil.which("chromium") or "/usr/bin/chromium"
OPTIONS = (
    "--no-sandbox",  # a browser of root refuses to start with one
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
NO_COMPLAINTS = ("Failed to load resource", "Could not find component: JsonSchema_")
"""The browser reports each failed request, which ``statuses`` has. Swagger UI reports a lookup that has a fallback."""
SERIOUS = ("serious", "critical")
TIMEOUT_MS = 30_000


@contextlib.asynccontextmanager
async def running_browser() -> AsyncIterator[Browser]:
    """One headless browser; its contexts are isolated profiles."""
    if not os.access(PATH, os.X_OK):
        if os.environ.get("IMAGESVC_REQUIRE_BROWSER"):
            pytest.fail("IMAGESVC_REQUIRE_BROWSER is set, but Chromium is not installed")
        pytest.skip("Chromium is not installed (apt-get install chromium): tests in a browser are skipped")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=PATH, args=list(OPTIONS))
        try:
            yield browser
        finally:
            await browser.close()


@dataclass(kw_only=True)
class Visitor:
    """A person with a browser window.

    ``complaints`` are errors of scripts, violations of policies and requests to other hosts.
    ``statuses`` are the responses of at least 400 as (status, method).
    """

    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)
    statuses: list[tuple[int, str]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def listen(self) -> None:
        self.page.set_default_timeout(TIMEOUT_MS)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        self.page.on("request", self._request)
        self.page.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(text in message.text for text in NO_COMPLAINTS):
            self.complaints.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        address = urlsplit(request.url)
        self.requests.append(f"{request.method} {address.path}")
        if address.scheme in ("http", "https") and f"{address.scheme}://{address.netloc}" != self.origin:
            self.complaints.append(f"foreign request: {request.url}")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self.statuses.append((response.status, response.request.method))

    async def open(self, path: str) -> Response | None:
        return await self.page.goto(self.origin + path)

    async def inaccessible(self) -> list[str]:
        """The serious findings of axe on the current page."""
        results = await Axe().run(self.page)
        found: list[dict[str, Any]] = results.response["violations"]
        return [f"{rule['id']}: {rule['nodes'][0]['html'][:200]}" for rule in found if rule.get("impact") in SERIOUS]

    async def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        wide: int = await self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        return wide


@contextlib.asynccontextmanager
async def visiting(browser: Browser, origin: str, **options: Any) -> AsyncIterator[Visitor]:
    """A new window with an empty profile. ``options`` are those of Playwright's ``new_context``."""
    context = await browser.new_context(**{"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", **options})
    try:
        visitor = Visitor(page=await context.new_page(), origin=origin)
        visitor.listen()
        yield visitor
    finally:
        await context.close()
