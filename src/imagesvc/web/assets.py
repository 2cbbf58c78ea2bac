"""Serves the style sheets and scripts of the pages, from the package.

Their URLs contain a hash of all files, so that browsers keep them for good and never mix two versions. The hash is a
folder in the URL: relative imports of a module stay within its version.
"""

import hashlib
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter
from fastapi.responses import Response

from imagesvc.errors import NotFound
from imagesvc.http.public_path import public_path

MEDIA_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
FOREVER = "public, max-age=31536000, immutable"

router = APIRouter(include_in_schema=False)


@cache
def _files() -> dict[str, bytes]:
    """The content of all files by their path below ``static/``."""
    found: dict[str, bytes] = {}

    def walk(folder: Traversable, path: str) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                walk(entry, f"{path}{entry.name}/")
            elif entry.name.rpartition(".")[2] in MEDIA_TYPES:
                found[path + entry.name] = entry.read_bytes()

    walk(files(__package__) / "static", "")
    return found


@cache
def version() -> str:
    digest = hashlib.sha256()
    for path, content in sorted(_files().items()):
        digest.update(f"{path}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def asset_text(path: str) -> str:
    """The content of a file, to include it in a page."""
    return _files()[path].decode()


def asset_url(path: str) -> str:
    """The URL of a file below ``static/``. Raises LookupError."""
    if path not in _files():
        raise LookupError(path)
    return public_path(f"/assets/{version()}/{path}")


@router.api_route("/assets/{wanted_version}/{path:path}", methods=["GET", "HEAD"])
async def asset(wanted_version: str, path: str) -> Response:
    """One file. A page of an older process may ask for another version: it gets the current file, uncached."""
    content = _files().get(path)
    if content is None:
        raise NotFound
    cache_control = FOREVER if wanted_version == version() else "no-cache"
    return Response(content, headers={"Cache-Control": cache_control}, media_type=MEDIA_TYPES[path.rpartition(".")[2]])
