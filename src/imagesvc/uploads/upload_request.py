"""One upload request on its way through the service."""

import dataclasses

from imagesvc.http.slow_clients import TimedBody
from imagesvc.uploads.results import Results
from imagesvc.uploads.source import UploadSource


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class UploadRequest:
    """``declared_bytes`` is Content-Length, None for a chunked body. ``results`` collects what became of each file."""

    source: UploadSource
    body: TimedBody
    declared_bytes: int | None
    results: Results
