"""Expected failures: one class a failure, with the status, slug and title that its answer will carry.

Only ``http/problems.py`` turns these into answers (RFC 9457). Slugs are part of the HTTP contract: add, never rename.
Each feature keeps its own failures beside it; this module has the root and the few that any room may raise.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class ImagesvcError(Exception):
    """A failure that the caller is told about.

    ``detail`` says what was wrong with this request and what to do; ``extra`` becomes extension members of the problem;
    ``retry_after_seconds`` becomes ``Retry-After``; ``headers`` go on the answer as they are.
    """

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong on our side"
    retry_after_seconds: int | None = None

    def __init__(
        self,
        detail: str | None = None,
        *,
        extra: Mapping[str, Any] | None = None,
        retry_after_seconds: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})
        if retry_after_seconds is not None:
            self.retry_after_seconds = retry_after_seconds


class Malformed(ImagesvcError):
    status, slug, title = 400, "malformed-request", "The request cannot be read"


class Unauthenticated(ImagesvcError):
    """No, bad, forged or unknown credential; answered with ``WWW-Authenticate``."""

    status, slug, title = 401, "unauthenticated", "A valid credential is needed"


class Forbidden(ImagesvcError):
    status, slug, title = 403, "forbidden", "This credential lacks the right"


class NotFound(ImagesvcError):
    """Not there, or not yours to know: the two are never told apart."""

    status, slug, title = 404, "not-found", "There is nothing here for you"


class Conflict(ImagesvcError):
    status, slug, title = 409, "conflict", "The request is at odds with the present state"


class PreconditionFailed(ImagesvcError):
    status, slug, title = 412, "precondition-failed", "It has changed since you read it"


class Invalid(ImagesvcError):
    """A member of the request is wrong; ``errors`` lists ``{"pointer": JSON Pointer (RFC 6901), "detail": text}``."""

    status, slug, title = 422, "invalid-request", "The request is not valid"

    def __init__(self, detail: str | None = None, *, errors: list[dict[str, str]] | None = None, **kwargs: Any) -> None:
        super().__init__(detail, **kwargs)
        if errors:
            self.extra["errors"] = errors


class Unavailable(ImagesvcError):
    """A dependency is away or there is no room just now: the same request may work later."""

    status, slug, title = 503, "unavailable", "Not possible just now"
    retry_after_seconds = 5
