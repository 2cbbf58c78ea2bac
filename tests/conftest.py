"""Fixtures for all tests: real servers, a database, a Valkey database and a bucket per test, and their settings."""

import gc
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from imagesvc.processing.limits import Limits
from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.settings import Settings
from tests.support import servers as support
from tests.support.buckets import Buckets
from tests.support.databases import Databases, drop_template
from tests.support.folders import open_folder
from tests.support.people import People
from tests.support.servers import Servers
from tests.support.service import Service, running_service

SECRET_KEYS = "k1:0123456789abcdef0123456789abcdef,k0:fedcba9876543210fedcba9876543210"
ADMIN_TOKEN = "admin-token-of-the-tests-0123456789"
RUN = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        config.stash[RUN] = support.begin_run()


def pytest_collection_finish() -> None:
    """What is loaded now lives as long as the process: garbage collections need not look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def pytest_unconfigure(config: pytest.Config) -> None:
    if (run := config.stash.get(RUN, None)) is not None:
        try:
            drop_template(run)
        finally:
            support.end_run(run)


@pytest.fixture(scope="session")
def servers() -> Servers:
    """PostgreSQL, Valkey and an S3 server, shared by all processes of the run."""
    return support.running_servers()


@pytest.fixture
def shared_tmp_path() -> Iterator[Path]:
    """A temporary folder that other accounts can enter, for a data folder under root; `tmp_path` is closed to them."""
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def base_settings(servers: Servers, buckets: Buckets, redis_number_url: str) -> dict[str, Any]:
    """The settings that all tests of this process share; ``settings`` adds the database of the test."""
    return {
        "database_url": servers.role_url,
        "redis_url": redis_number_url,
        "s3_endpoint": servers.s3_endpoint,
        "s3_access_key": servers.s3_access_key,
        "s3_secret_key": servers.s3_secret_key,
        "s3_region": servers.s3_region,
        "s3_bucket": buckets.name,
        "secret_keys": SECRET_KEYS,
        "admin_token": ADMIN_TOKEN,
        "account_removal_wait_seconds": 1.0,
    }


@pytest.fixture(scope="session")
def databases(servers: Servers, base_settings: dict[str, Any]) -> Iterator[Databases]:
    with Databases(servers, Settings(**base_settings)) as made:
        yield made


@pytest.fixture
def database_url(servers: Servers, databases: Databases) -> Iterator[str]:
    """An empty database with the newest schema, dropped afterwards."""
    name = databases.fresh()
    yield servers.database(name)
    databases.drop(name)


@pytest.fixture
def empty_database_url(servers: Servers, databases: Databases) -> Iterator[str]:
    """A database without any schema, for tests of the migrations."""
    name = f"empty_{servers.run.name[-8:]}_{os.getpid()}"
    databases.execute(f'CREATE DATABASE "{name}" OWNER "{servers.role}"')
    yield servers.database(name)
    databases.drop(name)


@pytest.fixture(scope="session")
def redis_number_url(servers: Servers) -> str:
    """The Valkey database that only this process uses."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    plain = servers.redis_url.partition("?")[0]
    return f"{plain}?db={number}"


@pytest.fixture
def redis_url(redis_number_url: str) -> str:
    """A Valkey database, emptied."""
    with redis.Redis.from_url(redis_number_url) as client:
        client.flushdb()
    return redis_number_url


@pytest.fixture(scope="session")
def buckets(servers: Servers) -> Iterator[Buckets]:
    with Buckets(servers, os.environ.get("PYTEST_XDIST_WORKER", "gw0")) as made:
        yield made


@pytest.fixture
def bucket(buckets: Buckets) -> str:
    """A bucket that no other test uses at the same time, emptied."""
    buckets.empty()
    return buckets.name


@pytest.fixture
def settings_with(
    base_settings: dict[str, Any], database_url: str, redis_url: str, bucket: str
) -> Callable[..., Settings]:
    """Builds settings with all servers of this test; arguments override them."""

    def make(**changes: Any) -> Settings:
        return Settings(**{**base_settings, "database_url": database_url, **changes})

    return make


@pytest.fixture
def settings(settings_with: Callable[..., Settings]) -> Settings:
    return settings_with()


@pytest.fixture(scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    """One zygote for all tests of this process: no state remains from one image to the next."""
    async with Sandbox(Limits()) as running:
        yield running


@pytest.fixture
async def service(settings: Settings, sandbox: Sandbox) -> AsyncIterator[Service]:
    """The service with a worker."""
    async with running_service(settings, sandbox) as running:
        yield running


@pytest.fixture
async def idle_service(settings_with: Callable[..., Settings], sandbox: Sandbox) -> AsyncIterator[Service]:
    """The service without a worker: all tasks stay pending."""
    settings = settings_with(account_removal_wait_seconds=0.1)  # without a worker, the wait never succeeds
    async with running_service(settings, sandbox, with_worker=False) as running:
        yield running


@pytest.fixture
async def people(service: Service) -> AsyncIterator[People]:
    """Accounts on a service with a worker."""
    async with People(service) as people:
        yield people


@pytest.fixture
async def idle_people(idle_service: Service) -> AsyncIterator[People]:
    """Accounts on a service without a worker."""
    async with People(idle_service) as people:
        yield people
