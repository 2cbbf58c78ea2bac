"""Starts processing again: the blob and its images become `pending` again, each image with a task.

For an operator who retries a dead letter or has images reprocessed. It applies to all images of the blob that ended in
the same state, because processing depends on the content alone and not on the owner.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.images import queries
from imagesvc.tasks.leases import new_task, retry
from imagesvc.tasks.models import Task

FAILED = ("failed",)


async def retry_processing(session: AsyncSession, blob_id: UUID, *, states: Sequence[str] = FAILED) -> list[UUID]:
    """Reset a blob and its images that are in one of ``states``. Locks blob, images and tasks, in that order.

    Returns the ids of the tasks that are due now.
    """
    blob = await queries.lock_blob(session, blob_id)
    if blob is None:
        return []
    if blob.state in states:
        blob.state, blob.problem = "pending", None
    images = [image for state in states for image in await queries.lock_images_of_blob(session, blob_id, state=state)]
    for image in images:
        image.state, image.problem, image.updated_at = "pending", None, func.now()
    await session.flush()
    return await _tasks_for(session, blob_id, [image.id for image in images])


async def _tasks_for(session: AsyncSession, blob_id: UUID, image_ids: Sequence[UUID]) -> list[UUID]:
    """Retry the dead letters of the images, and add a task for each image without one. Other tasks stay as they are."""
    of_images = select(Task).where(Task.image_id.in_(image_ids), Task.kind == "process_image")
    found = (await session.execute(of_images.order_by(Task.id).with_for_update())).scalars().all()
    dead = [task for task in found if task.state == "dead"]
    await retry(session, [task.id for task in dead])
    with_task = {task.image_id for task in found}
    added = [
        new_task(kind="process_image", blob_id=blob_id, image_id=image_id)
        for image_id in image_ids
        if image_id not in with_task
    ]
    session.add_all(added)
    await session.flush()
    return [task.id for task in (*dead, *added)]
