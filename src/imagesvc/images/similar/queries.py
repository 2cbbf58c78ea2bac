"""Statements about near-duplicates, prebuilt for asyncpg: one statement does the whole search."""
# ruff: noqa: S608 - the text is composed of constants

import dataclasses
from collections.abc import Sequence

import asyncpg

from imagesvc.images.reads import IMAGE, OWNER_EXISTS, ImageRow, image_row
from imagesvc.processing.hash_bands import BAND_BITS, BANDS

MAX_SIMILAR = 12

HASH_FOR_READER = f"""
    -- $1 caller or NULL, $2 whether an admin, $3 the image. A pending image has no hash yet, even if another account
    -- has the same content.
    SELECT CASE WHEN i.state = 'ready' THEN b.perceptual_hash END AS hash FROM images i JOIN blobs b ON b.id = i.blob_id
    WHERE i.id = $3 AND ($2 OR i.owner_id = $1 OR i.visibility = 'public') AND {OWNER_EXISTS}
"""

_NEAR = """
    SELECT blob_id, bit_count((hash # $4)::bit(64)) AS distance FROM perceptual_hashes
    WHERE bit_count((hash # $4)::bit(64)) <= $5 AND (hash >> {shift} & 65535) = ANY(${place}::bigint[])
"""
_NEAR_BY_BANDS = " UNION ".join(
    _NEAR.replace("{shift}", str(BAND_BITS * (BANDS - 1 - band))).replace("{place}", str(6 + band))
    for band in range(BANDS)
)

SIMILAR = f"""
    -- $1 to $3 as above, $4 the hash, $5 the maximum number of different bits, then the values to look up per band.
    -- OFFSET 0 makes the planner check the near blobs one by one, the nearest first. It cannot know how few they are,
    -- and would read all visible images instead.
    WITH page AS MATERIALIZED (
        SELECT seen.id, near.distance FROM ({_NEAR_BY_BANDS} ORDER BY distance) AS near
        CROSS JOIN LATERAL (
            SELECT i.id FROM images i
            WHERE i.blob_id = near.blob_id AND i.id <> $3 AND i.state = 'ready'
              AND ($2 OR i.owner_id = $1 OR i.visibility = 'public') AND {OWNER_EXISTS}
            OFFSET 0) AS seen
        ORDER BY near.distance, seen.id LIMIT {MAX_SIMILAR}
    )
    SELECT page.distance, image.* FROM page JOIN LATERAL ({IMAGE} WHERE i.id = page.id) AS image ON true
    ORDER BY page.distance, page.id
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HashRow:
    """A row of HASH_FOR_READER. ``hash`` is a signed 64-bit integer."""

    hash: int | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SimilarRow:
    """A row of SIMILAR."""

    distance: int
    image: ImageRow


def similar_rows(records: Sequence[asyncpg.Record]) -> list[SimilarRow]:
    """Reads the rows of SIMILAR."""
    return [SimilarRow(distance=record["distance"], image=image_row(record)) for record in records]
