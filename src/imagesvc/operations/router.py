"""Routes: tasks, for those who run the service."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from imagesvc.accounts.router import CurrentCaller, needs_bearer
from imagesvc.errors import Forbidden, Malformed
from imagesvc.http.pagination import Cursors, Page, fingerprint, link_next
from imagesvc.http.problems import problems
from imagesvc.operations.dead_letters import Tasks
from imagesvc.operations.errors import TaskNotDead, TaskNotFound
from imagesvc.operations.schemas import DeadLetters, Retried, TaskOut, TaskState, Word

router = APIRouter(
    prefix="/v1/ops/tasks", tags=["operations"], dependencies=[needs_bearer], responses=problems(Forbidden)
)


def _tasks(request: Request) -> Tasks:
    tasks: Tasks = request.app.state.tasks
    return tasks


@router.get("", responses=problems(Malformed))
async def list_tasks(
    request: Request,
    response: Response,
    caller: CurrentCaller,
    state: Annotated[TaskState | None, Query(description="`dead`: the dead letters")] = None,
    kind: Annotated[Word | None, Query(description="only tasks of this kind", examples=["process_image"])] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
) -> Page[TaskOut]:
    """Tasks that are not done yet, the newest first. Admins only."""
    cursors: Cursors = request.app.state.cursors
    query = fingerprint("tasks", caller.user_id, {"state": state, "kind": kind})
    before = cursors.decode(cursor, query)[0] if cursor else None
    found = await _tasks(request).page(
        caller, state=state, kind=kind, before=before if isinstance(before, UUID) else None, limit=limit + 1
    )
    shown = found[:limit]
    next_cursor = cursors.encode(query, [shown[-1].id]) if len(found) > limit else None
    link_next(request, response, next_cursor)
    return Page(items=[TaskOut.of(task) for task in shown], next_cursor=next_cursor)


@router.post("/retry")
async def retry_dead_letters(request: Request, body: DeadLetters, caller: CurrentCaller) -> Retried:
    """Try again all dead letters that the filter matches, the oldest first; `{}` matches all. Admins only."""
    return await _tasks(request).retry_all(caller, body)


@router.post("/{task_id}/retry", responses=problems(TaskNotFound, TaskNotDead))
async def retry_dead_letter(request: Request, task_id: UUID, caller: CurrentCaller) -> TaskOut:
    """Try a dead letter again, with all its attempts; an image that had failed is `pending` again. Admins only."""
    return TaskOut.of(await _tasks(request).retry(caller, task_id))


@router.delete("/{task_id}", status_code=204, responses=problems(TaskNotFound, TaskNotDead))
async def drop_dead_letter(request: Request, task_id: UUID, caller: CurrentCaller) -> None:
    """Forget a dead letter; its image stays `failed`. Admins only."""
    await _tasks(request).drop(caller, task_id)
