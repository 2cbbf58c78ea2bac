"""What can be wrong with a file on its way in."""

from imagesvc.errors import Conflict, ImagesvcError, Invalid, Malformed, NotFound, Unavailable


class FileTooLarge(ImagesvcError):
    status, slug, title = 413, "file-too-large", "The file is larger than allowed"


class RequestTooLarge(ImagesvcError):
    status, slug, title = 413, "request-too-large", "The request has more parts or longer headers than allowed"


class NotAnImage(ImagesvcError):
    status, slug, title = 415, "unsupported-media-type", "This is not an image of an accepted format"


class NotMultipart(ImagesvcError):
    status, slug, title = 415, "not-multipart", "The request is not multipart/form-data"


class BrokenMultipart(Malformed):
    slug, title = "broken-multipart", "The multipart body cannot be read"


class NotJson(ImagesvcError):
    status, slug, title = 415, "not-json", "The request is not JSON"


class BrokenJson(Malformed):
    slug, title = "broken-json", "The JSON body cannot be read"


class NotABatch(Invalid):
    slug, title = "not-a-batch", "The JSON is no batch of images"


class Base64Broken(Invalid):
    slug, title = "broken-base64", "The file is not base64"


class NoFile(Invalid):
    slug, title = "no-file", "The request carries no file"


class EmptyFile(Invalid):
    slug, title = "empty-file", "The file is empty"


class DigestMismatch(Invalid):
    slug, title = "digest-mismatch", "The file is not the one that its digest names"


class BadContext(Invalid):
    slug, title = "invalid-context", "A field about the file is not valid"


class TooManyUploads(ImagesvcError):
    """So many uploads through this link, or by this account, are under way. The same request may go through later."""

    status, slug, title = 429, "too-many-uploads", "Too many uploads at once"
    retry_after_seconds = 2


class NoRoom(Unavailable):
    slug, title = "no-room", "Too many uploads are under way"
    retry_after_seconds = 2


class NotAdmitted(Unavailable):
    """The content was deleted and stored anew under our feet, again and again."""

    slug, title = "try-again", "The file could not be admitted just now"
    retry_after_seconds = 1


class AlreadyAdmitted(Conflict):
    """This very upload is there already: whoever repeats an admission after a crash need not do it again."""

    slug, title = "already-admitted", "The upload is there already"


class BatchNotFound(NotFound):
    slug = "batch-not-found"
