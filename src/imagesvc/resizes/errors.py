"""Errors of the resize routes."""

from imagesvc.errors import Conflict, ImagesvcError, Invalid, NotFound


class NotAResize(Invalid):
    slug, title = "not-a-resize", "The resize request is not valid"


class UnknownBody(ImagesvcError):
    status, slug, title = 415, "not-json-nor-multipart", "The request is neither JSON nor multipart/form-data"


class TooManyResizes(ImagesvcError):
    """Too many resizes of this account are waiting for a worker. The same request may succeed later."""

    status, slug, title = 429, "too-many-resizes", "Too many unfinished resizes"
    retry_after_seconds = 5


class ResizeNotFound(NotFound):
    slug = "resize-not-found"


class ResizeExpired(ImagesvcError):
    """The same request as the first time makes the result again, under the same token."""

    status, slug, title = 410, "resize-expired", "The result has expired"


class NoResult(Conflict):
    """The resize is not finished, or it has failed; `GET /v1/resizes/{token}` says which."""

    slug, title = "no-result", "The resize has no result"
