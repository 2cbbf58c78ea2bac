"""What is in the bucket, and what the tables say should be: for invariant 3."""

from sqlalchemy import text

from imagesvc.wiring import Servers

_RESIZES = "SELECT unnest(array_remove(ARRAY[key, source_key], NULL)) FROM resizes"
OWNED = text(f"SELECT key FROM blobs UNION ALL SELECT key FROM renditions UNION ALL {_RESIZES}")
NAMED = text(f"""
    SELECT key FROM blobs UNION ALL SELECT key FROM renditions UNION ALL SELECT key FROM loose_objects
    UNION ALL SELECT key FROM resumable_uploads UNION ALL SELECT tail_key FROM resumable_uploads UNION ALL {_RESIZES}
""")
HURRY = text("UPDATE loose_objects SET not_before = now() - interval '1 second' WHERE state = ANY(:states)")
LOOSE = text("SELECT key, state FROM loose_objects ORDER BY key")


async def stored_keys(servers: Servers) -> set[str]:
    return {key async for key, _ in servers.storage.listing()}


async def owned_keys(servers: Servers) -> set[str]:
    async with servers.database.engine.connect() as connection:
        return set((await connection.execute(OWNED)).scalars())


async def named_keys(servers: Servers) -> set[str]:
    async with servers.database.engine.connect() as connection:
        return set((await connection.execute(NAMED)).scalars())


async def loose_states(servers: Servers) -> list[str]:
    async with servers.database.engine.connect() as connection:
        return sorted(row.state for row in (await connection.execute(LOOSE)).all())


async def make_due(servers: Servers, *states: str) -> None:
    """Lets the time of holds, reapings or tombstones pass."""
    async with servers.database.sessions.begin() as session:
        await session.execute(HURRY, {"states": list(states)})
