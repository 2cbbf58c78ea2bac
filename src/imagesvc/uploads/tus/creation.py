"""Creates an upload, and one whose bytes all come with its creation, in one pass like a raw PUT."""

import dataclasses
from collections.abc import Mapping
from uuid import UUID

from imagesvc.db import Database, new_id
from imagesvc.errors import ImagesvcError
from imagesvc.http.filenames import clean_filename
from imagesvc.links.errors import REFUSALS
from imagesvc.metrics.instruments import count_refused
from imagesvc.settings import Settings
from imagesvc.uploads.admission import Admission, Admitted, FileDescription
from imagesvc.uploads.concurrency import UploadConcurrency
from imagesvc.uploads.errors import EmptyFile
from imagesvc.uploads.file_context import FileContext, parse_context
from imagesvc.uploads.incoming_file import too_large
from imagesvc.uploads.queries import ADMIT_FILE, AdmissionRecord, AdmissionRow
from imagesvc.uploads.service import expected_sha256
from imagesvc.uploads.source import UploadSource
from imagesvc.uploads.tus import queries
from imagesvc.uploads.tus.append import PatchBody
from imagesvc.uploads.tus.errors import TooManyUnfinished
from imagesvc.uploads.tus.queries import CreateResumable


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NewUpload:
    """What the request that creates an upload declares. ``sent_metadata`` is Upload-Metadata, ``fields`` its pairs."""

    length: int
    sent_metadata: str
    fields: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WholeUpload:
    """An upload that one request created and finished."""

    id: UUID
    admitted: Admitted


class ResumableCreation:
    def __init__(
        self, settings: Settings, database: Database, admission: Admission, concurrency: UploadConcurrency
    ) -> None:
        self._settings = settings
        self._database = database
        self._admission = admission
        self._concurrency = concurrency

    async def create(self, source: UploadSource, new: NewUpload) -> UUID:
        """Create an upload without bytes, and return its id. A link reserves one file and ``new.length`` bytes.

        Raises FileTooLarge, EmptyFile, BadContext, TooManyUnfinished, and the link's refusals.
        """
        row, _ = self._row(source, new)
        created = await queries.CREATE.run(self._database, row)
        match created.refusal:
            case None:
                return row.id
            case "too-many-unfinished":
                raise TooManyUnfinished(f"At most {row.most_unfinished} uploads may be unfinished.")
            case refusal:
                raise REFUSALS[refusal]

    def is_whole(self, new: NewUpload, body: PatchBody) -> bool:
        """Whether the request brings all bytes of the upload, and memory holds them.

        A request with a checksum is not: when it fails, the client may send the same bytes to the upload again.
        """
        return body.declared_bytes == new.length <= self._settings.part_bytes and body.checksum is None

    async def create_whole(self, source: UploadSource, new: NewUpload, body: PatchBody) -> WholeUpload:
        """Create an upload of which ``is_whole`` is true, and finish it.

        Raises the errors of the admission and of the body, and those of ``create`` about sizes and metadata. Then no
        upload exists: its client, who does not know its URL yet, has nothing to resume.
        """
        row, context = self._row(source, new)

        async def describe() -> FileDescription:
            return FileDescription(context=context, expected_sha256=row.sha256)

        async def admit(database: Database, record: AdmissionRecord) -> AdmissionRow:
            result = (row.id, row.metadata, row.context, row.sha256, self._settings.resumable_result_seconds)
            return await database.fetch_one(queries.ADMIT_WHOLE, AdmissionRow, *ADMIT_FILE.arguments(record), *result)

        try:
            async with self._concurrency.enter(source, declared_bytes=new.length):
                admitted = await self._admission.admit_described_later(
                    body.stream, describe, source, position=0, max_bytes=new.length, statement=admit
                )
        except ImagesvcError as error:
            count_refused("tus", error.slug)
            raise
        return WholeUpload(id=row.id, admitted=admitted)

    def _row(self, source: UploadSource, new: NewUpload) -> tuple[CreateResumable, FileContext]:
        if new.length > source.max_file_bytes:
            raise too_large(source.max_file_bytes)
        if new.length == 0:
            raise EmptyFile
        context = parse_context(new.fields, filename=_filename(new.fields), link=source.link, at="/upload-metadata")
        row = CreateResumable(
            id=new_id(),
            owner=source.owner_id,
            link=source.link_id,
            length=new.length,
            metadata=new.sent_metadata,
            context=_as_json(context),
            sha256=expected_sha256(new.fields, None),
            turn="free",
            idle_seconds=self._settings.resumable_idle_seconds,
            most_unfinished=self._settings.resumable_max_unfinished,
        )
        return row, context


def _filename(fields: Mapping[str, str]) -> str:
    """Clients send the name as `filename` or as `name`."""
    return clean_filename(fields.get("filename") or fields.get("name") or "")


def _as_json(context: FileContext) -> dict[str, str | None]:
    captured_at = context.captured_at
    return dataclasses.asdict(context) | {"captured_at": captured_at.isoformat() if captured_at else None}
