"""The task that downloads one URL of a job, admits the image like any upload, and records its measurements.

The task lives until the image is processed. The slots of the fair queue therefore bound the work in progress,
regardless of how fast downloads arrive. Every step can be repeated: an upload has the id of its visit image, so an
image that was admitted before a crash is found and not downloaded again.
"""

import dataclasses
import time
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.db import Database
from imagesvc.errors import ImagesvcError, Unavailable
from imagesvc.fetching import Fetched, Fetcher, FetchFailed, FetchRefused
from imagesvc.http.filenames import UNNAMED, clean_filename
from imagesvc.jobs import completion, queries
from imagesvc.jobs.completion import CANCELLED, ImageOutcome, failed
from imagesvc.jobs.errors import GIVEN_UP, IMAGE_DELETED
from imagesvc.jobs.queries import Measurements, PendingDownload
from imagesvc.settings import Settings
from imagesvc.tasks import leases
from imagesvc.tasks.completion import CompletionWaiter
from imagesvc.tasks.leases import Lease
from imagesvc.tasks.runner import RetryTask
from imagesvc.uploads.admission import Admission
from imagesvc.uploads.concurrency import UploadConcurrency
from imagesvc.uploads.errors import AlreadyAdmitted
from imagesvc.uploads.file_context import FileContext
from imagesvc.uploads.source import UploadSource

PROCESSING_WAIT_SECONDS = 60.0
"""After this time the task frees its slot and checks the image again later."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ObtainedImage:
    """The image of a URL. ``seconds`` and the validators are of a request in this attempt, if there was one."""

    image_id: UUID
    seconds: float = 0.0
    etag: str | None = None
    last_modified: str | None = None


class DownloadTask:
    def __init__(
        self,
        settings: Settings,
        database: Database,
        admission: Admission,
        concurrency: UploadConcurrency,
        fetcher: Fetcher,
        completion_waiter: CompletionWaiter,
    ) -> None:
        self._settings = settings
        self._database = database
        self._admission = admission
        self._concurrency = concurrency
        self._fetcher = fetcher
        self._completion_waiter = completion_waiter

    async def download(self, lease: Lease) -> None:
        """Handle a task. A bad URL or a bad image ends the image; the task itself does not fail. Raises RetryTask."""
        download = await self._database.fetch_one_or_none(queries.PENDING_DOWNLOAD, PendingDownload, lease.task_id)
        if download is None:
            async with self._database.sessions.begin() as session:
                await leases.finish(session, lease)
            return
        if download.is_stopped and download.image_id is None:
            await self._end(lease, download, CANCELLED)
            return
        try:
            obtained = await self._obtain(download)
        except FetchRefused as error:
            await self._end(lease, download, failed(error.reason))
        except FetchFailed as error:
            if error.retryable and lease.attempt < self._settings.task_max_attempts:
                raise RetryTask(error.reason) from error
            await self._end(lease, download, failed(error.reason))
        except (Unavailable, AlreadyAdmitted) as error:
            raise RetryTask(error.slug, counts=False) from error
        except ImagesvcError as error:
            await self._end(lease, download, failed(error.slug))
        else:
            await self._completion_waiter.for_image(obtained.image_id, seconds=PROCESSING_WAIT_SECONDS)
            await self._measure(lease, download, obtained)

    async def give_up(self, session: AsyncSession, lease: Lease, error: RetryTask) -> None:
        """Fail the images of a task whose attempts are used up through our fault."""
        if lease.turn_of is not None and await completion.lock_job(session, lease.turn_of):
            await completion.end_images(session, lease.turn_of, lease.task_id, failed(GIVEN_UP))

    async def _obtain(self, download: PendingDownload) -> ObtainedImage:
        """Download the image unless the owner already has it.

        Raises FetchRefused, FetchFailed, and the errors of admission.
        """
        began = time.monotonic()
        if download.image_id is not None:
            await self._add_uploads(download.image_id, download)
            return ObtainedImage(image_id=download.image_id)
        if download.known_image_id is not None and (download.etag or download.last_modified):
            etag, last_modified = download.etag, download.last_modified
            async with self._fetcher.fetch(download.url, etag=etag, last_modified=last_modified) as response:
                if not response.not_modified:
                    return await self._admit(response, download, began=began)
            if await self._add_uploads(download.known_image_id, download):
                return ObtainedImage(
                    image_id=download.known_image_id,
                    seconds=time.monotonic() - began,
                    etag=etag,
                    last_modified=last_modified,
                )
        async with self._fetcher.fetch(download.url) as response:
            return await self._admit(response, download, began=began)

    async def _admit(self, response: Fetched, download: PendingDownload, *, began: float) -> ObtainedImage:
        source = UploadSource(
            owner_id=download.owner_id, way="job", max_file_bytes=self._settings.max_file_bytes, batch_id=None
        )
        filename = filename_of(download.url)
        context = FileContext(
            filename=filename,
            title=PurePosixPath(filename).stem or filename,
            captured_at=download.visit_times[0],
            store_id=download.store_ids[0],
            store_name=download.store_names[0],
        )
        async with self._concurrency.enter(source, declared_bytes=response.length):
            admitted = await self._admission.admit(
                response.chunks,
                context,
                source,
                declared_bytes=response.length,
                upload_id=download.upload_ids[0],
            )
        seconds = time.monotonic() - began
        if len(download.upload_ids) > 1:
            await self._add_uploads(admitted.image_id, download)
        return ObtainedImage(
            image_id=admitted.image_id, seconds=seconds, etag=response.etag, last_modified=response.last_modified
        )

    async def _add_uploads(self, image_id: UUID, download: PendingDownload) -> bool:
        """Insert an upload for each visit that has this URL.

        Returns False when the image is deleted, or failed, and has to be downloaded again.
        """
        row = await self._database.fetch_row(
            queries.INSERT_UPLOADS,
            image_id,
            download.owner_id,
            download.upload_ids,
            download.store_ids,
            download.store_names,
            download.visit_times,
            filename_of(download.url),
        )
        return row is not None

    async def _measure(self, lease: Lease, download: PendingDownload, obtained: ObtainedImage) -> None:
        """Record the measurements and complete the task. Raises RetryTask while the image is not processed."""
        async with self._database.sessions.begin() as session:
            if await completion.lock_job(session, download.job_id):
                measurements = await queries.measurements_of(session, obtained.image_id)
                outcome = _outcome(measurements, seconds=obtained.seconds)
                await completion.end_images(session, download.job_id, lease.task_id, outcome)
                if obtained.etag or obtained.last_modified:
                    await queries.save_validators(
                        session,
                        obtained.image_id,
                        url=download.url,
                        etag=obtained.etag,
                        last_modified=obtained.last_modified,
                    )
            await leases.finish(session, lease)

    async def _end(self, lease: Lease, download: PendingDownload, outcome: ImageOutcome) -> None:
        async with self._database.sessions.begin() as session:
            if await completion.lock_job(session, download.job_id):
                await completion.end_images(session, download.job_id, lease.task_id, outcome)
            await leases.finish(session, lease)


def _outcome(measurements: Measurements | None, *, seconds: float) -> ImageOutcome:
    if measurements is None:
        return failed(IMAGE_DELETED)
    if measurements.state == "pending":
        raise RetryTask("processing", counts=False)
    if measurements.state == "rejected":
        assert measurements.problem is not None  # noqa: S101 - a rejected image has a problem
        return failed(measurements.problem.removeprefix("/problems/"))
    if measurements.state == "failed":
        return failed(GIVEN_UP)
    return ImageOutcome(state="done", perimeter=measurements.perimeter, score=measurements.score, seconds=seconds)


def filename_of(url: str) -> str:
    """The last segment of the URL's path as a filename; never empty."""
    name = clean_filename(unquote(urlsplit(url).path.rpartition("/")[2]))
    return name if name != UNNAMED else "image"
