"""S3: bytes under random keys. The only room that knows aioboto3.

Works on any S3 server: no conditional PUT, no ListMultipartUploads, no lifecycle rules. Keys are random and never used
twice; whoever writes one has committed a loose object row for it before (see ``tasks/loose.py``).
"""

import asyncio
import contextlib
import ipaddress
import secrets
import time
from collections.abc import AsyncIterator
from functools import cache
from typing import Any, Self
from urllib.parse import urlsplit

import aioboto3
import aiohttp
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError

from imagesvc.errors import Unavailable
from imagesvc.metrics import instruments
from imagesvc.settings import Settings

CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 3, 30, 3
# what one request can last at the most, its retries and their back-off (20 s each at the most) included
MAX_REQUEST_SECONDS = ATTEMPTS * (CONNECT_SECONDS + READ_SECONDS + 20)
READ_CHUNK_BYTES = 256 * 1024
GONE = {"NoSuchKey", "404", "NotFound", "NoSuchUpload", "NoSuchBucket"}

Body = bytes | bytearray | memoryview


class StorageAway(Unavailable):
    slug, title = "storage-away", "The object storage cannot be reached or refuses just now"


class HoldEnded(Unavailable):
    """The time in which this key could be written has passed: its row may be reaped at any moment."""

    slug, title = "upload-too-slow", "The upload took too long to be stored"


class ObjectGone(Unavailable):
    """The key, or the multipart upload, is not there (any more)."""

    slug, title = "object-gone", "The stored object is missing"
    retry_after_seconds = 60


def new_key(kind: str) -> str:
    """A random key; ``kind`` is `o` for originals, `r` for renditions, `z` for resizes, `t` for tails."""
    name = secrets.token_hex(16)
    return f"{kind}/{name[:2]}/{name}"


def _is_loopback(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@cache
def _session() -> Any:
    """One for all clients of this process: it reads the description of S3 once, which takes 0.1 s of CPU."""
    return aioboto3.Session()


class Storage:
    """One process's connections to one bucket. ``async with`` opens and closes them.

    Writers pass ``until``, a ``time.monotonic()`` moment: no write begins after it (raises HoldEnded).
    Every method raises StorageAway when the server cannot be reached or answers 5xx after ``ATTEMPTS`` tries.
    """

    def __init__(self, settings: Settings) -> None:
        self.bucket = settings.s3_bucket
        self._endpoint = settings.s3_endpoint
        # an unsigned payload is safe where nobody can change it on the way: TLS or loopback
        unsigned = self._endpoint.startswith("https:") or _is_loopback(self._endpoint)
        self._arguments: dict[str, Any] = {
            "endpoint_url": self._endpoint,
            "aws_access_key_id": settings.s3_access_key.get_secret_value(),
            "aws_secret_access_key": settings.s3_secret_key.get_secret_value(),
            "region_name": settings.s3_region,
            "config": AioConfig(
                max_pool_connections=settings.s3_pool,
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                parameter_validation=False,
                s3={"addressing_style": "path", "payload_signing_enabled": not unsigned},
            ),
        }
        self._stack = contextlib.AsyncExitStack()
        self._client: Any = None

    async def __aenter__(self) -> Self:
        self._client = await self._stack.enter_async_context(_session().client("s3", **self._arguments))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    @contextlib.asynccontextmanager
    async def _faults(self, operation: str | None = None) -> AsyncIterator[None]:
        """One request, counted as ``operation``."""
        began, result = time.monotonic(), "cancelled"
        try:
            yield
            result = "ok"
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in GONE:
                result = "gone"
                raise ObjectGone(code) from error
            result = "failed"
            raise StorageAway from error
        except (BotoCoreError, aiohttp.ClientError, TimeoutError, OSError) as error:
            result = "failed"
            raise StorageAway from error
        finally:
            if operation is not None:
                instruments.count_s3(operation, result, time.monotonic() - began)

    async def put(self, key: str, body: Body, *, media_type: str, until: float) -> None:
        _in_time(until)
        async with self._faults("PutObject"):
            await self._client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=media_type)

    async def begin_multipart(self, key: str, *, media_type: str) -> str:
        """The id of a new multipart upload; it holds nothing until a part is put."""
        async with self._faults("CreateMultipartUpload"):
            answer = await self._client.create_multipart_upload(Bucket=self.bucket, Key=key, ContentType=media_type)
        return str(answer["UploadId"])

    async def put_part(self, key: str, upload_id: str, number: int, body: Body, *, until: float) -> str:
        """Stores part ``number`` (from 1; 5 MiB at least but for the last) and returns its ETag."""
        _in_time(until)
        async with self._faults("UploadPart"):
            answer = await self._client.upload_part(
                Bucket=self.bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=body
            )
        return str(answer["ETag"])

    async def complete_multipart(
        self, key: str, upload_id: str, etags: list[tuple[int, str]], *, size: int, until: float
    ) -> None:
        """Makes the parts one object. A lost answer is settled by looking whether an object of ``size`` is there."""
        _in_time(until)
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in etags]
        try:
            async with self._faults("CompleteMultipartUpload"):
                await self._client.complete_multipart_upload(
                    Bucket=self.bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}
                )
        except (StorageAway, ObjectGone):
            if await self.size(key) != size:
                raise

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        """Frees the parts; an upload that is not there is no error."""
        with contextlib.suppress(ObjectGone):
            async with self._faults("AbortMultipartUpload"):
                await self._client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload_id)

    async def delete(self, key: str) -> None:
        """A key that is not there is no error."""
        with contextlib.suppress(ObjectGone):
            async with self._faults("DeleteObject"):
                await self._client.delete_object(Bucket=self.bucket, Key=key)

    async def size(self, key: str) -> int | None:
        """Bytes under the key, None when there is nothing."""
        try:
            async with self._faults("HeadObject"):
                answer = await self._client.head_object(Bucket=self.bucket, Key=key)
        except ObjectGone:
            return None
        return int(answer["ContentLength"])

    async def read(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from ``start`` up to but without ``stop``, in chunks. Raises ObjectGone."""
        arguments: dict[str, Any] = {"Bucket": self.bucket, "Key": key}
        if start or stop is not None:
            arguments["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        async with self._faults("GetObject"):
            answer = await self._client.get_object(**arguments)
        # how long this takes is up to whoever reads
        async with self._faults(), answer["Body"] as body:
            while chunk := await body.content.read(READ_CHUNK_BYTES):
                yield chunk

    async def listing(self, prefix: str = "") -> AsyncIterator[tuple[str, int]]:
        """(key, bytes) of every object whose key begins so: for audits and tests, never in normal work."""
        async with self._faults():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
            async for page in pages:
                for found in page.get("Contents", ()):
                    yield found["Key"], found["Size"]

    async def folders(self) -> set[str]:
        """How keys begin, up to the first slash; keys without one as they are."""
        found: set[str] = set()
        async with self._faults():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Delimiter="/")
            async for page in pages:
                found |= {item["Prefix"] for item in page.get("CommonPrefixes", ())}
                found |= {item["Key"] for item in page.get("Contents", ())}
        return found

    async def ensure_bucket(self) -> None:
        """Makes the bucket unless it is there."""
        try:
            await self.ping()
        except ObjectGone:
            async with self._faults():
                with contextlib.suppress(self._client.exceptions.BucketAlreadyOwnedByYou):
                    await self._client.create_bucket(Bucket=self.bucket)

    async def ping(self) -> None:
        async with self._faults("HeadBucket"), asyncio.timeout(CONNECT_SECONDS):
            await self._client.head_bucket(Bucket=self.bucket)


def _in_time(until: float) -> None:
    if time.monotonic() >= until:
        raise HoldEnded
