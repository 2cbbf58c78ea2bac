"""What can be wrong with a resumable upload."""

from imagesvc.errors import Conflict, ImagesvcError, Malformed, NotFound, PreconditionFailed, Unavailable
from imagesvc.links.errors import REFUSALS
from imagesvc.uploads.errors import DigestMismatch, FileTooLarge, NotAnImage


class TusVersion(PreconditionFailed):
    slug, title = "tus-version", "This version of tus is not spoken here"


class TusHeader(Malformed):
    slug, title = "tus-header", "A header of the tus protocol is missing or cannot be read"


class NotOffsetStream(ImagesvcError):
    status, slug, title = 415, "not-offset-octet-stream", "The body of a tus request has a content type of its own"


class ResumableNotFound(NotFound):
    slug = "resumable-upload-not-found"


class WrongOffset(Conflict):
    """``Upload-Offset`` of the answer says where the upload stands."""

    slug, title = "wrong-offset", "The upload stands at another offset"


class TakenOver(Conflict):
    """A newer request for the same upload has come: this one has stored what it had and stops."""

    slug, title = "taken-over", "A newer request goes on with this upload"


class ChecksumMismatch(ImagesvcError):
    """None of the bytes of this request counts."""

    status, slug, title = 460, "checksum-mismatch", "The bytes are not those that their checksum names"


class TooManyBytes(FileTooLarge):
    slug, title = "too-many-bytes", "More bytes than the upload was declared to have"


class TooManyUnfinished(ImagesvcError):
    status, slug, title = 429, "too-many-unfinished", "Too many resumable uploads are unfinished"
    retry_after_seconds = 60


class StillFinishing(Unavailable):
    """All bytes are stored; their admission has to wait for a dependency."""

    slug, title = "still-finishing", "The upload is complete, its result is not known yet"
    retry_after_seconds = 2


class UploadLocked(ImagesvcError):
    """The same in answer to HEAD, as tus clients understand it: any other failure makes them begin anew."""

    status, slug, title = 423, "still-finishing", "The upload is complete, its result is not known yet"
    retry_after_seconds = 2


class ResumableExpired(ImagesvcError):
    status, slug, title = 410, "upload-expired", "The upload has expired"


class ResumableTerminated(ImagesvcError):
    status, slug, title = 410, "upload-terminated", "The upload was terminated"


class WornOut(ImagesvcError):
    """Each attempt that S3 or a checksum foiled costs part numbers, of which there are not many."""

    status, slug, title = 410, "upload-worn-out", "Too many attempts on this upload have failed: begin anew"


class BytesLost(ImagesvcError):
    """Our fault."""

    slug, title = "upload-lost", "The stored bytes could not be read back: send the file again"


class UploadRefused(ImagesvcError):
    """``problem`` is what was wrong when it was found out."""

    status, slug, title = 410, "upload-refused", "The upload has ended without an image"


class ClientGone(Exception):
    """The connection ended before the body did."""


_ENDS = (NotAnImage, DigestMismatch, ResumableExpired, ResumableTerminated, WornOut, BytesLost, *REFUSALS.values())
FINAL: dict[str, type[ImagesvcError]] = {kind.slug: kind for kind in _ENDS}
"""What an upload can end with, by the slugs that are kept in its row."""
