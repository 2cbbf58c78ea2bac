"""What a process counts while it works: a few additions per request, file, task and S3 request.

The child of each label set is looked up once and cached, because the lookup costs more than the addition.
"""

import contextlib
import time
from collections.abc import Iterator
from functools import cache

from prometheus_client import Counter, Histogram

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SANDBOX_OUTCOMES = frozenset(
    {
        *("processed", "rejected", "resized", "processing-error", "output-too-large", "bad-reply", "sandbox-lost"),
        *("decoder-crashed", "decoder-timeout", "decoder-memory", "decoder-killed"),
    }
)

HTTP_REQUESTS = Counter(
    "imagesvc_http_requests",
    "Finished requests; status `none`: the client disconnected before the response",
    ["method", "route", "status"],
)
HTTP_FIRST_BYTE_SECONDS = Histogram(
    "imagesvc_http_first_byte_seconds",
    "From the request head to the response head",
    ["method", "route"],
    buckets=SECONDS,
)
HTTP_SECONDS = Histogram(
    "imagesvc_http_seconds",
    "From the request head to the last byte of the response",
    ["method", "route"],
    buckets=SECONDS,
)
PROBLEMS = Counter("imagesvc_problems", "Problem responses, by the last part of the problem type", ["problem"])

UPLOADS = Counter("imagesvc_uploads", "Uploaded files, by source and result", ["way", "result"])
UPLOAD_BYTES = Counter("imagesvc_upload_bytes", "Bytes of accepted files, by source and result", ["way", "result"])
UPLOAD_REFUSALS = Counter("imagesvc_upload_refusals", "Refused files, by source and problem", ["way", "problem"])

S3_REQUESTS = Counter(
    "imagesvc_s3_requests",
    "Requests to the object storage; a request with retries counts once",
    ["operation", "result"],
)
S3_SECONDS = Histogram(
    "imagesvc_s3_seconds",
    "Duration of a request to the object storage, retries included",
    ["operation"],
    buckets=SECONDS,
)

TASKS = Counter(
    "imagesvc_task_runs",
    "Task attempts: done, retried, dead, returned (does not count as an attempt), lost",
    ["kind", "result"],
)
TASK_SECONDS = Histogram("imagesvc_task_seconds", "Duration of one task attempt", ["kind"], buckets=SECONDS)
SANDBOX_RUNS = Counter(
    "imagesvc_sandbox_runs",
    "Images handled in the sandbox: processed, rejected, resized, or the reason of the failure",
    ["outcome"],
)
BACKGROUND_ROUNDS = Counter(
    "imagesvc_background_rounds", "Rounds of periodic background work: ok, put-off, failed", ["work", "result"]
)
BACKGROUND_ITEMS = Counter("imagesvc_background_items", "Items handled by periodic background work", ["work"])

CREATED, DUPLICATE, REFUSED = "created", "duplicate", "refused"

_requests = cache(HTTP_REQUESTS.labels)
_first_byte = cache(HTTP_FIRST_BYTE_SECONDS.labels)
_duration = cache(HTTP_SECONDS.labels)
_uploads = cache(UPLOADS.labels)
_upload_bytes = cache(UPLOAD_BYTES.labels)
_s3_requests = cache(S3_REQUESTS.labels)
_s3_seconds = cache(S3_SECONDS.labels)


def count_request(
    method: str, route: str | None, *, status: int | None, first_byte_seconds: float | None, seconds: float
) -> None:
    """Count a finished request. ``route`` is the template, None when none matched. Unknown methods count as `other`."""
    known = method if method in METHODS else "other"
    template = route or "none"
    _requests(known, template, str(status) if status else "none").inc()
    if first_byte_seconds is not None:
        _first_byte(known, template).observe(first_byte_seconds)
    _duration(known, template).observe(seconds)


def count_problem(slug: str) -> None:
    """Count a problem response."""
    PROBLEMS.labels(slug).inc()


def count_accepted(way: str, status: str, size: int) -> None:
    """Count an accepted file: ``status`` is `created` or `duplicate`, ``size`` its bytes."""
    _uploads(way, status).inc()
    _upload_bytes(way, status).inc(size)


def count_refused(way: str, slug: str) -> None:
    """Count a refused file; ``slug`` names the problem."""
    _uploads(way, REFUSED).inc()
    UPLOAD_REFUSALS.labels(way, slug).inc()


def count_s3(operation: str, result: str, seconds: float) -> None:
    """Count a request to the object storage."""
    _s3_requests(operation, result).inc()
    _s3_seconds(operation).observe(seconds)


def count_sandbox_run(outcome: str) -> None:
    """Count an image that the sandbox handled. Unknown outcomes count as `other`.

    A compromised sandbox process could report any text, so the text is not used as a label.
    """
    SANDBOX_RUNS.labels(outcome if outcome in SANDBOX_OUTCOMES else "other").inc()


@contextlib.contextmanager
def timed_attempt(kind: str) -> Iterator[None]:
    """Record the duration of the block as a task attempt."""
    started = time.monotonic()
    try:
        yield
    finally:
        TASK_SECONDS.labels(kind).observe(time.monotonic() - started)
