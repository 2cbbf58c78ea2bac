"""The answer to an upload request: one entry per file, and one status for all."""

import dataclasses
from typing import Any, Literal, NotRequired, TypedDict

from imagesvc.errors import ImagesvcError, Unavailable
from imagesvc.http.problems import as_problem
from imagesvc.http.public_path import public_path
from imagesvc.metrics.instruments import count_refused
from imagesvc.uploads.admission import Admitted
from imagesvc.uploads.source import UploadSource

UploadStatus = Literal[200, 201]


class ResultEntry(TypedDict):
    """One file in the answer; ``schemas.FileResult`` describes it for the OpenAPI page."""

    index: int
    filename: str
    status: Literal["created", "duplicate", "rejected"]
    problem: NotRequired[dict[str, Any]]  # a problem document: its extension members have any type
    upload_id: NotRequired[str]
    image_id: NotRequired[str]
    sha256: NotRequired[str]
    bytes: NotRequired[int]
    url: NotRequired[str]


class ResultsBody(TypedDict):
    """The body of the answer; ``schemas.UploadAnswer`` describes it for the OpenAPI page."""

    batch_id: str
    warnings: list[str]
    results: list[ResultEntry]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one file."""

    filename: str
    outcome: Admitted | ImagesvcError


class Results:
    """Collects the results of one request.

    ``link_path`` is the path of the link that the request came through. The answer then shows no image ids.
    """

    def __init__(self, source: UploadSource, *, link_path: str | None) -> None:
        self._source = source
        self._link_path = link_path
        self._results: list[Result] = []
        self.warnings: list[str] = []

    def add(self, filename: str, outcome: Admitted | ImagesvcError) -> None:
        self._results.append(Result(filename=filename, outcome=outcome))
        if isinstance(outcome, ImagesvcError):
            count_refused(self._source.way, outcome.slug)

    @property
    def count(self) -> int:
        return len(self._results)

    @property
    def rejected_count(self) -> int:
        return sum(isinstance(result.outcome, ImagesvcError) for result in self._results)

    def answer(self) -> tuple[UploadStatus, ResultsBody]:
        """The status and the body: 201 when at least one file was created, 200 when all accepted files are duplicates.

        When no file was accepted, raises the first problem that a retry may solve, else the first problem. It carries
        all results.
        """
        outcomes = [result.outcome for result in self._results]
        refusals = [outcome for outcome in outcomes if isinstance(outcome, ImagesvcError)]
        entries = [self._entry(index, result) for index, result in enumerate(self._results)]
        if len(refusals) == len(outcomes):
            error = next((refusal for refusal in refusals if _is_retryable(refusal)), refusals[0])
            error.extra |= {"results": entries, "warnings": self.warnings}
            raise error
        created = any(isinstance(outcome, Admitted) and outcome.status == "created" for outcome in outcomes)
        body = ResultsBody(batch_id=str(self._source.batch_id), warnings=self.warnings, results=entries)
        return (201 if created else 200), body

    def _entry(self, index: int, result: Result) -> ResultEntry:
        file = result.outcome
        if isinstance(file, ImagesvcError):
            problem = as_problem(file)
            return ResultEntry(index=index, filename=result.filename, status="rejected", problem=problem)
        entry = ResultEntry(index=index, filename=result.filename, status=file.status, upload_id=str(file.upload_id))
        if self._link_path is None:
            entry["image_id"] = str(file.image_id)
            url = public_path(f"/v1/images/{file.image_id}")
        else:
            url = f"{self._link_path}/uploads/{file.upload_id}"
        entry["sha256"], entry["bytes"], entry["url"] = file.sha256.hex(), file.bytes, url
        return entry


def _is_retryable(error: ImagesvcError) -> bool:
    return isinstance(error, Unavailable) or error.status == 429
