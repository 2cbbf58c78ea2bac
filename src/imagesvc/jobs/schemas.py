"""Request and response bodies of the job routes."""

import datetime as dt
import json
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from imagesvc.errors import Malformed
from imagesvc.fetching import MAX_URL_LENGTH, FetchRefused, parse_url
from imagesvc.http.public_path import public_path
from imagesvc.http.timestamps import Timestamp
from imagesvc.http.validation import WHOLE
from imagesvc.jobs.errors import UNKNOWN_STORE, message_of
from imagesvc.stores.schemas import Text

Status = Literal["ongoing", "completed", "failed", "cancelled"]
ImageState = Literal["waiting", "done", "failed", "cancelled"]

_JOB_ID = "01995f4e-2f6c-7c3e-9a8d-0f8e5b7f1a10"
_URL = "https://pictures.example.org/shelf.jpg"
NEW_JOB: dict[str, JsonValue] = {
    "count": 1,
    "visits": [{"store_id": "S00339218", "image_url": [_URL], "visit_time": "2026-11-20T09:11:12+05:30"}],
}
_COUNTS: dict[str, JsonValue] = {
    "job_id": _JOB_ID,
    "status": "failed",
    "total": 2,
    "done": 1,
    "failed": 1,
    "cancelled": 0,
    "created_at": "2026-11-20T09:12:00Z",
    "finished_at": "2026-11-20T09:12:04Z",
}
_IMAGE: dict[str, JsonValue] = {
    "upload_id": "01995f4e-2f6c-7c3e-9a8d-0f8e5b7f1a11",
    "image_id": "01995f4e-2f6c-7c3e-9a8d-0f8e5b7f1a13",
    "store_id": "S00339218",
    "visit_time": "2026-11-20T03:41:12Z",
    "image_url": _URL,
    "state": "done",
    "perimeter": 14000,
    "score": 87,
    "seconds": 0.41,
    "error": None,
}


def _fetchable(url: str) -> str:
    try:
        parse_url(url)
    except FetchRefused:
        text = f"Must be an http or https URL of at most {MAX_URL_LENGTH} characters, without credentials"
        raise ValueError(text) from None
    return url


Url = Annotated[str, AfterValidator(_fetchable)]


class NewVisit(BaseModel):
    model_config = ConfigDict(extra="forbid")

    store_id: Text
    image_url: Annotated[list[Url], Field(min_length=1)]
    visit_time: Timestamp


class NewJob(BaseModel):
    """``count`` is the number of visits. It detects truncated requests."""

    model_config = ConfigDict(extra="forbid")

    count: Annotated[int, Field(gt=0), WHOLE]
    visits: Annotated[list[NewVisit], Field(min_length=1)]


def read_job(body: bytes) -> NewJob:
    """Parse a request body. Takes about 40 microseconds per URL: call it in a thread, not on the event loop.

    Raises Malformed, and pydantic's ValidationError.
    """
    try:
        content = json.loads(body)
    except json.JSONDecodeError as error:
        raise Malformed(f"The body is not valid JSON: {error.msg} at character {error.pos}.") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise Malformed("The body is not valid JSON.") from error
    return NewJob.model_validate(content)


def _job_body() -> dict[str, object]:
    schema = NewJob.model_json_schema()
    schema["properties"]["visits"]["items"] = schema.pop("$defs")["NewVisit"]
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": NEW_JOB}}}}


JOB_BODY = _job_body()


class JobMade(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"job_id": _JOB_ID, "url": f"/v1/jobs/{_JOB_ID}"}]})

    job_id: UUID
    url: str

    @classmethod
    def of(cls, job_id: UUID) -> Self:
        return cls(job_id=job_id, url=public_path(f"/v1/jobs/{job_id}"))


class JobCounts(BaseModel):
    """Numbers of images: `total` = `done` + `failed` + `cancelled` + those that have not ended."""

    model_config = ConfigDict(json_schema_extra={"examples": [_COUNTS]})

    job_id: UUID
    status: Status
    total: int
    done: int
    failed: int
    cancelled: int
    created_at: dt.datetime
    finished_at: dt.datetime | None


class JobError(BaseModel):
    """An error without `image_url` concerns the whole visit. `reason` is for programs, `error` for people."""

    store_id: str
    image_url: str | None = None
    reason: str
    error: str

    @classmethod
    def of(cls, store_id: str, url: str, reason: str) -> Self:
        shown = None if reason == UNKNOWN_STORE else url
        return cls(store_id=store_id, image_url=shown, reason=reason, error=message_of(reason))


class JobOut(JobCounts):
    """`errors` contains the first 1000 errors; `…/images` lists all images."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **_COUNTS,
                    "errors": [
                        {
                            "store_id": "S00339218",
                            "image_url": _URL,
                            "reason": "http-404",
                            "error": "The host answered 404.",
                        }
                    ],
                    "errors_omitted": 0,
                }
            ]
        }
    )

    errors: list[JobError]
    errors_omitted: int


class JobImage(BaseModel):
    """One URL of one visit. `image_id` is null until the image is downloaded, and after it is deleted."""

    model_config = ConfigDict(json_schema_extra={"examples": [_IMAGE]})

    upload_id: UUID
    image_id: UUID | None
    store_id: str
    visit_time: dt.datetime
    image_url: str
    state: ImageState
    perimeter: int | None
    score: int | None
    seconds: float | None
    error: str | None
