"""Examples for the OpenAPI document: a link as its owner sees it, and as its holder sees it."""

from pydantic import JsonValue

LINK: dict[str, JsonValue] = {
    "id": "01995f4e-1111-7c3e-9a8d-0f8e5b7f1a10",
    "url": "https://images.example.org/u/<token>",
    "token": "<token>",
    "label": "Stocktaking",
    "created_at": "2026-11-20T09:00:00Z",
    "expires_at": "2026-11-20T10:00:00Z",
    "revoked_at": None,
    "state": "open",
    "max_files": 20,
    "max_bytes": None,
    "max_file_bytes": None,
    "used_files": 3,
    "used_bytes": 8795136,
    "reserved_files": 0,
    "reserved_bytes": 0,
    "visibility": "private",
    "store_id": "S1",
    "camera_id": None,
}
INVITATION: dict[str, JsonValue] = {
    "label": "Stocktaking",
    "expires_at": "2026-11-20T10:00:00Z",
    "remaining": {"files": 17, "bytes": None},
    "max_file_bytes": 104857600,
    "max_parts_per_request": 1000,
    "accepted": ["image/jpeg", "image/png", "image/heic"],
    "limits": {
        "max_file_bytes": 104857600,
        "max_parts_per_request": 1000,
        "max_part_header_bytes": 16384,
        "max_field_bytes": 32768,
        "max_uploads_at_once": 20,
        "max_uploads_waiting": 100,
        "max_wait_seconds": 10,
        "max_idle_seconds": 30,
        "min_bytes_per_second": 1000,
        "max_file_seconds": 3600,
    },
}
