"""What a process counts while it works: a handful of additions for each request, file, task and S3 request.

The children of a label set are looked up once and kept, because finding one costs more than adding to it.
"""

import contextlib
import time
from collections.abc import Iterator
from functools import cache

from prometheus_client import Counter, Histogram

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OUTCOMES = frozenset(
    {
        *("processed", "rejected", "resized", "processing-error", "output-too-large", "bad-reply", "sandbox-lost"),
        *("decoder-crashed", "decoder-timeout", "decoder-memory", "decoder-killed"),
    }
)

HTTP_REQUESTS = Counter(
    "imagesvc_http_requests",
    "Requests that ended; status `none`: without an answer, because the client went away",
    ["method", "route", "status"],
)
HTTP_FIRST_BYTE_SECONDS = Histogram(
    "imagesvc_http_first_byte_seconds", "From the request's head to the answer's", ["method", "route"], buckets=SECONDS
)
HTTP_SECONDS = Histogram(
    "imagesvc_http_seconds", "From the request's head to the answer's last byte", ["method", "route"], buckets=SECONDS
)
PROBLEMS = Counter("imagesvc_problems", "Answers that told a problem, by the last part of its type", ["problem"])

UPLOADS = Counter("imagesvc_uploads", "Files, by the way they came in and how they fared", ["way", "result"])
UPLOAD_BYTES = Counter("imagesvc_upload_bytes", "Bytes of accepted files", ["way", "result"])
UPLOAD_REFUSALS = Counter("imagesvc_upload_refusals", "Files that were not taken, by problem", ["way", "problem"])

S3_REQUESTS = Counter(
    "imagesvc_s3_requests", "Requests to the object storage, retries of one counted once", ["operation", "result"]
)
S3_SECONDS = Histogram(
    "imagesvc_s3_seconds",
    "Time of a request to the object storage, its retries included",
    ["operation"],
    buckets=SECONDS,
)

TASKS = Counter(
    "imagesvc_task_runs", "Attempts at tasks: done, retried, dead, returned (not counted), lost", ["kind", "result"]
)
TASK_SECONDS = Histogram("imagesvc_task_seconds", "Time of one attempt at a task", ["kind"], buckets=SECONDS)
SANDBOX_RUNS = Counter(
    "imagesvc_sandbox_runs", "Images worked on in the sandbox: processed, rejected, or why it failed", ["outcome"]
)
ROUNDS = Counter(
    "imagesvc_background_rounds", "Rounds of what workers do again and again: ok, put-off, failed", ["work", "result"]
)
ROUND_ITEMS = Counter("imagesvc_background_items", "What those rounds dealt with", ["work"])

CREATED, DUPLICATE, REFUSED = "created", "duplicate", "refused"

_requests = cache(HTTP_REQUESTS.labels)
_first_byte = cache(HTTP_FIRST_BYTE_SECONDS.labels)
_whole = cache(HTTP_SECONDS.labels)
_uploads = cache(UPLOADS.labels)
_upload_bytes = cache(UPLOAD_BYTES.labels)
_s3_requests = cache(S3_REQUESTS.labels)
_s3_seconds = cache(S3_SECONDS.labels)


def count_request(
    method: str, route: str | None, *, status: int | None, first_byte_seconds: float | None, seconds: float
) -> None:
    """One request ended. ``route`` is the template, None when none matched; a made-up method counts as `other`."""
    known = method if method in METHODS else "other"
    template = route or "none"
    _requests(known, template, str(status) if status else "none").inc()
    if first_byte_seconds is not None:
        _first_byte(known, template).observe(first_byte_seconds)
    _whole(known, template).observe(seconds)


def count_problem(slug: str) -> None:
    PROBLEMS.labels(slug).inc()


def count_accepted(way: str, status: str, size: int) -> None:
    """A file was taken in: ``status`` is `created` or `duplicate`."""
    _uploads(way, status).inc()
    _upload_bytes(way, status).inc(size)


def count_refused(way: str, slug: str) -> None:
    """A file was not taken; ``slug`` names the problem."""
    _uploads(way, REFUSED).inc()
    UPLOAD_REFUSALS.labels(way, slug).inc()


def count_s3(operation: str, result: str, seconds: float) -> None:
    _s3_requests(operation, result).inc()
    _s3_seconds(operation).observe(seconds)


def count_sandbox_run(outcome: str) -> None:
    """One image was worked on. What fails is named by a process that may have fallen to the image: so not trusted."""
    SANDBOX_RUNS.labels(outcome if outcome in OUTCOMES else "other").inc()


@contextlib.contextmanager
def timed_attempt(kind: str) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    finally:
        TASK_SECONDS.labels(kind).observe(time.monotonic() - began)
