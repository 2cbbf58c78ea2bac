"""A sandbox that the tests of a module share, which must run in the loop of the module; files that once failed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from imagesvc.processing.sandbox.sandbox import Sandbox
from tests.processing.sandboxes import HOOKS, LIMITS, works


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    """One for the whole module. It must still work after every test."""
    async with Sandbox(LIMITS, parent=tmp_path_factory.mktemp("scratch"), hooks=HOOKS) as started:
        yield started
        assert await works(started)


@pytest.fixture
def cases() -> Path:
    """The folder with small files that the service once handled wrongly."""
    return Path(__file__).parent / "cases"
