"""Statements about batches: one round trip an answer, whatever it shows. The database writes the JSON.

A page may show thousands of uploads: making objects of them and text again would hold the event loop up.
"""

_MOMENT = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""

_BATCH = """
    SELECT b.id, json_build_object(
        'id', b.id, 'created_at', {created_at}, 'way', b.way, 'owner_id', b.owner_id, 'link_id', b.link_id,
        'rejected', b.rejected, 'uploads_total', (SELECT count(*) FROM uploads u WHERE u.batch_id = b.id),
        'uploads', coalesce((
            SELECT json_agg(json_build_object(
                'id', u.id, 'position', u.position, 'received_at', {received_at},
                'filename', u.filename, 'bytes', u.bytes, 'duplicate', u.duplicate,
                'captured_at', {captured_at}, 'store_id', u.store_id, 'store_name', u.store_name,
                'camera_id', u.camera_id, 'barcode', u.barcode,
                'image', json_build_object(
                    'id', i.id, 'state', i.state, 'problem', i.problem, 'visibility', i.visibility, 'title', i.title,
                    'description', i.description, 'media_type', i.media_type, 'url', '/v1/images/' || i.id,
                    'original_url', '/v1/images/' || i.id || '/original',
                    'renditions', coalesce((
                        SELECT json_agg(json_build_object(
                            'preset', r.preset, 'format', r.format, 'width', r.width, 'height', r.height,
                            'bytes', r.bytes,
                            'url', '/v1/images/' || i.id || '/renditions/' || r.preset || '.' || r.format
                        ) ORDER BY r.width, r.format)
                        FROM renditions r WHERE r.blob_id = i.blob_id AND i.state <> 'pending'), '[]'::json))
                ) ORDER BY u.position, u.id)
            FROM (SELECT * FROM uploads WHERE batch_id = b.id ORDER BY position LIMIT {most}) u
            JOIN images i ON i.id = u.image_id), '[]'::json)) AS shown
"""
for _name, _column in (
    ("created_at", "b.created_at"),
    ("received_at", "u.received_at"),
    ("captured_at", "u.captured_at"),
):
    _BATCH = _BATCH.replace(f"{{{_name}}}", _MOMENT.replace("{}", _column))

_PAGE = """
    -- $1 caller, $2 before this id, $3 offset, $4 limit, $5 uploads of each; the newest first: ids sort by time
    WITH page AS (
        SELECT b.* FROM batches b
        WHERE {whose} AND b.id < coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
        ORDER BY b.id DESC OFFSET $3 LIMIT $4 + 1
    ), shown AS MATERIALIZED ({batch} FROM (SELECT * FROM page ORDER BY id DESC LIMIT $4) b)
    SELECT (SELECT count(*) FROM page) > $4 AS has_more, (SELECT id FROM shown ORDER BY id LIMIT 1) AS last_id,
           coalesce((SELECT json_agg(shown ORDER BY id DESC) FROM shown), '[]'::json)::text AS items
""".replace("{batch}", _BATCH.replace("{most}", "$5"))

_ONE = """
    -- $1 caller, $2 batch, $3 uploads of it
    SELECT shown::text AS batch FROM ({batch} FROM batches b WHERE b.id = $2 AND {whose}) one
""".replace("{batch}", _BATCH.replace("{most}", "$3"))

_WHOSE = {False: "b.owner_id = $1", True: "$1::uuid IS NOT NULL"}
"""By whether the caller is an admin: admins see all."""

PAGE_OF_BATCHES = {is_admin: _PAGE.replace("{whose}", whose) for is_admin, whose in _WHOSE.items()}
BATCH = {is_admin: _ONE.replace("{whose}", whose) for is_admin, whose in _WHOSE.items()}
