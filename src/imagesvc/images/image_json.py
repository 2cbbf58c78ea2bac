"""Builds the JSON of an image and of a receipt from the rows of `reads.py`."""

import datetime as dt
import json
from collections.abc import Mapping
from hashlib import sha256
from typing import cast

from imagesvc.http.conditional import strong_etag
from imagesvc.http.public_path import public_path
from imagesvc.images.json_types import Camera, Captured, Exposure, ImageOut, Location, Receipt, RenditionOut
from imagesvc.images.reads import ImageRow, ReceiptRow

_BLANK = cast(ImageOut, {**dict.fromkeys(ImageOut.__annotations__), "notes": [], "renditions": [], "uploads": []})
"""All members, in the order of the schema. A member that no code below sets is never shown."""


def image_out(row: ImageRow, *, is_full: bool) -> ImageOut:
    """Return the members of an image; without ``is_full`` the public view, in which the others are null or empty."""
    if row.state == "pending":
        row = _without_facts(row)
    image = _BLANK.copy()
    image["id"] = str(row.id)
    image["state"] = row.state
    image["visibility"] = row.visibility
    image["title"] = row.title
    image["description"] = row.description
    image["created_at"] = timestamp(row.created_at)
    image["media_type"] = row.media_type
    image["width"] = row.width
    image["height"] = row.height
    image["score"] = row.score
    image["renditions"] = _renditions(row)
    if is_full:
        _add_hidden_members(image, row)
    return image


def _add_hidden_members(image: ImageOut, row: ImageRow) -> None:
    """Add what only the owner and admins see."""
    image["problem"] = row.problem
    image["owner_id"] = str(row.owner_id)
    image["sha256"] = row.sha256.hex()
    image["bytes"] = row.bytes
    image["stored_width"] = row.stored_width
    image["stored_height"] = row.stored_height
    image["orientation"] = row.orientation
    image["frames"] = row.frames
    image["color_mode"] = row.color_mode
    image["has_icc_profile"] = row.has_icc_profile
    image["camera"] = _camera(row)
    image["exposure"] = _exposure(row)
    image["captured"] = _captured(row)
    image["location"] = _location(row)
    if row.width is not None and row.height is not None:
        image["perimeter"] = 2 * (row.width + row.height)
    if row.perceptual_hash is not None:
        image["perceptual_hash"] = f"{row.perceptual_hash & (2**64 - 1):016x}"
    image["notes"] = row.notes or []
    image["original_url"] = public_path(f"/v1/images/{row.id}/original")
    image["uploads"] = row.uploads or []


def _without_facts(row: ImageRow) -> ImageRow:
    """Hide what is known about the blob of a pending image.

    Otherwise a new image of content that another account has stored would show at once that the content is known
    (invariant 5).
    """
    return row._replace(
        width=None,
        height=None,
        stored_width=None,
        stored_height=None,
        orientation=None,
        frames=None,
        color_mode=None,
        has_icc_profile=None,
        camera_make=None,
        camera_model=None,
        lens=None,
        f_number=None,
        exposure_seconds=None,
        iso=None,
        focal_length_mm=None,
        captured_local=None,
        latitude=None,
        longitude=None,
        altitude_m=None,
        perceptual_hash=None,
        score=None,
        notes=None,
        renditions=None,
    )


def _renditions(row: ImageRow) -> list[RenditionOut]:
    url = public_path(f"/v1/images/{row.id}/renditions")
    return [
        {
            "preset": preset,
            "format": form,
            "width": width,
            "height": height,
            "bytes": size,
            "url": f"{url}/{preset}.{form}",
        }
        for preset, form, width, height, size in row.renditions or ()
    ]


def _camera(row: ImageRow) -> Camera | None:
    if row.camera_make is None and row.camera_model is None and row.lens is None:
        return None
    return {"make": row.camera_make, "model": row.camera_model, "lens": row.lens}


def _exposure(row: ImageRow) -> Exposure | None:
    f_number, seconds, iso, focal_length_mm = row.f_number, row.exposure_seconds, row.iso, row.focal_length_mm
    if f_number is None and seconds is None and iso is None and focal_length_mm is None:
        return None
    return {"f_number": f_number, "seconds": seconds, "iso": iso, "focal_length_mm": focal_length_mm}


def _captured(row: ImageRow) -> Captured | None:
    if row.captured_local is None:
        return None
    return {
        "local": row.captured_local.isoformat(timespec="milliseconds"),
        "offset_minutes": row.captured_offset_minutes,
        "offset_source": row.captured_offset_source or "unknown",
        "utc": None if row.captured_utc is None else timestamp(row.captured_utc),
    }


def _location(row: ImageRow) -> Location | None:
    if row.latitude is None or row.longitude is None:
        return None
    return {"latitude": row.latitude, "longitude": row.longitude, "altitude_m": row.altitude_m}


def receipt_out(row: ReceiptRow, *, link_path: str) -> Receipt:
    return {
        "id": str(row.id),
        "filename": row.filename,
        "bytes": row.bytes,
        "received_at": timestamp(row.received_at),
        "duplicate": row.duplicate,
        "state": row.state,
        "problem": row.problem,
        "defects": row.score.get("defects", []) if row.score else [],
        "hint": row.score.get("hint") if row.score else None,
        "thumbnail_url": f"{link_path}/uploads/{row.id}/thumb.webp" if row.state == "ready" else None,
    }


def timestamp(value: dt.datetime) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    return value.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_json(content: Mapping[str, object]) -> bytes:
    """Encode a response body."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def etag_of(body: bytes) -> str:
    """Return the strong entity tag of a response body: a hash, so it changes exactly when the body does."""
    return strong_etag(sha256(body).hexdigest()[:32])
