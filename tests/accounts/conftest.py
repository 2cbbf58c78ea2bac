"""People who have accounts."""

from collections.abc import AsyncIterator

import pytest

from tests.support.people import People
from tests.support.service import Service


@pytest.fixture
async def people(service: Service) -> AsyncIterator[People]:
    """While a worker runs."""
    async with People(service) as people:
        yield people


@pytest.fixture
async def idle_people(idle_service: Service) -> AsyncIterator[People]:
    """While no worker runs."""
    async with People(idle_service) as people:
        yield people
