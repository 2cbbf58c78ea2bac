"""The answer to an upload request: one entry a file, and the one status that stands for all."""

import dataclasses
from typing import Any
from uuid import UUID

from imagesvc.errors import ImagesvcError, Unavailable
from imagesvc.http.problems import as_problem
from imagesvc.metrics.instruments import count_refused
from imagesvc.uploads.admission import Admitted


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one file fared."""

    filename: str
    outcome: Admitted | ImagesvcError


class Results:
    """Gathers the results of one request. With ``link_path`` it came through a link: no image id is told then."""

    def __init__(self, batch_id: UUID, *, way: str, link_path: str | None) -> None:
        self._batch_id = batch_id
        self._way = way
        self._link_path = link_path
        self._results: list[Result] = []
        self.warnings: list[str] = []

    def add(self, filename: str, outcome: Admitted | ImagesvcError) -> None:
        self._results.append(Result(filename=filename, outcome=outcome))
        if isinstance(outcome, ImagesvcError):
            count_refused(self._way, outcome.slug)

    @property
    def count(self) -> int:
        return len(self._results)

    @property
    def rejected_count(self) -> int:
        return sum(isinstance(result.outcome, ImagesvcError) for result in self._results)

    def answer(self) -> tuple[int, dict[str, Any]]:
        """(status, body): 201 when one was created, 200 when all accepted are duplicates.

        Raises, when none was accepted, the first problem that is worth another try, else the first, with all results.
        """
        outcomes = [result.outcome for result in self._results]
        refusals = [outcome for outcome in outcomes if isinstance(outcome, ImagesvcError)]
        entries = [self._entry(index, result) for index, result in enumerate(self._results)]
        if len(refusals) == len(outcomes):
            error = next((refusal for refusal in refusals if _is_retryable(refusal)), refusals[0])
            error.extra |= {"results": entries, "warnings": self.warnings}
            raise error
        created = any(isinstance(outcome, Admitted) and outcome.status == "created" for outcome in outcomes)
        body = {"batch_id": str(self._batch_id), "warnings": self.warnings, "results": entries}
        return (201 if created else 200), body

    def _entry(self, index: int, result: Result) -> dict[str, Any]:
        entry: dict[str, Any] = {"index": index, "filename": result.filename}
        match result.outcome:
            case ImagesvcError() as error:
                return entry | {"status": "rejected", "problem": as_problem(error)}
            case admitted:
                entry |= {"status": admitted.status, "upload_id": str(admitted.upload_id)}
                if self._link_path is None:
                    entry["image_id"] = str(admitted.image_id)
                url = f"/v1/images/{admitted.image_id}"
                if self._link_path is not None:
                    url = f"{self._link_path}/uploads/{admitted.upload_id}"
                return entry | {"sha256": admitted.sha256.hex(), "bytes": admitted.bytes, "url": url}


def _is_retryable(error: ImagesvcError) -> bool:
    return isinstance(error, Unavailable) or error.status == 429
