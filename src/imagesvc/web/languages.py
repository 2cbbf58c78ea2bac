"""The languages of the pages: which one a reader prefers (RFC 9110, section 12.5.4), and its messages.

The catalogues are the ``.po`` files in ``locale/``, which translators edit. They are compiled in memory at the start.
``make messages`` updates them from the templates.
"""

import io
from functools import cache
from importlib.resources import files

from babel.core import negotiate_locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

LANGUAGES = ("en", "de", "es", "fr")
"""English is the language of the messages in the source and the default."""


def preferred_language(accept_language: str | None) -> str:
    """The best of ``LANGUAGES`` for an Accept-Language header."""
    ranges = []
    for position, text in enumerate((accept_language or "")[:1000].split(",")):
        tag, _, parameter = text.strip().partition(";")
        quality = _quality(parameter)
        if tag and quality > 0:
            ranges.append((-quality, position, tag.strip()))
    return negotiate_locale([tag for _, _, tag in sorted(ranges)], LANGUAGES, sep="-") or LANGUAGES[0]


def _quality(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


@cache
def translations(language: str) -> NullTranslations:
    """The messages of one of ``LANGUAGES``."""
    if language == LANGUAGES[0]:
        return NullTranslations()
    with (files(__package__) / "locale" / f"{language}.po").open("rb") as source:
        catalogue = read_po(source, locale=language)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translations(compiled)
