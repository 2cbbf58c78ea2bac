"""Failures of one uploaded file or of one upload request."""

from imagesvc.errors import Conflict, ImagesvcError, Invalid, Malformed, NotFound, Unavailable


class FileTooLarge(ImagesvcError):
    status, slug, title = 413, "file-too-large", "The file is larger than allowed"


class RequestTooLarge(ImagesvcError):
    status, slug, title = 413, "request-too-large", "The request has more parts or longer headers than allowed"


class NotAnImage(ImagesvcError):
    status, slug, title = 415, "unsupported-media-type", "The file is not an image of an accepted format"


class NotMultipart(ImagesvcError):
    status, slug, title = 415, "not-multipart", "The request is not multipart/form-data"


class BrokenMultipart(Malformed):
    slug, title = "broken-multipart", "The multipart body cannot be parsed"


class NotJson(ImagesvcError):
    status, slug, title = 415, "not-json", "The request is not JSON"


class BrokenJson(Malformed):
    slug, title = "broken-json", "The JSON body cannot be parsed"


class NotABatch(Invalid):
    slug, title = "not-a-batch", "The JSON document is not a batch of images"


class Base64Broken(Invalid):
    slug, title = "broken-base64", "The file is not valid base64"


class NoFile(Invalid):
    slug, title = "no-file", "The request contains no file"


class EmptyFile(Invalid):
    slug, title = "empty-file", "The file is empty"


class DigestMismatch(Invalid):
    slug, title = "digest-mismatch", "The file does not match its digest"


class BadContext(Invalid):
    slug, title = "invalid-context", "A field that describes the file is not valid"


class TooManyUploads(ImagesvcError):
    """Too many uploads through this link, or by this account, are in progress. The request may succeed later."""

    status, slug, title = 429, "too-many-uploads", "Too many concurrent uploads"
    retry_after_seconds = 2


class NoRoom(Unavailable):
    slug, title = "no-room", "Too many uploads are in progress"
    retry_after_seconds = 2


class NotAdmitted(Unavailable):
    """Other requests deleted and stored the same content during every attempt."""

    slug, title = "try-again", "The file could not be admitted now"
    retry_after_seconds = 1


class AlreadyAdmitted(Conflict):
    """An upload with this id exists. A caller that repeats an admission after a crash has nothing left to do."""

    slug, title = "already-admitted", "The upload already exists"


class BatchNotFound(NotFound):
    slug = "batch-not-found"
