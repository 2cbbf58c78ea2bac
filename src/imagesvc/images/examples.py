"""Examples of an image, an upload and a receipt for the OpenAPI page. A test holds them against `json_types.py`."""

from pydantic import JsonValue

UPLOAD: dict[str, JsonValue] = {
    "id": "01995f4e-2f6c-7c3e-9a8d-0f8e5b7f1a12",
    "received_at": "2026-11-20T09:15:02.123Z",
    "way": "link",
    "filename": "shelf.jpg",
    "duplicate": False,
    "link_id": "01995f4e-1111-7c3e-9a8d-0f8e5b7f1a10",
    "batch_id": "01995f4e-2f6c-7c3e-9a8d-0f8e5b7f1a11",
    "captured_at": None,
    "store_id": "S1",
    "store_name": None,
    "camera_id": None,
    "barcode": None,
}
_URL = "/v1/images/01995f4e-2f6c-7c3e-9a8d-0f8e5b7f1a13"
IMAGE: dict[str, JsonValue] = {
    "id": "01995f4e-2f6c-7c3e-9a8d-0f8e5b7f1a13",
    "state": "ready",
    "problem": None,
    "owner_id": "00000000-0000-7000-8000-000000000001",
    "visibility": "private",
    "title": "shelf",
    "description": None,
    "created_at": "2026-11-20T09:15:02.123Z",
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "bytes": 2931712,
    "media_type": "image/jpeg",
    "width": 3000,
    "height": 4000,
    "stored_width": 4000,
    "stored_height": 3000,
    "orientation": 6,
    "frames": 1,
    "color_mode": "RGB",
    "has_icc_profile": False,
    "camera": {"make": "Canon", "model": "Canon EOS 80D", "lens": None},
    "exposure": {"f_number": 2.8, "seconds": 0.004, "iso": 100, "focal_length_mm": 35.0},
    "captured": {
        "local": "2020-09-02T10:11:12.500",
        "offset_minutes": 120,
        "offset_source": "exif",
        "utc": "2020-09-02T08:11:12.500Z",
    },
    "location": {"latitude": 48.85837, "longitude": 2.29448, "altitude_m": 35.0},
    "perimeter": 14000,
    "perceptual_hash": "d1c4f0e0b8683c3e",
    "score": {
        "value": 87,
        "version": "1",
        "components": {"sharpness": 0.93, "noise": 0.88},
        "defects": [],
        "hint": None,
    },
    "notes": [],
    "renditions": [
        {
            "preset": "thumb",
            "format": "webp",
            "width": 240,
            "height": 320,
            "bytes": 9120,
            "url": f"{_URL}/renditions/thumb.webp",
        }
    ],
    "original_url": f"{_URL}/original",
    "uploads": [UPLOAD],
}
RECEIPT: dict[str, JsonValue] = {
    "id": UPLOAD["id"],
    "filename": "shelf.jpg",
    "bytes": 2931712,
    "received_at": "2026-11-20T09:15:02.123Z",
    "duplicate": False,
    "state": "ready",
    "problem": None,
    "defects": ["blurred"],
    "hint": "Hold still and take it again.",
    "thumbnail_url": f"/u/-/uploads/{UPLOAD['id']}/thumb.webp",
}
