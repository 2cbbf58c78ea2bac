"""Lists the audits that the command line has run."""

from collections.abc import Sequence

from sqlalchemy import select

from imagesvc.accounts.service import Caller
from imagesvc.db import Database
from imagesvc.operations.models import Audit


class AuditRuns:
    def __init__(self, database: Database) -> None:
        self._sessions = database.sessions

    async def latest(self, caller: Caller, *, limit: int) -> Sequence[Audit]:
        """The newest first. Raises Forbidden."""
        caller.require("admin")
        async with self._sessions() as session:
            return (await session.execute(select(Audit).order_by(Audit.id.desc()).limit(limit))).scalars().all()
