"""``/docs`` (Swagger UI) and ``/openapi.json``.

The page loads nothing from another host and runs no inline script. Its Content-Security-Policy enforces that. The files
of Swagger UI come from a Python package (docs/decisions/0005).
"""

import hashlib
import json
from functools import cache
from html import escape
from importlib.metadata import version
from importlib.resources import files

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response

from imagesvc.errors import NotFound
from imagesvc.http import openapi
from imagesvc.http.conditional import is_unchanged, strong_etag

_PACKAGE = "fastapi-swagger"
_MEDIA_TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
    "start.js": "text/javascript",
}
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",  # icons in the style sheet
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

# All references are relative, so that the page also works below a sub-path of a proxy.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="docs/swagger-ui.css?v={version}">
<link rel="icon" type="image/png" href="docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js?v={version}"></script>
<script src="docs/start.js?v={version}"></script>
</body>
</html>
"""

# No validator, because it would send the address of this server to another host.
_START = b"""window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  displayRequestDuration: true,
  persistAuthorization: false,
  tryItOutEnabled: true,
  validatorUrl: null,
});
"""


def register(app: FastAPI) -> None:
    """Add both routes to an app that was created with ``openapi_url=None, docs_url=None, redoc_url=None``."""
    openapi.register(app)
    documents: dict[int, tuple[object, bytes]] = {}

    @app.api_route("/openapi.json", methods=["GET", "HEAD"], include_in_schema=False)
    async def openapi_document(request: Request) -> Response:
        document = app.openapi()
        # Serialized once: it has several hundred kilobytes and changes only when routes are added.
        if id(document) not in documents:
            documents.clear()
            documents[id(document)] = document, json.dumps(document, ensure_ascii=False).encode()
        return _answer_cached(request, documents[id(document)][1], "application/json", "no-cache")

    @app.api_route("/docs", methods=["GET", "HEAD"], include_in_schema=False)
    async def docs_page() -> HTMLResponse:
        page = _PAGE.format(title=escape(app.title), version=version(_PACKAGE))
        return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"})

    @app.api_route("/docs/{name}", methods=["GET", "HEAD"], include_in_schema=False)
    async def docs_file(request: Request, name: str) -> Response:
        if name not in _MEDIA_TYPES:
            raise NotFound
        return _answer_cached(request, _content(name), _MEDIA_TYPES[name], "public, max-age=86400")


@cache
def _content(name: str) -> bytes:
    return _START if name == "start.js" else (files("fastapi_swagger.resources") / name).read_bytes()


def _answer_cached(request: Request, body: bytes, media_type: str, cache_control: str) -> Response:
    headers = {"ETag": strong_etag(hashlib.sha256(body).hexdigest()[:32]), "Cache-Control": cache_control}
    if is_unchanged(request.headers, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)
