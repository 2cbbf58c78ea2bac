"""Cleans filenames from callers for storage, and writes them to ``Content-Disposition``."""

import unicodedata
from urllib.parse import quote

MAX_BYTES = 255
UNNAMED = "unnamed"

# A longer suffix is not a file extension.
_MAX_SUFFIX_BYTES = 16
# They reverse or hide a part of a displayed name: "photo\u202egpj.exe". Joiners stay, because some scripts need them.
_INVISIBLE = frozenset(
    "\u00ad\u061c\u200b\u200e\u200f\u2060\ufeff\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
_UNPRINTABLE = ("Cc", "Zl", "Zp")
_ATTR_CHARS = "!#$&+-.^_`|~"  # RFC 8187, besides letters and digits


def clean_filename(raw: str | bytes) -> str:
    """The last path component (after ``/`` or ``\\``) in NFC, at most 255 bytes of UTF-8, never empty.

    Control characters and invisible direction marks are removed, invalid UTF-8 becomes U+FFFD. A shortened name keeps
    its extension.
    """
    # Python decodes invalid bytes in a header as surrogates.
    text = (
        raw.decode(errors="replace")
        if isinstance(raw, bytes)
        else raw.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )
    component = text.replace("\\", "/").rpartition("/")[2]
    kept = (c for c in component if c not in _INVISIBLE and unicodedata.category(c) not in _UNPRINTABLE)
    name = _bounded(unicodedata.normalize("NFC", "".join(kept)).strip())
    return name if name.strip(". ") else UNNAMED


def _bounded(name: str) -> str:
    if len(name.encode()) <= MAX_BYTES:
        return name
    stem, dot, extension = name.rpartition(".")
    suffix = dot + extension
    if not stem or len(suffix.encode()) > _MAX_SUFFIX_BYTES:
        stem, suffix = name, ""
    room = MAX_BYTES - len(suffix.encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip() + suffix


def content_disposition(filename: str, *, kind: str = "attachment") -> str:
    """The header value (RFC 6266) for any filename.

    ``filename`` is plain ASCII for old clients. If it differs from the name, ``filename*`` (RFC 8187) has the name.
    """
    name = clean_filename(filename)
    # Clients interpret a backslash, a quote and a percent sign differently, so they are replaced.
    folded = unicodedata.normalize("NFKD", name)
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%' else "_" for c in folded if not unicodedata.combining(c))
    value = f'{kind}; filename="{plain}"'
    if plain != name:
        value += f"; filename*=UTF-8''{quote(name, safe=_ATTR_CHARS)}"
    return value
