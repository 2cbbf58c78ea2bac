"""One image of a job on its way: downloaded, admitted like any upload, waited for, and measured. The task's handler.

The task lives until the image is processed, so that what is under way is bounded by the places for such tasks, not by
how fast pictures come. Every step can be repeated: an upload has its visit image's id, so what was admitted before a
crash is found, and is not downloaded again.
"""

import dataclasses
import time
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.db import Database
from imagesvc.errors import ImagesvcError, Unavailable
from imagesvc.fetching import Fetched, Fetcher, FetchFailed, FetchRefused
from imagesvc.http.filenames import UNNAMED, clean_filename
from imagesvc.jobs import completion, queries
from imagesvc.jobs.completion import CANCELLED, Outcome, failed
from imagesvc.jobs.errors import GIVEN_UP, IMAGE_DELETED
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

PROCESSED_WITHIN_SECONDS = 60.0
"""Then the place is given to others, and the image is looked at again later."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Obtained:
    """The image, and what the host said of it, when it was asked just now."""

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
        waiting: CompletionWaiter,
    ) -> None:
        self._settings = settings
        self._database = database
        self._admission = admission
        self._concurrency = concurrency
        self._fetcher = fetcher
        self._waiting = waiting

    async def download(self, lease: Lease) -> None:
        """Raises TryLater. What is wrong with the URL or the picture ends the image, and is no failure of the task."""
        wanted = await self._database.fetch_row(queries.WANTED, lease.task_id)
        if wanted is None:
            async with self._database.sessions.begin() as session:
                await leases.finish(session, lease)
            return
        if wanted["is_stopped"] and wanted["image_id"] is None:
            await self._end(lease, wanted, CANCELLED)
            return
        try:
            obtained = await self._obtain(wanted)
        except FetchRefused as error:
            await self._end(lease, wanted, failed(error.reason))
        except FetchFailed as error:
            if error.retryable and lease.attempt < self._settings.task_max_attempts:
                raise RetryTask(error.reason) from error
            await self._end(lease, wanted, failed(error.reason))
        except (Unavailable, AlreadyAdmitted) as error:
            raise RetryTask(error.slug, counts=False) from error
        except ImagesvcError as error:
            await self._end(lease, wanted, failed(error.slug))
        else:
            await self._waiting.for_image(obtained.image_id, seconds=PROCESSED_WITHIN_SECONDS)
            await self._measure(lease, wanted, obtained)

    async def give_up(self, session: AsyncSession, lease: Lease, error: RetryTask) -> None:
        """The last attempt has failed on our side."""
        if lease.turn_of is not None and await completion.lock_job(session, lease.turn_of):
            await completion.end_images(session, lease.turn_of, lease.task_id, failed(GIVEN_UP))

    async def _obtain(self, wanted: Any) -> Obtained:
        """Download the picture, unless we have it. Raises FetchRefused, FetchFailed, and what admission raises."""
        begun = time.monotonic()
        if (image_id := wanted["image_id"]) is not None:
            await self._arrive(image_id, wanted)
            return Obtained(image_id=image_id)
        known = {name: wanted[name] for name in ("etag", "last_modified") if wanted[name]}
        for validators in (known, {}) if known else ({},):
            async with self._fetcher.fetch(wanted["url"], **validators) as answer:
                if not answer.not_modified:
                    return await self._take(answer, wanted, begun=begun)
            if await self._arrive(wanted["known_image_id"], wanted):
                seconds = time.monotonic() - begun
                return Obtained(image_id=wanted["known_image_id"], seconds=seconds, **validators)
        raise RetryTask("image-deleted-meanwhile", counts=False)

    async def _take(self, answer: Fetched, wanted: Any, *, begun: float) -> Obtained:
        source = UploadSource(
            owner_id=wanted["owner_id"], way="job", max_file_bytes=self._settings.max_file_bytes, batch_id=None
        )
        context = FileContext(
            filename=(name := filename_of(wanted["url"])),
            title=PurePosixPath(name).stem or name,
            captured_at=wanted["visit_times"][0],
            store_id=wanted["store_ids"][0],
            store_name=wanted["store_names"][0],
        )
        async with self._concurrency.enter(source, declared_bytes=answer.length):
            admitted = await self._admission.admit(
                answer.chunks, context, source, declared_bytes=answer.length, upload_id=wanted["ids"][0]
            )
        seconds = time.monotonic() - begun
        if len(wanted["ids"]) > 1:
            await self._arrive(admitted.image_id, wanted)
        return Obtained(
            image_id=admitted.image_id, seconds=seconds, etag=answer.etag, last_modified=answer.last_modified
        )

    async def _arrive(self, image_id: UUID, wanted: Any) -> bool:
        """An upload for each visit that has this picture; False when the image is gone or has to come again."""
        columns = (wanted["ids"], wanted["store_ids"], wanted["store_names"], wanted["visit_times"])
        arguments = (image_id, wanted["owner_id"], *columns, filename_of(wanted["url"]))
        return await self._database.fetch_row(queries.ARRIVE, *arguments) is not None

    async def _measure(self, lease: Lease, wanted: Any, obtained: Obtained) -> None:
        """Raises TryLater while the image is not processed."""
        async with self._database.sessions.begin() as session:
            if await completion.lock_job(session, wanted["job_id"]):
                figures = (await session.execute(queries.FIGURES, {"image": obtained.image_id})).one_or_none()
                outcome = _outcome(figures, seconds=obtained.seconds)
                await completion.end_images(session, wanted["job_id"], lease.task_id, outcome)
                if obtained.etag or obtained.last_modified:
                    said = {"etag": obtained.etag, "last_modified": obtained.last_modified}
                    await session.execute(queries.REMEMBER, {"image": obtained.image_id, "url": wanted["url"], **said})
            await leases.finish(session, lease)

    async def _end(self, lease: Lease, wanted: Any, outcome: Outcome) -> None:
        async with self._database.sessions.begin() as session:
            if await completion.lock_job(session, wanted["job_id"]):
                await completion.end_images(session, wanted["job_id"], lease.task_id, outcome)
            await leases.finish(session, lease)


def _outcome(figures: Any, *, seconds: float) -> Outcome:
    if figures is None:
        return failed(IMAGE_DELETED)
    if figures.state == "pending":
        raise RetryTask("processing", counts=False)
    if figures.state == "rejected":
        return failed(figures.problem.removeprefix("/problems/"))
    if figures.state == "failed":
        return failed(GIVEN_UP)
    return Outcome(state="done", perimeter=figures.perimeter, score=figures.score, seconds=seconds)


def filename_of(url: str) -> str:
    """What the URL calls the file; never empty."""
    name = clean_filename(unquote(urlsplit(url).path.rpartition("/")[2]))
    return name if name != UNNAMED else "image"
