"""Names that callers give their files: made fit to store, and fit to send back in ``Content-Disposition``."""

import unicodedata
from urllib.parse import quote

MAX_BYTES = 255
UNNAMED = "unnamed"

# Longer ones are no ending that anything goes by.
_MAX_SUFFIX_BYTES = 16
# They turn round or hide a part of a name when it is shown: "photo\u202egpj.exe". Joiners stay: scripts need them.
_INVISIBLE = frozenset(
    "\u00ad\u061c\u200b\u200e\u200f\u2060\ufeff\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
_UNPRINTABLE = ("Cc", "Zl", "Zp")
_ATTR_CHARS = "!#$&+-.^_`|~"  # RFC 8187, besides letters and digits


def clean_filename(raw: str | bytes) -> str:
    """A name for storing: its last path component (``/`` and ``\\``), NFC, at most 255 bytes of UTF-8, never empty.

    Controls, invisible direction marks and NUL are gone, what is no valid UTF-8 is U+FFFD. The ending survives a cut.
    """
    # Surrogates are what Python makes of invalid bytes in a header.
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
    stem, dot, ending = name.rpartition(".")
    suffix = dot + ending
    if not stem or len(suffix.encode()) > _MAX_SUFFIX_BYTES:
        stem, suffix = name, ""
    room = MAX_BYTES - len(suffix.encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip() + suffix


def content_disposition(filename: str, *, kind: str = "attachment") -> str:
    """The header value that offers the bytes under this name (RFC 6266), whatever the name is made of.

    ``filename`` is plain ASCII for old clients; where it had to differ, ``filename*`` (RFC 8187) has the real name.
    """
    name = clean_filename(filename)
    # Clients differ in how they read a backslash, a quote or a percent sign in here, so there is none.
    folded = unicodedata.normalize("NFKD", name)
    plain = "".join(c if " " <= c <= "~" and c not in '"\\%' else "_" for c in folded if not unicodedata.combining(c))
    value = f'{kind}; filename="{plain}"'
    if plain != name:
        value += f"; filename*=UTF-8''{quote(name, safe=_ATTR_CHARS)}"
    return value
