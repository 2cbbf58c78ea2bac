"""Routes of tasks and dead letters, for admins."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from imagesvc.accounts.router import CurrentCaller, needs_bearer
from imagesvc.errors import Forbidden, Malformed
from imagesvc.http.pagination import Page, PagingPart
from imagesvc.http.problems import problems
from imagesvc.http.web_parts import part
from imagesvc.operations.dead_letters import TaskOperations
from imagesvc.operations.errors import TaskNotDead, TaskNotFound
from imagesvc.operations.schemas import DeadLetters, Retried, Slug, TaskOut, TaskState
from imagesvc.tasks.models import Task

router = APIRouter(
    prefix="/v1/ops/tasks", tags=["operations"], dependencies=[needs_bearer], responses=problems(Forbidden)
)

TasksPart = Annotated[TaskOperations, Depends(part(TaskOperations))]


@router.get("", responses=problems(Malformed))
async def list_tasks(
    caller: CurrentCaller,
    tasks: TasksPart,
    paging: PagingPart,
    state: Annotated[TaskState | None, Query(description="only tasks in this state; `dead` for dead letters")] = None,
    kind: Annotated[Slug | None, Query(description="only tasks of this kind", examples=["process_image"])] = None,
) -> Page[TaskOut]:
    """Tasks that are not completed, the newest first. Admins only."""

    async def rows(last: UUID | None, limit: int) -> Sequence[Task]:
        return await tasks.page(caller, state=state, kind=kind, before=last, limit=limit)

    return await paging.page(
        "tasks",
        caller.user_id,
        rows,
        key=(UUID, lambda task: task.id),
        item=TaskOut.of,
        filters={"state": state, "kind": kind},
    )


@router.post("/retry")
async def retry_dead_letters(tasks: TasksPart, body: DeadLetters, caller: CurrentCaller) -> Retried:
    """Retry the dead letters that match the filter, the oldest first. `{}` matches all. Admins only."""
    return await tasks.retry_all(caller, body)


@router.post("/{task_id:uuid}/retry", responses=problems(TaskNotFound, TaskNotDead))
async def retry_dead_letter(tasks: TasksPart, task_id: UUID, caller: CurrentCaller) -> TaskOut:
    """Retry a dead letter, with all its attempts. Its `failed` image becomes `pending`. Admins only."""
    return TaskOut.of(await tasks.retry(caller, task_id))


@router.delete("/{task_id:uuid}", status_code=204, responses=problems(TaskNotFound, TaskNotDead))
async def drop_dead_letter(tasks: TasksPart, task_id: UUID, caller: CurrentCaller) -> None:
    """Delete a dead letter. Its image stays `failed`. Admins only."""
    await tasks.drop(caller, task_id)
