"""Statements about near-duplicates."""
# ruff: noqa: S608 - what is put together here are our own words

from imagesvc.images.reads import IMAGE, IS_THERE
from imagesvc.processing.hash_bands import BAND_BITS, BANDS

HASH_FOR_READER = """
    -- $1 caller or NULL, $2 whether an admin, $3 the image; a pending one has no hash yet, whoever has the same picture
    SELECT CASE WHEN i.state = 'ready' THEN b.perceptual_hash END AS hash FROM images i JOIN blobs b ON b.id = i.blob_id
    WHERE i.id = $3 AND ($2 OR i.owner_id = $1 OR i.visibility = 'public') AND {there}
""".replace("{there}", IS_THERE)

_NEAR = """
    SELECT blob_id, bit_count((hash # $4)::bit(64)) AS distance FROM perceptual_hashes
    WHERE bit_count((hash # $4)::bit(64)) <= $5 AND (hash >> {shift} & 65535) = ANY(${place}::bigint[])
"""
_NEAR_BY_BANDS = " UNION ".join(
    _NEAR.replace("{shift}", str(BAND_BITS * (BANDS - 1 - band))).replace("{place}", str(6 + band))
    for band in range(BANDS)
)

SIMILAR = f"""
    -- $4 the hash, $5 how many bits may differ, then for each band the values to look up. Nearest first and joined one
    -- by one: the planner, who cannot know how few are near, would read all images that may be seen
    WITH page AS MATERIALIZED (
        SELECT seen.id, near.distance FROM ({_NEAR_BY_BANDS} ORDER BY distance) AS near
        CROSS JOIN LATERAL (
            SELECT i.id FROM images i
            WHERE i.blob_id = near.blob_id AND i.id <> $3 AND i.state = 'ready'
              AND ($2 OR i.owner_id = $1 OR i.visibility = 'public') AND {IS_THERE}
            OFFSET 0) AS seen
        ORDER BY near.distance, seen.id LIMIT 12
    )
    SELECT page.distance, shown.* FROM page JOIN LATERAL ({IMAGE} WHERE i.id = page.id) AS shown ON true
    ORDER BY page.distance, page.id
"""
