"""Create, append, tell, terminate: what the requests of tus ask for."""

import dataclasses
from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import UUID

from imagesvc.db import Database, new_id
from imagesvc.http.filenames import clean_filename
from imagesvc.links.errors import REFUSALS
from imagesvc.settings import Settings
from imagesvc.tasks.completion import CompletionWaiter
from imagesvc.tasks.runner import Runner
from imagesvc.uploads.concurrency import UploadConcurrency
from imagesvc.uploads.errors import EmptyFile
from imagesvc.uploads.file_context import FileContext, parse_context
from imagesvc.uploads.incoming_file import too_large
from imagesvc.uploads.service import expected_sha256
from imagesvc.uploads.source import UploadSource
from imagesvc.uploads.tus import queries
from imagesvc.uploads.tus.abort import first_hand, refusal
from imagesvc.uploads.tus.append import MIN_PART_BYTES, Append, AppendTools
from imagesvc.uploads.tus.checksum import Checksum
from imagesvc.uploads.tus.errors import (
    ResumableExpired,
    ResumableNotFound,
    ResumableTerminated,
    StillFinishing,
    TakenOver,
    TooManyBytes,
    TooManyUnfinished,
    UploadLocked,
    WrongOffset,
)
from imagesvc.uploads.tus.handover import Handover, Holder
from imagesvc.uploads.tus.request_stream import RequestStream

FINISH_WAIT_SECONDS = 20.0
"""How long a request waits for the result when another process works it out."""
ANY_STATE = ("receiving", "finishing", "done")
Row = Any


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PatchBody:
    """What a request brings along. ``declared_bytes``: Content-Length; None for a chunked body."""

    stream: AsyncIterator[bytes]
    declared_bytes: int | None
    checksum: Checksum | None


class ResumableUploads:
    """Users find their own uploads, a link finds those sent through it."""

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
        self._waiting = waiting
        self._turns = Handover(tools.database)

    async def create(self, source: UploadSource, *, length: int, sent_metadata: str, fields: Mapping[str, str]) -> Row:
        """A new upload of ``length`` bytes; through a link, with its reservation. Returns its row.

        Raises FileTooLarge, EmptyFile, BadContext, TooManyUnfinished, and what a link refuses with.
        """
        if length > source.max_file_bytes:
            raise too_large(source.max_file_bytes)
        if length == 0:
            raise EmptyFile
        context = parse_context(fields, filename=_filename(fields), link=source.link, at="/upload-metadata")
        upload_id = new_id()
        row = await self._database.fetch_row(
            queries.CREATE,
            *(upload_id, source.owner_id, source.link.id if source.link else None, length, sent_metadata),
            *(_as_json(context), expected_sha256(fields, None), "free"),
            *(self._settings.resumable_idle_seconds, self._settings.resumable_max_unfinished),
        )
        match row["refusal"]:
            case None:
                return await self._row(source, upload_id)
            case "too-many-unfinished":
                raise TooManyUnfinished(f"At most {self._settings.resumable_max_unfinished} may be unfinished.")
            case refused:
                raise REFUSALS[refused]

    async def append(self, source: UploadSource, upload_id: UUID, body: PatchBody, *, offset: int) -> Row:
        """Take bytes from ``offset`` on; the last ones lead to the result. Returns the row as it is then.

        Raises WrongOffset, TakenOver, ChecksumMismatch, TooManyBytes, UploadStalled, NotAnImage; UploadRefused for an
        upload that has ended; StillFinishing when the result has to wait; the refusals of UploadConcurrency and of the
        storage.
        ClientGone when nobody is there any more.
        """
        self._turns.ask_here(_holder(source, upload_id))  # what it holds of the budget comes free
        async with self._concurrency.enter(source, declared_bytes=_held_bytes(offset, body.declared_bytes)):
            upload = await self._take_turn(source, upload_id, offset)
            if upload["state"] == "receiving":
                upload = await self._receive(source, upload, body)
        if upload["state"] == "finishing":
            upload = await self._finished(source, upload_id)
        match upload["state"]:
            case "finishing":
                raise StillFinishing
            case "refused":
                raise first_hand(upload["problem"])
        return upload

    async def tell(self, source: UploadSource, upload_id: UUID) -> Row:
        """The row, once older requests have stored what they had: its offset stays. Raises UploadRefused, and
        UploadLocked while the result is not known."""
        upload = await self._present(source, upload_id)
        if upload["state"] == "receiving" and upload["turn"] != "free":
            await self._turns.ask(_holder(source, upload_id))
            await self._database.fetch_row(queries.FENCE, upload_id)
            upload = await self._present(source, upload_id)
        if upload["state"] == "finishing":
            upload = await self._finished(source, upload_id)
        match upload["state"]:
            case "finishing":
                raise UploadLocked
            case "refused":
                raise refusal(upload["problem"])
        return upload

    async def terminate(self, source: UploadSource, upload_id: UUID) -> None:
        """Free everything that an unfinished upload has; of a finished one only the result goes, the image stays."""
        await self._present(source, upload_id)
        await self._tools.ending.refuse(upload_id, ResumableTerminated(), states=ANY_STATE)
        self._turns.ask_here(_holder(source, upload_id))

    # ---- one turn

    async def _take_turn(self, source: UploadSource, upload_id: UUID, offset: int) -> Row:
        """The row under a new epoch; or as it is, when all bytes are there and ``offset`` says so."""
        for is_last_try in (False, True):
            row = await self._database.fetch_row(
                queries.TAKE_TURN,
                *(*_holder(source, upload_id), offset, is_last_try),
                *(self._settings.resumable_idle_seconds, self._settings.resumable_max_seconds),
            )
            if row is not None:
                return row
            upload = await self._present(source, upload_id)
            if upload["state"] != "receiving" or upload["turn"] == "free":
                break
            await self._turns.ask(_holder(source, upload_id))
        if upload["upload_offset"] == offset == upload["length"]:
            return upload
        raise WrongOffset(
            f"The upload stands at {upload['upload_offset']}.", headers={"Upload-Offset": str(upload["upload_offset"])}
        )

    async def _receive(self, source: UploadSource, upload: Row, body: PatchBody) -> Row:
        """What the row says when the body has ended."""
        left = upload["length"] - upload["upload_offset"]
        if body.declared_bytes is not None and body.declared_bytes > left:
            await self._database.fetch_row(queries.GIVE_TURN_BACK, upload["id"], upload["epoch"])
            raise TooManyBytes(f"{left} bytes are missing.")
        stream = RequestStream(body.stream, max_bytes=left)
        try:
            with self._turns.taken(_holder(source, upload["id"]), upload["epoch"], stream):
                return await Append(self._tools, upload, body.checksum).take(stream) or upload
        except TakenOver:
            await self._present(source, upload["id"])  # tells of an upload that was ended meanwhile
            raise

    # ---- where an upload stands

    async def _row(self, source: UploadSource, upload_id: UUID) -> Row:
        """Raises ResumableNotFound: not there, or not yours to know."""
        row = await self._database.fetch_row(queries.LOOK, *_holder(source, upload_id))
        if row is None:
            raise ResumableNotFound
        return row

    async def _present(self, source: UploadSource, upload_id: UUID) -> Row:
        """Raises also UploadRefused, ResumableExpired."""
        upload = await self._row(source, upload_id)
        if upload["state"] == "refused":
            raise refusal(upload["problem"])
        if upload["state"] == "receiving" and upload["is_expired"]:
            raise ResumableExpired
        return upload

    async def _finished(self, source: UploadSource, upload_id: UUID) -> Row:
        """The row once its result is known, or as it is when that has to wait: works it out, or waits for who does."""
        upload = await self._row(source, upload_id)
        if upload["task_id"] is None:
            return upload
        await self._runner.run(upload["task_id"])
        upload = await self._row(source, upload_id)
        if not upload["is_finishing"]:
            return upload
        await self._waiting.for_task(f"finish_resumable:{upload_id}", seconds=FINISH_WAIT_SECONDS)
        return await self._row(source, upload_id)

    async def settle(self) -> None:
        """Wait until what cancelled requests have left is stored: before an orderly stop."""
        await self._turns.settle()
        await self._tools.shielded.settle()


def _holder(source: UploadSource, upload_id: UUID) -> Holder:
    return upload_id, source.owner_id, source.link.id if source.link else None


def _held_bytes(offset: int, declared_bytes: int | None) -> int | None:
    """What the request may hold in memory: the tail before ``offset``, and what comes."""
    return None if declared_bytes is None else min(offset, MIN_PART_BYTES) + declared_bytes


def _filename(fields: Mapping[str, str]) -> str:
    """Clients differ in what they call it."""
    return clean_filename(fields.get("filename") or fields.get("name") or "")


def _as_json(context: FileContext) -> dict[str, Any]:
    values = dataclasses.asdict(context)
    moment = values["captured_at"]
    return values | {"captured_at": moment.isoformat() if moment else None}
