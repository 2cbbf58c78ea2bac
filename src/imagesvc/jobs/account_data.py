"""The data of an account in this feature: jobs, their visits, and the tasks that download their images."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from imagesvc.accounts.account_data import AccountData, Removed, rows_of
from imagesvc.tasks.runner import RetryTask

COUNT_DOWNLOADS = text("SELECT count(*) FROM tasks t JOIN jobs j ON j.id = t.turn_of WHERE j.owner_id = :user")


async def _require_no_download(session: AsyncSession, user_id: UUID) -> Removed:
    """Wait for running downloads. Each of them ends; another attempt would find its owner disabled."""
    if (await session.execute(COUNT_DOWNLOADS, {"user": user_id})).scalar_one():
        raise RetryTask("downloads-running", counts=False)
    return Removed(has_more=False)


END_DOWNLOADS = (
    rows_of(
        "tasks",
        "DELETE FROM tasks WHERE id IN (SELECT t.id FROM tasks t JOIN jobs j ON j.id = t.turn_of"
        " WHERE j.owner_id = :user AND t.state <> 'running' LIMIT :max)",
    ),
    AccountData(tables=(), remove=_require_no_download),
)
"""The first step of removing an account: a download that still runs would add images."""

ACCOUNT_DATA = (
    rows_of(
        "visit_images",
        "DELETE FROM visit_images WHERE id IN (SELECT i.id FROM visit_images i JOIN visits v ON v.id = i.visit_id"
        " JOIN jobs j ON j.id = v.job_id WHERE j.owner_id = :user LIMIT :max)",
    ),
    rows_of(
        "visits",
        "DELETE FROM visits WHERE id IN (SELECT v.id FROM visits v JOIN jobs j ON j.id = v.job_id"
        " WHERE j.owner_id = :user LIMIT :max)",
    ),
    rows_of("jobs", "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE owner_id = :user LIMIT :max)"),
)
