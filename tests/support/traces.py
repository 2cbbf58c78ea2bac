"""Counts the rows and objects that requests left behind, for "nothing is kept" and for invariant 3."""

from typing import Any

from sqlalchemy import text

from tests.support.bookkeeping import loose_states, make_due, owned_keys, stored_keys
from tests.support.service import Service

COUNTS = text("""
    SELECT (SELECT count(*) FROM uploads) AS uploads, (SELECT count(*) FROM images) AS images,
           (SELECT count(*) FROM blobs) AS blobs, (SELECT count(*) FROM batches) AS batches,
           (SELECT count(*) FROM tasks) AS tasks, (SELECT count(*) FROM link_contents) AS charged,
           (SELECT coalesce(sum(reserved_files + reserved_bytes), 0)::bigint FROM links) AS reserved
""")
NOTHING = {"uploads": 0, "images": 0, "blobs": 0, "batches": 0, "tasks": 0, "charged": 0, "reserved": 0, "objects": 0}


async def traces(service: Service) -> dict[str, int]:
    """Run the reaper until it has nothing to do, then count the rows and objects that remain."""
    servers = service.background.servers
    while await service.background.reaper.reap():
        pass
    assert set(await loose_states(servers)) <= {"gone"}
    stored = await stored_keys(servers)
    assert stored == await owned_keys(servers)
    async with servers.database.engine.connect() as connection:
        counts: dict[str, Any] = dict((await connection.execute(COUNTS)).one()._mapping)
    return counts | {"objects": len(stored)}


async def pass_time(service: Service) -> None:
    """Make all holds and reapings due now, as if their time had passed."""
    await make_due(service.background.servers, "held", "reaping")
