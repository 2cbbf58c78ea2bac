"""The statements of resumable uploads: each a whole step of the protocol, committed by itself (docs/resumable.md).

What a holder may touch: a user their own uploads, whoever holds a link those that came through it (`_OF_HOLDER`).
"""

_OF_HOLDER = "r.id = $1 AND r.owner_id = $2 AND r.link_id IS NOT DISTINCT FROM $3"

_SHOWN = """
    r.id, r.state, r.epoch, r.turn, r.length, r.metadata, r.media_type,
    r.key, r.s3_upload_id, r.parts_bytes, r.tail_key, r.tail_bytes,
    jsonb_array_length(r.parts) AS parts_count, r.parts_bytes + r.tail_bytes AS upload_offset, r.expires_at,
    r.expires_at <= now() AS is_expired, r.problem, r.status, r.upload_id, r.image_id
"""

CREATE = "SELECT refusal, expires_at FROM create_resumable($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"

LOOK = f"""
    SELECT {_SHOWN}, t.id AS task_id, t.state = 'running' AS is_finishing
    FROM resumable_uploads r LEFT JOIN tasks t ON t.dedupe_key = 'finish_resumable:' || r.id WHERE {_OF_HOLDER}
"""  # noqa: S608 - parts of the statement itself

TAKE_TURN = f"""
    -- $4 the offset that the caller goes on from, $5 even if another request has the turn, $6 and $7 seconds to live
    UPDATE resumable_uploads r SET epoch = epoch + 1, turn = 'taken',
        expires_at = least(now() + make_interval(secs => $6), created_at + make_interval(secs => $7))
    WHERE {_OF_HOLDER} AND r.state = 'receiving' AND r.expires_at > now()
      AND (r.turn = 'free' OR $5) AND r.parts_bytes + r.tail_bytes = $4
    RETURNING {_SHOWN}
"""  # noqa: S608

ASK_FOR_TURN = "UPDATE resumable_uploads SET turn = 'wanted' WHERE id = $1 AND turn = 'taken' RETURNING id"
TURN = "SELECT turn FROM resumable_uploads WHERE id = $1"
FENCE = """
    -- whatever an older request still does counts for nothing
    UPDATE resumable_uploads SET epoch = epoch + 1, turn = 'free'
    WHERE id = $1 AND state = 'receiving' AND turn <> 'free' RETURNING id
"""
GIVE_TURN_BACK = "UPDATE resumable_uploads SET turn = 'free' WHERE id = $1 AND epoch = $2 AND state = 'receiving'"
WHO_SHOULD_STOP = """
    -- of the uploads $1 that are received under the epochs $2: who is waited for, or has been overtaken
    SELECT array_agg(mine.id) AS ids
    FROM unnest($1::uuid[], $2::bigint[]) AS mine (id, epoch) LEFT JOIN resumable_uploads r ON r.id = mine.id
    WHERE r.id IS NULL OR r.epoch <> mine.epoch OR r.turn = 'wanted' OR r.state <> 'receiving'
"""

NEXT_PART = """
    -- a number is handed out once; $3 and $4: the multipart upload and its key
    UPDATE resumable_uploads SET next_part = next_part + 1, key = $3, s3_upload_id = $4
    WHERE id = $1 AND epoch = $2 AND state = 'receiving' RETURNING next_part - 1 AS number
"""
HOLD_TAIL = """
    INSERT INTO loose_objects (key, state, not_before)
    SELECT $3, 'held', now() + make_interval(secs => $4) FROM resumable_uploads
    WHERE id = $1 AND epoch = $2 AND state = 'receiving'
    RETURNING key
"""
SAVE = "SELECT state, upload_offset, expires_at FROM save_resumable($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
END = "SELECT end_resumable($1, $2, $3, $4, $5, $6, $7, $8, $9) AS is_ended"

FINISHING = """
    SELECT id, length, expected_sha256, key, s3_upload_id, parts, parts_bytes, tail_key, owner_id
    FROM resumable_uploads WHERE id = $1 AND state = 'finishing'
"""
FINISH = """
    SELECT outcome, task_id FROM finish_resumable($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
"""
LEASE_WAS_LOST = "IM002"
"""SQLSTATE of a result whose task somebody else has by now: everything is rolled back."""

EXPIRED = """
    SELECT array_agg(id) AS ids FROM (
        SELECT id FROM resumable_uploads WHERE state = 'receiving' AND expires_at <= now() ORDER BY expires_at LIMIT $1
    ) AS expired
"""
FORGET = """
    WITH forgotten AS (
        DELETE FROM resumable_uploads WHERE id IN (
            SELECT id FROM resumable_uploads WHERE state IN ('done', 'refused') AND expires_at <= now()
            ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)
        RETURNING 1)
    SELECT count(*) AS count FROM forgotten
"""
