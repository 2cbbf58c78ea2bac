"""Request and response bodies of the routes for tasks."""

import datetime as dt
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from imagesvc.http.timestamps import Timestamp
from imagesvc.http.validation import WHOLE
from imagesvc.tasks.models import Task

MAX_PER_REQUEST = 1_000
TaskState = Literal["pending", "running", "dead"]
Slug = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+$", max_length=100)]


class TaskOut(BaseModel):
    """A task. ``last_error`` is why its latest attempt failed, ``died_at`` when it became a dead letter."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "01995f4e-2f6c-7c3e-9a8d-0f8e5b7f1a21",
                    "kind": "process_image",
                    "state": "dead",
                    "attempts": 2,
                    "created_at": "2026-11-20T09:15:02.123Z",
                    "due_at": "2026-11-20T09:15:04.311Z",
                    "lease_until": None,
                    "died_at": "2026-11-20T09:16:05.002Z",
                    "last_error": "decoder-timeout",
                    "blob_id": "01995f4e-2f6c-7c3e-9a8d-0f8e5b7f1a22",
                    "image_id": "01995f4e-2f6c-7c3e-9a8d-0f8e5b7f1a13",
                }
            ]
        }
    )

    id: UUID
    kind: str
    state: TaskState
    attempts: int
    created_at: dt.datetime
    due_at: dt.datetime
    lease_until: dt.datetime | None
    died_at: dt.datetime | None
    last_error: str | None
    blob_id: UUID | None
    image_id: UUID | None

    @classmethod
    def of(cls, task: Task) -> Self:
        return cls.model_validate(task, from_attributes=True)


class DeadLetters(BaseModel):
    """A filter for dead letters. All given conditions must hold."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"kind": "process_image", "last_error": "decoder-timeout"}]},
    )

    kind: Slug | None = None
    last_error: Slug | None = None
    died_from: Timestamp | None = None
    died_to: Timestamp | None = None
    after: UUID | None = Field(None, description="only greater ids: `last_id` of the previous response")
    limit: Annotated[int, Field(ge=1, le=MAX_PER_REQUEST), WHOLE] = MAX_PER_REQUEST


class Retried(BaseModel):
    """``last_id`` is null when no match is left; otherwise send it as `after` to continue."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"retried": 17, "last_id": None}]})

    retried: int
    last_id: UUID | None
