"""The fields that describe a file: store, camera, barcode, capture time, title. Each is validated by itself."""

import dataclasses
import datetime as dt
from collections.abc import Mapping
from posixpath import splitext

from pydantic import TypeAdapter, ValidationError

from imagesvc.http.timestamps import Timestamp
from imagesvc.links.service import OpenLink
from imagesvc.uploads.errors import BadContext

MAX_LENGTHS = {
    "store_id": 200,
    "store_name": 200,
    "camera_id": 200,
    "barcode": 200,
    "title": 300,
    "description": 5000,
}
"""In characters."""
FIELDS = frozenset({*MAX_LENGTHS, "captured_at", "visibility"})
"""Fields that apply to every file that follows. ``sha256`` is not one of them: it applies to the next file only."""

_timestamp: TypeAdapter[dt.datetime] = TypeAdapter(Timestamp)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FileContext:
    """The context of one file, as stored with its upload and its image."""

    filename: str
    title: str
    description: str | None = None
    visibility: str = "private"
    captured_at: dt.datetime | None = None
    store_id: str | None = None
    store_name: str | None = None
    camera_id: str | None = None
    barcode: str | None = None


def parse_context(fields: Mapping[str, str], *, filename: str, link: OpenLink | None, at: str = "") -> FileContext:
    """The context of the file ``filename``, from raw fields. An empty field counts as absent.

    A link fixes the visibility, and the store and camera if it has any.
    Raises BadContext with a JSON pointer (``at`` and the field's name) for every wrong field.
    """
    errors: list[dict[str, str]] = []
    texts = _texts(fields, at, errors)
    captured_at = _captured_at(fields, at, errors)
    visibility = _visibility(fields, link, at, errors)
    if errors:
        raise BadContext(errors=errors)
    if link is not None:
        texts |= {name: fixed for name in ("store_id", "camera_id") if (fixed := getattr(link, name))}
    title = texts.pop("title", "") or splitext(filename)[0] or filename
    return FileContext(filename=filename, title=title, visibility=visibility, captured_at=captured_at, **texts)


def _texts(fields: Mapping[str, str], at: str, errors: list[dict[str, str]]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for name, max_length in MAX_LENGTHS.items():
        if not (value := fields.get(name, "").strip()):
            continue
        if "\x00" in value or not _is_unicode(value):
            errors.append({"pointer": f"{at}/{name}", "detail": "NUL and lone surrogates are not allowed."})
        elif len(value) > max_length:
            errors.append({"pointer": f"{at}/{name}", "detail": f"At most {max_length} characters."})
        else:
            texts[name] = value
    return texts


def _captured_at(fields: Mapping[str, str], at: str, errors: list[dict[str, str]]) -> dt.datetime | None:
    if text := fields.get("captured_at", "").strip():
        try:
            return _timestamp.validate_python(text)
        except ValidationError:
            errors.append({"pointer": f"{at}/captured_at", "detail": "An RFC 3339 time with an offset is required."})
    return None


def _visibility(fields: Mapping[str, str], link: OpenLink | None, at: str, errors: list[dict[str, str]]) -> str:
    if link is not None:
        return link.visibility  # an uploader without an account must not publish images
    visibility = fields.get("visibility", "").strip() or "private"
    if visibility not in ("private", "public"):
        errors.append({"pointer": f"{at}/visibility", "detail": "`private` or `public` is required."})
    return visibility


def _is_unicode(text: str) -> bool:
    """PostgreSQL cannot store lone surrogates, which JSON and file names may contain."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
