"""A sandbox that a module's tests share; the module's tests have to run in the module's loop."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from imagesvc.processing.sandbox import Sandbox
from tests.processing.sandboxes import HOOKS, LIMITS, works


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    """One for the whole module: each test finds it working, whatever the one before did to it."""
    async with Sandbox(LIMITS, parent=tmp_path_factory.mktemp("scratch"), hooks=HOOKS) as started:
        yield started
        assert await works(started)
