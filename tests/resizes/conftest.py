"""Accounts of a service whose worker runs."""

from collections.abc import AsyncIterator

import pytest

from tests.support.people import People
from tests.support.service import Service


@pytest.fixture
async def people(service: Service) -> AsyncIterator[People]:
    async with People(service) as people:
        yield people
