"""The statements of admission: each a whole step of the protocol, committed by itself (docs/architecture.md)."""

HOLD_UNLESS_KNOWN = """
    -- $1 sha256, $2 scope, $3 key, $4 seconds; no row when the content is known and usable
    INSERT INTO loose_objects (key, state, not_before)
    SELECT $3, 'held', now() + make_interval(secs => $4)
    WHERE NOT EXISTS (SELECT FROM blobs WHERE sha256 = $1 AND scope = $2 AND state <> 'failed' AND NOT object_lost)
    RETURNING key
"""

HOLD = """
    INSERT INTO loose_objects (key, state, not_before, s3_upload_id)
    VALUES ($1, 'held', now() + make_interval(secs => $2), $3) RETURNING key
"""

RESERVE_ON_LINK = "SELECT reserve_on_link($1, $2, $3, $4, $5, $6) AS outcome"
"""$1 link, $2 key, $3 S3 upload id, $4 bytes, $5 whether the file has exactly as many, $6 seconds"""

PUSH_HOLD = """
    UPDATE loose_objects SET not_before = now() + make_interval(secs => $2)
    WHERE key = $1 AND state = 'held' RETURNING key
"""

RELEASE = """
    UPDATE loose_objects SET state = 'reaping', not_before = now() WHERE key = $1 AND state = 'held' RETURNING key
"""

ADMIT = """
    SELECT outcome, image_id, task_id FROM admit_file(
        $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)
"""

NOTE_REJECTED = "UPDATE batches SET rejected = $2 WHERE id = $1 RETURNING 1"

KEY_WAS_REAPED = "IM001"
"""SQLSTATE that ``admit_file`` raises when the held row is gone: everything it did is rolled back."""

OWN_CONTENTS = """
    -- $1 owner, $2 hashes; an image that failed, or whose object is lost, is mended by sending it again
    SELECT coalesce(array_agg(b.sha256), '{}') AS hashes, coalesce(array_agg(i.id), '{}') AS images
    FROM blobs b JOIN images i ON i.blob_id = b.id AND i.owner_id = $1
    WHERE b.sha256 = ANY($2) AND i.state <> 'failed' AND b.state <> 'failed' AND NOT b.object_lost
"""

CONTENTS_OF_LINK = """
    -- $1 link, $2 its owner, $3 hashes; says no more than the receipts of this link do, whatever others have
    SELECT coalesce(array_agg(c.sha256), '{}') AS hashes FROM link_contents c
    WHERE c.link_id = $1 AND c.sha256 = ANY($3) AND NOT EXISTS (
        SELECT FROM blobs b JOIN images i ON i.blob_id = b.id AND i.owner_id = $2 AND i.state = 'failed'
        JOIN uploads u ON u.image_id = i.id AND u.link_id = $1 AND u.settled
        WHERE b.sha256 = c.sha256)
"""
