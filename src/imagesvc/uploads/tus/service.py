"""Creates, appends to, reports and terminates resumable uploads, as the requests of tus ask."""

import dataclasses
from typing import Literal, cast
from uuid import UUID

from imagesvc.db import Database
from imagesvc.settings import Settings
from imagesvc.tasks.completion import CompletionWaiter
from imagesvc.tasks.runner import Runner
from imagesvc.uploads.concurrency import UploadConcurrency
from imagesvc.uploads.source import UploadSource
from imagesvc.uploads.tus import queries
from imagesvc.uploads.tus.abort import later_error, original_error
from imagesvc.uploads.tus.append import MIN_PART_BYTES, Append, AppendTools, PatchBody
from imagesvc.uploads.tus.errors import (
    ResumableExpired,
    ResumableNotFound,
    ResumableTerminated,
    StillFinishing,
    TakenOver,
    TooManyBytes,
    UploadLocked,
    WrongOffset,
)
from imagesvc.uploads.tus.handover import Handover
from imagesvc.uploads.tus.queries import CompletedRow, ResumableRow, State, UploadRef
from imagesvc.uploads.tus.request_stream import RequestStream

FINISH_WAIT_SECONDS = 20.0
"""How long a request waits for the result when another process finishes the upload."""
TERMINABLE: tuple[State, ...] = ("receiving", "finishing", "done")


class ResumableUploads:
    """Users find their own uploads. A link finds the uploads that came through it."""

    def __init__(
        self,
        settings: Settings,
        tools: AppendTools,
        concurrency: UploadConcurrency,
        runner: Runner,
        waiting: CompletionWaiter,
    ) -> None:
        self._settings = settings
        self._tools = tools
        self._database: Database = tools.database
        self._concurrency = concurrency
        self._runner = runner
        self._completion = waiting
        self._handover = Handover(tools.database)

    async def created(self, source: UploadSource, upload_id: UUID) -> ResumableRow:
        """The upload that this source has just created."""
        return await self._get(_ref(source, upload_id))

    async def append(self, source: UploadSource, upload_id: UUID, body: PatchBody, *, offset: int) -> ResumableRow:
        """Store bytes from ``offset`` on; with the last byte, wait for the result. Returns the upload after that.

        Raises WrongOffset, TakenOver, ChecksumMismatch, TooManyBytes, UploadStalled, NotAnImage; UploadRefused for an
        upload that has ended; StillFinishing when the result has to wait; ClientGone when the connection broke; and
        the errors of UploadConcurrency and of the storage.
        """
        ref = _ref(source, upload_id)
        self._handover.stop_local(ref)  # releases the memory that an older request holds
        async with self._concurrency.enter(source, declared_bytes=_held_bytes(offset, body.declared_bytes)):
            upload = await self._take_turn(ref, offset)
            if upload.state == "receiving":
                upload = await self._receive(ref, upload, body)
        if upload.state == "finishing":
            upload = await self._finished(ref)
        if upload.state == "finishing":
            raise StillFinishing
        if upload.state == "refused":
            raise original_error(upload.problem)
        return upload

    async def status(self, source: UploadSource, upload_id: UUID) -> ResumableRow:
        """The upload, after older requests have stored their bytes, so that its offset is final.

        Raises UploadRefused, and UploadLocked while the result is not known.
        """
        ref = _ref(source, upload_id)
        upload = await self._present(ref)
        if upload.state == "receiving" and upload.turn != "free":
            await self._handover.wait_for_turn(ref)
            await self._database.fetch_row(queries.FENCE, upload_id)
            upload = await self._present(ref)
        if upload.state == "finishing":
            upload = await self._finished(ref)
        if upload.state == "finishing":
            raise UploadLocked
        if upload.state == "refused":
            raise later_error(upload.problem)
        return upload

    async def terminate(self, source: UploadSource, upload_id: UUID) -> None:
        """Release everything that an unfinished upload holds. The image of a finished upload stays.

        Also ends an expired upload: a request that still sends its bytes would put the expiry off.
        """
        ref = _ref(source, upload_id)
        upload = await self._get(ref)
        if upload.state == "refused":
            raise later_error(upload.problem)
        await self._tools.ending.refuse(upload_id, ResumableTerminated(), states=TERMINABLE)
        self._handover.stop_local(ref)

    # ---- one request that writes

    async def _take_turn(self, ref: UploadRef, offset: int) -> ResumableRow:
        """The upload under a new epoch; unchanged when all bytes are stored and ``offset`` is the length."""
        for is_last_try in (False, True):
            taken = await self._database.fetch_one_or_none(
                queries.TAKE_TURN,
                ResumableRow,
                *(ref.upload_id, ref.owner_id, ref.link_id, offset, is_last_try),
                *(self._settings.resumable_idle_seconds, self._settings.resumable_max_seconds),
            )
            if taken is not None:
                return taken
            upload = await self._present(ref)
            if upload.state != "receiving" or upload.turn == "free":
                break
            await self._handover.wait_for_turn(ref)
        if upload.upload_offset == offset == upload.length:
            return upload
        raise WrongOffset(
            f"The offset of the upload is {upload.upload_offset}.", headers={"Upload-Offset": str(upload.upload_offset)}
        )

    async def _receive(self, ref: UploadRef, upload: ResumableRow, body: PatchBody) -> ResumableRow:
        """The upload with the state, offset and expiry that it has when the body has ended."""
        left = upload.length - upload.upload_offset
        if body.declared_bytes is not None and body.declared_bytes > left:
            await self._database.fetch_row(queries.FREE_TURN, upload.id, upload.epoch)
            raise TooManyBytes(f"{left} bytes are missing.")
        stream = RequestStream(body.stream, max_bytes=left)
        try:
            with self._handover.receiving(ref, upload.epoch, stream):
                append = Append(self._tools, upload, body.checksum, owner_id=ref.owner_id)
                saved = await append.take(stream)
        except TakenOver:
            await self._present(ref)  # raises the error of an upload that was ended in the meantime
            raise
        if saved is None or saved.state is None:
            return upload
        if saved.state == "refused":
            return await self._get(ref)
        progress = dataclasses.replace(
            upload, state=saved.state, upload_offset=saved.upload_offset, expires_at=saved.expires_at
        )
        if not isinstance(saved, CompletedRow):
            return progress
        status = cast("Literal['created', 'duplicate'] | None", saved.outcome)
        return dataclasses.replace(progress, status=status, upload_id=saved.upload_id, image_id=saved.image_id)

    # ---- reading an upload

    async def _get(self, ref: UploadRef) -> ResumableRow:
        """Raises ResumableNotFound when it does not exist or belongs to others."""
        upload = await self._database.fetch_one_or_none(
            queries.GET, ResumableRow, ref.upload_id, ref.owner_id, ref.link_id
        )
        if upload is None:
            raise ResumableNotFound
        return upload

    async def _present(self, ref: UploadRef) -> ResumableRow:
        """Like ``_get``; also raises UploadRefused and ResumableExpired."""
        upload = await self._get(ref)
        if upload.state == "refused":
            raise later_error(upload.problem)
        if upload.state == "receiving" and upload.is_expired:
            raise ResumableExpired
        return upload

    async def _finished(self, ref: UploadRef) -> ResumableRow:
        """Run the task of the upload, or wait while another process runs it. Returns the upload after that.

        It is still `finishing` when the task has to wait for a dependency, or takes longer than FINISH_WAIT_SECONDS.
        """
        upload = await self._get(ref)
        if upload.task_id is None:
            return upload
        await self._runner.run(upload.task_id)
        upload = await self._get(ref)
        if not upload.is_finishing:
            return upload
        await self._completion.for_task(f"finish_resumable:{ref.upload_id}", seconds=FINISH_WAIT_SECONDS)
        return await self._get(ref)

    async def settle(self) -> None:
        """Wait until cancelled requests have stored their bytes: for an orderly stop."""
        await self._handover.settle()
        await self._tools.shielded.settle()


def _ref(source: UploadSource, upload_id: UUID) -> UploadRef:
    return UploadRef(upload_id=upload_id, owner_id=source.owner_id, link_id=source.link_id)


def _held_bytes(offset: int, declared_bytes: int | None) -> int | None:
    """The most bytes that the request holds in memory: the tail before ``offset``, and its body."""
    return None if declared_bytes is None else min(offset, MIN_PART_BYTES) + declared_bytes
