"""Failures of the routes of resumable uploads."""

from imagesvc.errors import Conflict, ImagesvcError, Malformed, NotFound, PreconditionFailed, Unavailable
from imagesvc.links.errors import REFUSALS
from imagesvc.uploads.errors import DigestMismatch, FileTooLarge, NotAnImage


class TusVersion(PreconditionFailed):
    slug, title = "tus-version", "This version of tus is not supported"


class TusHeader(Malformed):
    slug, title = "tus-header", "A header of the tus protocol is missing or cannot be parsed"


class NotOffsetStream(ImagesvcError):
    status, slug, title = 415, "not-offset-octet-stream", "The body is not application/offset+octet-stream"


class ResumableNotFound(NotFound):
    slug = "resumable-upload-not-found"


class WrongOffset(Conflict):
    """The answer's ``Upload-Offset`` is the current offset of the upload."""

    slug, title = "wrong-offset", "The upload has another offset"


class TakenOver(Conflict):
    """A newer request continues this upload. This request has stored the bytes that it received, and ends."""

    slug, title = "taken-over", "A newer request continues this upload"


class ChecksumMismatch(ImagesvcError):
    """None of the bytes of this request counts. tus defines the status."""

    status, slug, title = 460, "checksum-mismatch", "The bytes do not match their checksum"


class TooManyBytes(FileTooLarge):
    slug, title = "too-many-bytes", "More bytes than the declared length of the upload"


class TooManyUnfinished(ImagesvcError):
    status, slug, title = 429, "too-many-unfinished", "Too many resumable uploads are unfinished"
    retry_after_seconds = 60


class StillFinishing(Unavailable):
    """All bytes are stored. Their admission has to wait for a dependency."""

    slug, title = "still-finishing", "The upload is complete, but its result is not known yet"
    retry_after_seconds = 2


class UploadLocked(ImagesvcError):
    """StillFinishing as an answer to HEAD. After any other error, tus clients start a new upload."""

    status, slug, title = 423, "still-finishing", "The upload is complete, but its result is not known yet"
    retry_after_seconds = 2


class ResumableExpired(ImagesvcError):
    status, slug, title = 410, "upload-expired", "The upload has expired"


class ResumableTerminated(ImagesvcError):
    status, slug, title = 410, "upload-terminated", "The upload was terminated"


class WornOut(ImagesvcError):
    """Each attempt that fails in S3 or by its checksum uses up part numbers, which are limited."""

    status, slug, title = 410, "upload-worn-out", "Too many attempts failed: start a new upload"


class BytesLost(ImagesvcError):
    """An error of this service."""

    slug, title = "upload-lost", "The stored bytes could not be read: send the file again"


class UploadRefused(ImagesvcError):
    """The member ``problem`` is the problem that ended the upload."""

    status, slug, title = 410, "upload-refused", "The upload has ended without an image"


class ClientGone(Exception):
    """The connection ended before the body did."""


_FINAL = (NotAnImage, DigestMismatch, ResumableExpired, ResumableTerminated, WornOut, BytesLost, *REFUSALS.values())
FINAL: dict[str, type[ImagesvcError]] = {kind.slug: kind for kind in _FINAL}
"""The errors that can end an upload, by the slugs in its row."""
