"""Admits the files of one upload request, one after the other. A bad file does not affect the others."""

from collections.abc import Mapping

from imagesvc.accounts.service import Caller
from imagesvc.db import new_id
from imagesvc.errors import ImagesvcError
from imagesvc.http.digests import parse_digest
from imagesvc.http.filenames import clean_filename
from imagesvc.http.slow_clients import UploadStalled
from imagesvc.links.service import OpenLink
from imagesvc.settings import Settings
from imagesvc.uploads.admission import Admission
from imagesvc.uploads.concurrency import UploadConcurrency
from imagesvc.uploads.errors import BadContext, BrokenMultipart, NoFile, RequestTooLarge
from imagesvc.uploads.file_context import parse_context
from imagesvc.uploads.multipart import FilePart, MultipartBody
from imagesvc.uploads.source import UploadSource
from imagesvc.uploads.upload_request import UploadRequest

MAX_SKIPPED_BYTES = 16 * 1024 * 1024
"""How much of a refused file is read and discarded to reach the next file. Beyond that, the rest is not read."""
UNREADABLE = (BrokenMultipart, RequestTooLarge, UploadStalled)
"""After one of these errors nothing more can be read from the request."""


class Uploads:
    def __init__(self, settings: Settings, admission: Admission, concurrency: UploadConcurrency) -> None:
        self._settings = settings
        self._admission = admission
        self._concurrency = concurrency

    def source_of_link(self, link: OpenLink) -> UploadSource:
        return UploadSource(
            owner_id=link.owner_id, way="link", max_file_bytes=link.max_file_bytes, batch_id=new_id(), link=link
        )

    def source_of_user(self, caller: Caller) -> UploadSource:
        caller.require("upload")
        return UploadSource(
            owner_id=caller.user_id, way="user", max_file_bytes=self._settings.max_file_bytes, batch_id=new_id()
        )

    async def take_raw(
        self, request: UploadRequest, *, filename: str, fields: Mapping[str, str], repr_digest: str | None
    ) -> None:
        """Admit a body that is one file. An error becomes its result."""
        name, source = clean_filename(filename), request.source
        try:
            context = parse_context(fields, filename=name, link=source.link)
            expected = expected_sha256(fields, repr_digest)
            async with self._concurrency.enter(source, declared_bytes=request.declared_bytes):
                admitted = await self._admission.admit(
                    request.body,
                    context,
                    source,
                    declared_bytes=request.declared_bytes,
                    expected_sha256=expected,
                )
            request.results.add(name, admitted)
            await self._admission.end_batch(source)
        except ImagesvcError as error:
            request.results.add(name, error)

    async def take_multipart(self, request: UploadRequest, *, content_type: str | None) -> None:
        """Admit the files of a multipart body. Raises NoFile, and any error that occurs before the first file."""
        body, results = MultipartBody(self._settings, content_type, request.body), request.results
        async with self._concurrency.enter(request.source, declared_bytes=request.declared_bytes):
            try:
                await self._take_parts(request, body)
            except UNREADABLE as error:
                if not results.count:
                    raise
                results.warnings.append(f"The body could not be read to its end: {error.detail}")
        results.warnings += body.warnings
        await self._admission.end_batch(request.source, rejected=results.rejected_count)
        if not results.count:
            raise NoFile("Send at least one part named `file`, as in `curl -F file=@picture.jpg`.")

    async def _take_parts(self, request: UploadRequest, body: MultipartBody) -> None:
        async for part in body.files():
            request.body.next_file()
            try:
                await self._take_part(request, part)
            except UNREADABLE as error:
                request.results.add(part.filename, error)
                raise
            except ImagesvcError as error:
                request.results.add(part.filename, error)
                if not await part.skip(max_bytes=MAX_SKIPPED_BYTES):
                    request.results.warnings.append("The rest was not read: this file was too long to skip.")
                    return

    async def _take_part(self, request: UploadRequest, part: FilePart) -> None:
        context = parse_context(part.fields, filename=part.filename, link=request.source.link)
        admitted = await self._admission.admit(
            part.chunks(),
            context,
            request.source,
            position=request.results.count,
            max_bytes=request.declared_bytes,
            expected_sha256=expected_sha256(part.fields, part.repr_digest),
        )
        request.results.add(part.filename, admitted)


def expected_sha256(fields: Mapping[str, str], repr_digest: str | None, *, at: str = "") -> bytes | None:
    """The digest that the sender declares, in the field `sha256` or in Repr-Digest (RFC 9530).

    Raises BadContext and Invalid.
    """
    if text := fields.get("sha256", "").strip():
        try:
            digest = bytes.fromhex(text)
        except ValueError:
            digest = b""
        if len(digest) != 32:
            raise BadContext(errors=[{"pointer": f"{at}/sha256", "detail": "64 hexadecimal digits are required."}])
        return digest
    return parse_digest(repr_digest) if repr_digest else None
