"""One upload request: its files one after the other, each admitted by itself, a bad one harming no other."""

from collections.abc import Mapping
from typing import Any

from imagesvc.accounts.service import Caller
from imagesvc.db import new_id
from imagesvc.errors import ImagesvcError
from imagesvc.http.digests import parse_digest
from imagesvc.http.filenames import clean_filename
from imagesvc.http.slow_clients import TimedBody, UploadStalled
from imagesvc.links.service import OpenLink
from imagesvc.settings import Settings
from imagesvc.uploads.admission import Admission
from imagesvc.uploads.concurrency import UploadConcurrency
from imagesvc.uploads.errors import BadContext, BrokenMultipart, NoFile, RequestTooLarge
from imagesvc.uploads.file_context import parse_context
from imagesvc.uploads.multipart import MultipartBody
from imagesvc.uploads.results import Results
from imagesvc.uploads.source import UploadSource

MAX_SKIPPED_BYTES = 16 * 1024 * 1024
"""How much of a file that was refused is read past to reach its neighbours; then the request is given up."""


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
        self,
        request_body: TimedBody,
        source: UploadSource,
        results: Results,
        *,
        filename: str,
        fields: Mapping[str, str],
        repr_digest: str | None,
        declared_bytes: int | None,
    ) -> None:
        """The body is the file."""
        name = clean_filename(filename)
        try:
            context = parse_context(fields, filename=name, link=source.link)
            expected = expected_sha256(fields, repr_digest)
            async with self._concurrency.enter(source, declared_bytes=declared_bytes):
                admitted = await self._admission.admit(
                    request_body, context, source, declared_bytes=declared_bytes, expected_sha256=expected
                )
            results.add(name, admitted)
            await self._admission.end_batch(source)
        except ImagesvcError as error:
            results.add(name, error)

    async def take_multipart(
        self,
        request_body: TimedBody,
        source: UploadSource,
        results: Results,
        *,
        content_type: str | None,
        declared: int | None,
    ) -> None:
        """The files of a multipart body; raises NoFile, and what keeps the whole body from being read."""
        body = MultipartBody(self._settings, content_type, request_body)
        async with self._concurrency.enter(source, declared_bytes=declared):
            try:
                await self._take_parts(body, request_body, source, results, max_bytes=declared)
            except (BrokenMultipart, RequestTooLarge, UploadStalled) as error:
                if not results.count:
                    raise
                results.warnings.append(f"The body could not be read to its end: {error.detail}")
        results.warnings += body.warnings
        await self._admission.end_batch(source, rejected=results.rejected_count)
        if not results.count:
            raise NoFile("Send at least one part named `file`, as in `curl -F file=@picture.jpg`.")

    async def _take_parts(
        self,
        body: MultipartBody,
        request_body: TimedBody,
        source: UploadSource,
        results: Results,
        *,
        max_bytes: int | None,
    ) -> None:
        async for part in body.files():
            request_body.next_file()
            try:
                context = parse_context(part.fields, filename=part.filename, link=source.link)
                expected = expected_sha256(part.fields, part.repr_digest)
                position = results.count
                admitted = await self._admission.admit(
                    part.chunks(), context, source, position=position, max_bytes=max_bytes, expected_sha256=expected
                )
                results.add(part.filename, admitted)
            except (BrokenMultipart, RequestTooLarge, UploadStalled) as error:
                results.add(part.filename, error)
                raise
            except ImagesvcError as error:
                results.add(part.filename, error)
                if not await part.skip(max_bytes=MAX_SKIPPED_BYTES):
                    results.warnings.append("What followed this file was not read: it was too long to skip.")
                    return


def expected_sha256(fields: Mapping[str, Any], repr_digest: str | None, *, at: str = "") -> bytes | None:
    """The digest that the sender names, by field or by Repr-Digest (RFC 9530). Raises BadContext, Invalid."""
    if text := str(fields.get("sha256", "")).strip():
        try:
            digest = bytes.fromhex(text)
        except ValueError:
            digest = b""
        if len(digest) != 32:
            raise BadContext(errors=[{"pointer": f"{at}/sha256", "detail": "64 hexadecimal digits are needed."}])
        return digest
    return parse_digest(repr_digest) if repr_digest else None
