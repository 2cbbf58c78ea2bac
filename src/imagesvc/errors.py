"""The base of all expected failures: one class per failure, with the status, slug and title of its response.

Only ``http/problems.py`` turns them into responses (RFC 9457). Slugs are part of the HTTP contract: add, never rename.
Each feature defines its own failures in its ``errors.py``. This module has the base class and those that any module
may raise.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar


class ImagesvcError(Exception):
    """A failure that is reported to the caller.

    ``detail`` says what is wrong with this request and what to do. ``extra`` becomes extension members of the problem,
    ``retry_after_seconds`` becomes ``Retry-After``, and ``headers`` are added to the response unchanged.
    """

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    retry_after_seconds: int | None = None

    def __init__(
        self,
        detail: str | None = None,
        *,
        extra: Mapping[str, object] | None = None,
        retry_after_seconds: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.extra: dict[str, object] = dict(extra or {})
        self.headers = dict(headers or {})
        if retry_after_seconds is not None:
            self.retry_after_seconds = retry_after_seconds


class Malformed(ImagesvcError):
    status, slug, title = 400, "malformed-request", "The request cannot be read"


class Unauthenticated(ImagesvcError):
    """The credential is missing, malformed, forged or unknown. The response has ``WWW-Authenticate``."""

    status, slug, title = 401, "unauthenticated", "A valid credential is required"


class Forbidden(ImagesvcError):
    status, slug, title = 403, "forbidden", "The credential does not permit this"


class NotFound(ImagesvcError):
    """The resource does not exist, or the caller may not see it. The response never distinguishes the two."""

    status, slug, title = 404, "not-found", "Not found"


class Conflict(ImagesvcError):
    status, slug, title = 409, "conflict", "The request conflicts with the current state"


class PreconditionFailed(ImagesvcError):
    status, slug, title = 412, "precondition-failed", "The resource has changed since it was read"


class Invalid(ImagesvcError):
    """A member of the request is invalid.

    ``errors`` lists ``{"pointer": JSON Pointer (RFC 6901), "detail": text}``.
    """

    status, slug, title = 422, "invalid-request", "The request is not valid"

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        extra: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail, extra=extra, headers=headers)
        self.errors = [dict(error) for error in errors]
        if errors:
            self.extra["errors"] = self.errors


class Unavailable(ImagesvcError):
    """A dependency is unavailable or capacity is exhausted: the same request may succeed later."""

    status, slug, title = 503, "unavailable", "Temporarily unavailable"
    retry_after_seconds = 5
