"""Checks each response in a test against the OpenAPI document: an undocumented status fails the test."""

import re
from functools import cache
from typing import Any

import httpx

from imagesvc.main import create_app
from imagesvc.settings import Settings

ANY_PATH = re.compile(r"\{filename\}")
ONE_SEGMENT = re.compile(r"\{\w+\}")


@cache
def openapi_document() -> dict[str, Any]:
    """The document, built from settings without real servers: building it needs none."""
    settings = Settings(
        database_url="postgresql://nowhere",
        redis_url="redis://nowhere",
        s3_endpoint="http://127.0.0.1:1",
        s3_access_key="x",
        s3_secret_key="x",
        secret_keys="k1:" + "x" * 32,
    )
    return create_app(settings).openapi()


class Contract:
    """The documented routes and their statuses."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._routes = [(_pattern(path), path, operations) for path, operations in document["paths"].items()]

    async def hold(self, answer: httpx.Response) -> None:
        """An httpx event hook. It ignores paths and methods that the document does not contain."""
        method, path = answer.request.method.lower(), answer.request.url.path
        for pattern, template, operations in self._routes:
            operation = operations.get("get" if method == "head" else method)
            if operation is not None and pattern.fullmatch(path):
                listed = operation["responses"]
                assert str(answer.status_code) in listed, f"{method} {template} does not document {answer.status_code}"
                return


def _pattern(path: str) -> re.Pattern[str]:
    """A pattern for the path template: `{filename}` may contain slashes, any other parameter is one segment."""
    escaped = re.escape(path).replace(r"\{", "{").replace(r"\}", "}")
    return re.compile(ONE_SEGMENT.sub("[^/]+", ANY_PATH.sub(".*", escaped)))
