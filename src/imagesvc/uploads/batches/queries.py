"""Reads batches with their uploads, by asyncpg: one statement per response.

The database writes the JSON. A page may show thousands of uploads: to build objects from rows and text from objects
would block the event loop.
"""

import dataclasses
from uuid import UUID

_TIMESTAMP = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""

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
                    'description', i.description, 'media_type', i.media_type, 'url', {prefix} || '/v1/images/' || i.id,
                    'original_url', {prefix} || '/v1/images/' || i.id || '/original',
                    'renditions', coalesce((
                        SELECT json_agg(json_build_object(
                            'preset', r.preset, 'format', r.format, 'width', r.width, 'height', r.height,
                            'bytes', r.bytes,
                            'url', {prefix} || '/v1/images/' || i.id || '/renditions/' || r.preset || '.' || r.format
                        ) ORDER BY r.width, array_position('{thumb,medium,large,full}', r.preset), r.format)
                        FROM rendition_names(bl.id, bl.width, bl.height) r WHERE i.state <> 'pending'), '[]'::json))
                ) ORDER BY u.position, u.id)
            FROM (SELECT * FROM uploads WHERE batch_id = b.id ORDER BY position LIMIT {max_uploads}) u
            JOIN images i ON i.id = u.image_id JOIN blobs bl ON bl.id = i.blob_id), '[]'::json)) AS shown
"""
for _name, _column in (
    ("created_at", "b.created_at"),
    ("received_at", "u.received_at"),
    ("captured_at", "u.captured_at"),
):
    _BATCH = _BATCH.replace(f"{{{_name}}}", _TIMESTAMP.replace("{}", _column))

_PAGE = """
    -- $1 caller, $2 before this id, $3 offset, $4 limit, $5 uploads of each, $6 path prefix of URLs
    -- newest first: ids sort by time
    WITH page AS (
        SELECT b.* FROM batches b
        WHERE {owned} AND b.id < coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
        ORDER BY b.id DESC OFFSET $3 LIMIT $4 + 1
    ), shown AS MATERIALIZED ({batch} FROM (SELECT * FROM page ORDER BY id DESC LIMIT $4) b)
    SELECT (SELECT count(*) FROM page) > $4 AS has_more, (SELECT id FROM shown ORDER BY id LIMIT 1) AS last_id,
           coalesce((SELECT json_agg(shown ORDER BY id DESC) FROM shown), '[]'::json)::text AS items
""".replace("{batch}", _BATCH.replace("{max_uploads}", "$5").replace("{prefix}", "$6::text"))

_ONE = """
    -- $1 caller, $2 batch, $3 uploads of it, $4 path prefix of URLs
    SELECT shown::text AS batch FROM ({batch} FROM batches b WHERE b.id = $2 AND {owned}) one
""".replace("{batch}", _BATCH.replace("{max_uploads}", "$3").replace("{prefix}", "$4::text"))

_OWNED_BY = {False: "b.owner_id = $1", True: "$1::uuid IS NOT NULL"}
"""The condition by whether the caller is an admin: admins see all batches."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BatchPageRow:
    """``items`` is the text of a JSON array; ``last_id`` is None when it is empty."""

    has_more: bool
    last_id: UUID | None
    items: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BatchRow:
    """``batch`` is the text of a JSON object."""

    batch: str


PAGE_OF_BATCHES = {is_admin: _PAGE.replace("{owned}", condition) for is_admin, condition in _OWNED_BY.items()}
BATCH = {is_admin: _ONE.replace("{owned}", condition) for is_admin, condition in _OWNED_BY.items()}
