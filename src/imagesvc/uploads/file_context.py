"""What is told about a file beside its bytes: the context fields, from strangers, checked one by one."""

import dataclasses
import datetime as dt
from collections.abc import Mapping
from posixpath import splitext

from pydantic import TypeAdapter, ValidationError

from imagesvc.http.timestamps import Timestamp
from imagesvc.links.service import OpenLink
from imagesvc.uploads.errors import BadContext

LONGEST = {
    "store_id": 200,
    "store_name": 200,
    "camera_id": 200,
    "barcode": 200,
    "title": 300,
    "description": 5000,
}
FIELDS = frozenset({*LONGEST, "captured_at", "visibility"})
"""Fields that apply to every file that follows; ``sha256`` applies to the next file only."""

_moment: TypeAdapter[dt.datetime] = TypeAdapter(Timestamp)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FileContext:
    """One file's context, as it goes into its upload row and its image."""

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
    """The context of the file ``filename`` from raw fields; what is empty counts as absent, the link fills its own in.

    Raises BadContext with a pointer (``at`` and the field's name) for every field that is wrong.
    """
    wrong: list[dict[str, str]] = []
    values: dict[str, str] = {}
    for name, longest in LONGEST.items():
        if not (value := fields.get(name, "").strip()):
            continue
        if "\x00" in value or not _is_unicode(value):
            wrong.append({"pointer": f"{at}/{name}", "detail": "NUL and lone surrogates are not allowed."})
        elif len(value) > longest:
            wrong.append({"pointer": f"{at}/{name}", "detail": f"At most {longest} characters."})
        else:
            values[name] = value
    captured_at = None
    if text := fields.get("captured_at", "").strip():
        try:
            captured_at = _moment.validate_python(text)
        except ValidationError:
            wrong.append({"pointer": f"{at}/captured_at", "detail": "An RFC 3339 time with its offset is needed."})
    visibility = fields.get("visibility", "").strip() or (link.visibility if link else "private")
    if link is not None:
        # a link's uploader does not decide what becomes public
        visibility = link.visibility
        values |= {name: fixed for name in ("store_id", "camera_id") if (fixed := getattr(link, name))}
    if visibility not in ("private", "public"):
        wrong.append({"pointer": f"{at}/visibility", "detail": "`private` or `public`."})
    if wrong:
        raise BadContext(errors=wrong)
    title = values.pop("title", "") or splitext(filename)[0] or filename
    return FileContext(filename=filename, title=title, visibility=visibility, captured_at=captured_at, **values)


def _is_unicode(text: str) -> bool:
    """PostgreSQL stores no lone surrogates, which JSON and file names can bring along."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
