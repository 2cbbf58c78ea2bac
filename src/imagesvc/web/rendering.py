"""Renders templates into pages, with the language of the reader and the security headers.

No page may run inline scripts, load anything from another host or be framed. The style sheet of the upload page is
part of the page, so that its first paint needs one round trip: the policy allows exactly this text by its hash.
"""

import base64
import datetime as dt
import hashlib
from functools import cache

from babel.dates import format_datetime
from babel.numbers import format_decimal
from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from imagesvc.http.public_path import public_path
from imagesvc.web.assets import asset_text, asset_url
from imagesvc.web.languages import preferred_language, translations

UNITS = ("B", "kB", "MB", "GB", "TB")
UPLOAD_STYLES = ("colors.css", "upload/upload.css")


def render(
    request: Request, template: str, *, status: int = 200, language: str | None = None, **context: object
) -> HTMLResponse:
    """The page of a template. It is never stored, because it may show a token or personal data."""
    language = language or language_of(request)
    text = _environment(language).get_template(template).render(language=language, **context)
    headers = {"Content-Language": language, "Vary": "Accept, Accept-Language"}
    return HTMLResponse(text, status, page_headers() | headers)


def page_headers() -> dict[str, str]:
    """The headers of every page."""
    return {
        "Content-Security-Policy": _policy(),
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "geolocation=(), microphone=(), payment=()",
    }


def language_of(request: Request) -> str:
    return preferred_language(request.headers.get("accept-language"))


def prefers_html(accept: str | None) -> bool:
    """Whether an Accept header names ``text/html``, as browsers do when they open a page, and not JSON before it."""
    types = [item.partition(";")[0].strip().lower() for item in (accept or "").split(",")]
    if "text/html" not in types:
        return False
    return "application/json" not in types or types.index("text/html") < types.index("application/json")


def size_text(count: float, language: str = "en") -> str:
    """A number of bytes for people: 1500000 -> 1.5 MB."""
    unit = 0
    while count >= 1000 and unit < len(UNITS) - 1:
        count, unit = count / 1000, unit + 1
    pattern = "#,##0.#" if unit and count < 100 else "#,##0"
    return f"{format_decimal(count, pattern, locale=language)} {UNITS[unit]}"


def exposure_text(seconds: float) -> str:
    """An exposure time as photographers write it: 0.0167 -> 1/60 s."""
    return f"1/{round(1 / seconds)} s" if 0 < seconds < 0.5 else f"{seconds:.3g} s"


@cache
def _environment(language: str) -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.install_gettext_translations(translations(language), newstyle=True)  # type: ignore[attr-defined]
    environment.globals |= {
        "asset_url": asset_url,
        "path": public_path,
        "upload_style": Markup(_upload_style()),  # noqa: S704 - files of this package
    }
    environment.filters |= {
        "size": lambda count: size_text(count, language),
        "number": lambda value: format_decimal(value, locale=language),
        "exposure": exposure_text,
        "time": lambda value: _time_text(value, language),
    }
    return environment


def _time_text(value: dt.datetime, language: str) -> str:
    """A time in UTC, which the scripts of the pages replace by the time in the reader's zone."""
    return f"{format_datetime(value.astimezone(dt.UTC), 'medium', locale=language)} UTC"


@cache
def _upload_style() -> str:
    return "".join(asset_text(path) for path in UPLOAD_STYLES)


@cache
def _policy() -> str:
    digest = base64.b64encode(hashlib.sha256(_upload_style().encode()).digest()).decode()
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            f"style-src 'self' 'sha256-{digest}'",
            "img-src 'self' blob:",  # previews of chosen files
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )
