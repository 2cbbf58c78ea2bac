"""Reads filenames from ``Content-Disposition``, cleans them for storage, and writes them to that header."""

import re
import unicodedata
from email.errors import MessageError
from email.header import decode_header, make_header
from urllib.parse import quote, unquote

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
_EXTENDED = re.compile(r";\s*filename\*\s*=\s*([\w-]+)'[^';]*'([^;\s]*)", re.IGNORECASE | re.ASCII)
_EXTENDED_CHARSETS = frozenset({"utf-8", "iso-8859-1", "us-ascii"})
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"')
_ENCODED_WORDS = re.compile(r"\s*(?:=\?[\w-]+\?[bq]\?[^?\s]*\?=\s*)+", re.IGNORECASE | re.ASCII)


def filename_of(disposition: str, plain: str | None) -> str | None:
    """The filename of a part: of ``filename*`` (RFC 8187) if it has one, else ``plain``, the value of ``filename``.

    Encoded words (RFC 2047) in ``plain`` are decoded. Neither form belongs in multipart/form-data (RFC 7578), but .NET
    and PowerShell send both.
    """
    extended = _EXTENDED.search(_QUOTED.sub('""', disposition))
    if extended is not None and extended[1].lower() in _EXTENDED_CHARSETS:
        return unquote(extended[2], extended[1], "replace")
    if plain is not None and _ENCODED_WORDS.fullmatch(plain):
        try:
            return str(make_header(decode_header(plain))) or plain
        except (MessageError, LookupError, UnicodeError, ValueError):
            return plain
    return plain


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
