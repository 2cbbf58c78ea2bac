"""Builds the parts of the web process and of the worker in dependency order, and closes them."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import imagesvc.models  # noqa: F401 - foreign keys refer to tables of all features
from imagesvc.accounts.keys import ApiKeys
from imagesvc.accounts.logins import Logins
from imagesvc.accounts.passwords import Passwords
from imagesvc.accounts.service import Accounts
from imagesvc.accounts.sessions import WebSessions
from imagesvc.accounts.users import Users
from imagesvc.db import Database
from imagesvc.fetching import Fetcher
from imagesvc.http.idempotency import IdempotencyKeys
from imagesvc.http.pagination import Cursors
from imagesvc.images import handlers as image_handlers
from imagesvc.images.editing import ImageEditing
from imagesvc.images.processing_tasks import ImageProcessor
from imagesvc.images.search.service import Search
from imagesvc.images.service import Images
from imagesvc.images.shares.service import Shares
from imagesvc.images.similar.service import Similar
from imagesvc.images.time_zone_walk import TimeZoneWalks
from imagesvc.jobs import handlers as job_handlers
from imagesvc.jobs.download_task import DownloadTask
from imagesvc.jobs.report.service import VisitReports
from imagesvc.jobs.service import Jobs
from imagesvc.keyring import KeyRing
from imagesvc.links.service import Links
from imagesvc.metrics.database_gauges import DatabaseGauges
from imagesvc.metrics.exposition import CallbackGauge, MetricsPage
from imagesvc.operations import handlers as operation_handlers
from imagesvc.operations.account_removal import AccountRemoval
from imagesvc.operations.audit_runs import AuditRuns
from imagesvc.operations.dead_letters import TaskOperations
from imagesvc.operations.reprocessing import Reprocessings
from imagesvc.processing.limits import Limits
from imagesvc.processing.sandbox.sandbox import Sandbox
from imagesvc.resizes import handlers as resize_handlers
from imagesvc.resizes.expiry import ResizeExpiry
from imagesvc.resizes.resize_task import ResizeTask
from imagesvc.resizes.service import Resizes
from imagesvc.schema_version import require_current_schema
from imagesvc.settings import Settings
from imagesvc.stats.service import Statistics
from imagesvc.storage.bucket import Storage
from imagesvc.storage.loose_objects import Reaper
from imagesvc.stores.service import Stores
from imagesvc.tasks.completion import CompletionWaiter
from imagesvc.tasks.fair_queue import FairQueue
from imagesvc.tasks.queue import Queue
from imagesvc.tasks.runner import Kind, Runner
from imagesvc.uploads.admission import Admission
from imagesvc.uploads.batches.service import Batches
from imagesvc.uploads.check.service import ContentCheck
from imagesvc.uploads.concurrency import UploadConcurrency
from imagesvc.uploads.service import Uploads
from imagesvc.uploads.tus import handlers as resumable_handlers
from imagesvc.uploads.tus.abort import AbortUpload
from imagesvc.uploads.tus.append import AppendTools
from imagesvc.uploads.tus.creation import ResumableCreation
from imagesvc.uploads.tus.expiry import ResumableExpiry
from imagesvc.uploads.tus.finish import FinishUpload
from imagesvc.uploads.tus.service import ResumableUploads
from imagesvc.uploads.tus.shielded import ShieldedWork
from imagesvc.webhooks import handlers as webhook_handlers
from imagesvc.webhooks.batch_events import BatchEvents, BatchFinishedTask
from imagesvc.webhooks.delivery_task import DeliveryTask
from imagesvc.webhooks.service import Webhooks


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """The settings, and the clients of the servers that both processes use."""

    settings: Settings
    database: Database
    storage: Storage
    queue: Queue


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """The parts of a web process."""

    servers: Servers
    accounts: Accounts
    users: Users
    api_keys: ApiKeys
    logins: Logins
    links: Links
    uploads: Uploads
    batches: Batches
    content_check: ContentCheck
    resumables: ResumableUploads
    resumable_creation: ResumableCreation
    images: Images
    image_editing: ImageEditing
    shares: Shares
    resizes: Resizes
    webhooks: Webhooks
    stores: Stores
    jobs: Jobs
    visits: VisitReports
    stats: Statistics
    search: Search
    similar: Similar
    tasks: TaskOperations
    cursors: Cursors
    idempotency: IdempotencyKeys
    metrics: MetricsPage
    gauges: DatabaseGauges
    reprocessings: Reprocessings
    audit_runs: AuditRuns
    web_sessions: WebSessions


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """The parts of a worker process."""

    servers: Servers
    runner: Runner
    fair_queue: FairQueue
    reaper: Reaper
    expiry: ResumableExpiry
    resize_expiry: ResizeExpiry
    webhooks: Webhooks
    reprocessings: Reprocessings
    time_zone_walks: TimeZoneWalks
    stats: Statistics
    idempotency: IdempotencyKeys
    metrics: MetricsPage


@contextlib.asynccontextmanager
async def open_servers(settings: Settings) -> AsyncIterator[Servers]:
    """Connect to all servers. Raises SchemaOutdated, DatabaseAway, StorageAway."""
    database = Database(settings)
    try:
        await require_current_schema(database)
        async with Storage(settings) as storage, Queue(settings, database) as queue:
            yield Servers(settings=settings, database=database, storage=storage, queue=queue)
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def open_web(settings: Settings) -> AsyncIterator[Web]:
    """Build a web process. At exit, finishes what requests left running and sends the remaining wake-ups.

    Raises SchemaOutdated, DatabaseAway, StorageAway.
    """
    async with open_servers(settings) as servers, Fetcher(settings) as fetcher:
        database = servers.database
        keys = KeyRing(settings.signing_keys)
        batch_events = BatchEvents(database, servers.queue)
        admission = Admission(
            settings, database, servers.storage, servers.queue, batch_ended=batch_events.request_ended
        )
        concurrency = UploadConcurrency(settings)
        waiter = CompletionWaiter(database)
        images, passwords = Images(database, servers.queue, waiter), Passwords(settings.password_hashes_at_once)
        accounts, logins = Accounts(settings, database, keys), Logins(settings, database, keys, passwords)
        gauges = database_gauges(servers)
        yield Web(
            servers=servers,
            accounts=accounts,
            users=Users(settings, database, servers.queue, waiter, passwords),
            api_keys=ApiKeys(database),
            logins=logins,
            links=Links(settings, database, keys),
            uploads=Uploads(settings, admission, concurrency),
            batches=Batches(settings, database, admission, concurrency),
            content_check=ContentCheck(database),
            resumables=(resumables := _resumable_uploads(servers, concurrency, waiter)),
            resumable_creation=ResumableCreation(settings, database, admission, concurrency),
            images=images,
            image_editing=ImageEditing(database, images),
            shares=Shares(settings, database, keys, images),
            resizes=Resizes(settings, database, servers.storage, servers.queue, concurrency),
            webhooks=Webhooks(settings, database, keys, fetcher),
            stores=Stores(settings, database),
            jobs=Jobs(settings, database),
            visits=VisitReports(database),
            stats=Statistics(database),
            tasks=TaskOperations(database, servers.queue),
            cursors=Cursors(keys),
            search=Search(database),
            similar=Similar(database),
            idempotency=IdempotencyKeys(settings, database, keys),
            metrics=metrics_of_api(servers, concurrency, gauges),
            gauges=gauges,
            reprocessings=Reprocessings(settings, database, servers.queue),
            audit_runs=AuditRuns(database),
            web_sessions=WebSessions(settings, database, keys, accounts, logins),
        )
        await resumables.settle()
        await servers.queue.flush()
        passwords.close()


def _resumable_uploads(servers: Servers, concurrency: UploadConcurrency, waiter: CompletionWaiter) -> ResumableUploads:
    """The web process runs the finish task itself, so that the response to the last PATCH contains the result."""
    settings, database, storage = servers.settings, servers.database, servers.storage
    abort = AbortUpload(settings, database)
    finish = _finish_upload(servers, abort)
    tools = AppendTools(
        settings=settings, database=database, storage=storage, ending=abort, shielded=ShieldedWork(), finish=finish
    )
    runner = Runner(settings, database, resumable_handlers.kinds(settings, finish))
    return ResumableUploads(settings, tools, concurrency, runner, waiter)


def _finish_upload(servers: Servers, abort: AbortUpload) -> FinishUpload:
    return FinishUpload(servers.settings, servers.database, servers.storage, servers.queue, abort)


def _download_kinds(servers: Servers, fetcher: Fetcher) -> Mapping[str, Kind]:
    settings, database = servers.settings, servers.database
    admission = Admission(settings, database, servers.storage, servers.queue)
    downloads = DownloadTask(
        settings, database, admission, UploadConcurrency(settings), fetcher, CompletionWaiter(database)
    )
    return job_handlers.kinds(settings, downloads)


@contextlib.asynccontextmanager
async def open_background(settings: Settings, sandbox: Sandbox | None = None) -> AsyncIterator[Background]:
    """Build a worker. A ``sandbox`` of the caller stays open at exit.

    Raises SchemaOutdated, DatabaseAway, StorageAway.
    """
    async with contextlib.AsyncExitStack() as stack:
        servers = await stack.enter_async_context(open_servers(settings))
        if sandbox is None:
            sandbox = await stack.enter_async_context(Sandbox(limits_of(settings), slots=settings.worker_concurrency))
        fetcher = await stack.enter_async_context(Fetcher(settings))
        database, storage, keys = servers.database, servers.storage, KeyRing(settings.signing_keys)
        processor, abort = ImageProcessor(settings, database, storage, sandbox), AbortUpload(settings, database)
        kinds = {
            **image_handlers.kinds(settings, processor),
            **resize_handlers.kinds(settings, ResizeTask(settings, database, storage, sandbox)),
            **operation_handlers.kinds(settings, AccountRemoval(settings, database)),
            **resumable_handlers.kinds(settings, _finish_upload(servers, abort)),
            **_download_kinds(servers, fetcher),
            **webhook_handlers.kinds(
                settings, DeliveryTask(settings, database, keys, fetcher), BatchFinishedTask(database)
            ),
        }
        runner = Runner(settings, database, kinds)
        yield Background(
            servers=servers,
            runner=runner,
            fair_queue=FairQueue(settings, database, runner),
            reaper=Reaper(settings, database, storage),
            expiry=ResumableExpiry(database, abort),
            resize_expiry=ResizeExpiry(settings, database),
            webhooks=Webhooks(settings, database, keys, fetcher),
            reprocessings=Reprocessings(settings, database, servers.queue),
            time_zone_walks=TimeZoneWalks(database),
            stats=Statistics(database),
            idempotency=IdempotencyKeys(settings, database, keys),
            metrics=MetricsPage(_connections_gauge(database)),
        )


def database_gauges(servers: Servers) -> DatabaseGauges:
    return DatabaseGauges(
        fetch_one=servers.database.fetch_one, checks=checks_of(servers), has_worker=servers.queue.has_worker
    )


def metrics_of_api(servers: Servers, concurrency: UploadConcurrency, gauges: DatabaseGauges) -> MetricsPage:
    """The metrics page of a web process: counters, and gauges that are read from the database and the servers."""
    running = CallbackGauge(
        "imagesvc_uploads_under_way", "Running upload requests", (), lambda: {(): float(concurrency.under_way)}
    )
    memory = CallbackGauge(
        "imagesvc_upload_memory_bytes",
        "Memory for upload buffers: the budget, and how much of it is taken",
        ("what",),
        lambda: {("taken",): concurrency.taken_bytes, ("budget",): servers.settings.upload_memory_bytes},
    )
    return MetricsPage(gauges, _connections_gauge(servers.database), running, memory, prepare=gauges.refresh)


def checks_of(servers: Servers) -> dict[str, Callable[[], Awaitable[object]]]:
    """A check per server, by name. Each raises when its server is unavailable."""
    return {"database": servers.database.ping, "storage": servers.storage.ping, "queue": servers.queue.ping}


def _connections_gauge(database: Database) -> CallbackGauge:
    return CallbackGauge(
        "imagesvc_database_connections", "Open connections to the database", ("pool", "state"), database.connections
    )


def limits_of(settings: Settings) -> Limits:
    """The limits of processing one image, from the settings."""
    return Limits(
        max_pixels=settings.max_pixels,
        max_total_pixels=settings.max_total_pixels,
        max_frames=settings.max_frames,
        max_side=settings.max_side,
        sandbox_seconds=settings.sandbox_seconds,
        sandbox_memory_bytes=settings.sandbox_memory_bytes,
    )
