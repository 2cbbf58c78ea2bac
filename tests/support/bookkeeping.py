"""Compares the keys in the bucket with the keys in the database, for invariant 3 (every key is accounted for)."""

from sqlalchemy import text

from imagesvc.wiring import Servers

_RESIZES = "SELECT unnest(array_remove(ARRAY[key, source_key], NULL)) FROM resizes"
OWNED_KEYS = text(f"SELECT key FROM blobs UNION ALL SELECT key FROM renditions UNION ALL {_RESIZES}")
NAMED_KEYS = text(f"""
    SELECT key FROM blobs UNION ALL SELECT key FROM renditions UNION ALL SELECT key FROM loose_objects
    UNION ALL SELECT key FROM resumable_uploads UNION ALL SELECT tail_key FROM resumable_uploads UNION ALL {_RESIZES}
""")
MAKE_DUE = text("UPDATE loose_objects SET not_before = now() - interval '1 second' WHERE state = ANY(:states)")
LOOSE_OBJECTS = text("SELECT key, state FROM loose_objects ORDER BY key")


async def stored_keys(servers: Servers) -> set[str]:
    """All keys in the bucket."""
    return {key async for key, _ in servers.storage.listing()}


async def owned_keys(servers: Servers) -> set[str]:
    """The keys of blobs, renditions and resizes."""
    async with servers.database.engine.connect() as connection:
        return set((await connection.execute(OWNED_KEYS)).scalars())


async def named_keys(servers: Servers) -> set[str]:
    """All keys that any table contains, loose objects and resumable uploads included."""
    async with servers.database.engine.connect() as connection:
        return set((await connection.execute(NAMED_KEYS)).scalars())


async def loose_states(servers: Servers) -> list[str]:
    """The states of all loose objects, sorted."""
    async with servers.database.engine.connect() as connection:
        return sorted(row.state for row in (await connection.execute(LOOSE_OBJECTS)).all())


async def make_due(servers: Servers, *states: str) -> None:
    """Make all loose objects in these states due now."""
    async with servers.database.sessions.begin() as session:
        await session.execute(MAKE_DUE, {"states": list(states)})
