"""The S3 bucket: put, read and delete objects. No other module imports a client of S3.

obstore puts, reads, sizes and deletes single objects; aioboto3, at several times the cost, does what obstore cannot:
multipart uploads that other processes continue, listing, and the bucket itself (docs/decisions/0016-clients-of-s3.md).

Works with any S3 server: needs no conditional PUT, no ListMultipartUploads and no lifecycle rules. Keys are random and
never reused. A writer commits a row for its key before it writes the object (``loose_objects.py``).

aioboto3 has no types: ``Any`` is its session and its client.
"""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import secrets
import time
from collections.abc import AsyncIterator
from functools import cache
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import aioboto3
import aiohttp
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError
from obstore.exceptions import BaseError
from obstore.store import S3Store

from imagesvc.errors import Unavailable
from imagesvc.metrics import instruments
from imagesvc.settings import Settings
from imagesvc.storage.group_sync import GroupSync

if TYPE_CHECKING:
    from obstore.store import S3Credential

CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 3, 30, 3
# longest duration of one request, with its retries and their back-off
MAX_BACKOFF_SECONDS = 20
MAX_REQUEST_SECONDS = ATTEMPTS * (CONNECT_SECONDS + READ_SECONDS + MAX_BACKOFF_SECONDS)
READ_CHUNK_BYTES = 256 * 1024
GONE_CODES = {"NoSuchKey", "404", "NotFound", "NoSuchUpload", "NoSuchBucket"}

BytesLike = bytes | bytearray | memoryview


class StorageAway(Unavailable):
    """The server cannot be reached, or it refuses the request."""

    slug, title = "storage-away", "The object storage is unavailable"


class HoldEnded(Unavailable):
    """The hold on this key has expired. The reaper may delete the object at any moment."""

    slug, title = "upload-too-slow", "The upload took too long to be stored"


class ObjectGone(Unavailable):
    """The key or the multipart upload does not exist, or no longer."""

    slug, title = "object-gone", "The stored object is missing"
    retry_after_seconds = 60


def new_key(kind: str) -> str:
    """A random key. ``kind``: `o` original, `r` rendition, `z` resize, `t` tail of a resumable upload."""
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
    """The session of this process. It loads the description of the S3 API once, which takes 0.1 s of CPU."""
    return aioboto3.Session()


def _object_store(settings: Settings, *, is_unsigned: bool) -> S3Store:
    """The client for single objects. Only the settings count, whatever AWS_… variables are set."""
    credential: S3Credential = {
        "access_key_id": settings.s3_access_key.get_secret_value(),
        "secret_access_key": settings.s3_secret_key.get_secret_value(),
        "token": None,
        "expires_at": None,
    }
    return S3Store(
        settings.s3_bucket,
        aws_endpoint_url_s3=settings.s3_endpoint,
        region=settings.s3_region,
        credential_provider=lambda: credential,
        skip_signature=False,
        unsigned_payload=is_unsigned,
        virtual_hosted_style_request=False,
        disable_bulk_delete=True,
        client_options={
            "allow_http": settings.s3_endpoint.startswith("http:"),
            "connect_timeout": dt.timedelta(seconds=CONNECT_SECONDS),
            "read_timeout": dt.timedelta(seconds=READ_SECONDS),
            "timeout": dt.timedelta(days=1),  # the whole of a read lasts as long as its reader likes
            "pool_max_idle_per_host": str(settings.s3_pool),
            **({} if settings.s3_ca_file is None else {"root_certificate": settings.s3_ca_file.read_bytes()}),
        },
        retry_config={
            "max_retries": ATTEMPTS - 1,
            "retry_timeout": dt.timedelta(seconds=MAX_REQUEST_SECONDS - CONNECT_SECONDS - READ_SECONDS),
            "backoff": {
                "init_backoff": dt.timedelta(seconds=0.1),
                "max_backoff": dt.timedelta(seconds=MAX_BACKOFF_SECONDS),
                "base": 2,
            },
        },
    )


class Storage:
    """A process's connections to one bucket. ``async with`` opens and closes them.

    Writers pass ``until``, a ``time.monotonic()`` value. A write that would begin later raises HoldEnded.
    Every method raises StorageAway when the server cannot be reached or still answers 5xx after ``ATTEMPTS`` attempts.
    """

    def __init__(self, settings: Settings) -> None:
        self.bucket = settings.s3_bucket
        self._endpoint = settings.s3_endpoint
        # an unsigned payload is safe where it cannot be changed in transit: TLS or loopback
        is_unsigned = self._endpoint.startswith("https:") or _is_loopback(self._endpoint)
        self._arguments: dict[str, object] = {
            "endpoint_url": self._endpoint,
            "aws_access_key_id": settings.s3_access_key.get_secret_value(),
            "aws_secret_access_key": settings.s3_secret_key.get_secret_value(),
            "region_name": settings.s3_region,
            "verify": str(settings.s3_ca_file) if settings.s3_ca_file else None,
            "config": AioConfig(
                max_pool_connections=settings.s3_pool,
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                parameter_validation=False,
                s3={"addressing_style": "path", "payload_signing_enabled": not is_unsigned},
            ),
        }
        self._objects = _object_store(settings, is_unsigned=is_unsigned)
        self._sync = GroupSync(settings.s3_sync_folder) if settings.s3_sync_folder else None
        self._stack = contextlib.AsyncExitStack()
        self._client: Any = None

    async def __aenter__(self) -> Self:
        if self._sync is not None:
            try:
                await self._stack.enter_async_context(self._sync)
            except OSError as error:
                raise StorageAway("IMAGESVC_S3_SYNC_FOLDER cannot be opened.") from error
        self._client = await self._stack.enter_async_context(_session().client("s3", **self._arguments))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    @contextlib.asynccontextmanager
    async def _request(self, operation: str | None = None) -> AsyncIterator[None]:
        """Translate the errors of one request, and count it as ``operation``."""
        began, result = time.monotonic(), "cancelled"
        try:
            yield
            result = "ok"
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in GONE_CODES:
                result = "gone"
                raise ObjectGone(code) from error
            result = "failed"
            raise StorageAway from error
        except FileNotFoundError as error:
            result = "gone"
            raise ObjectGone from error
        except (BaseError, BotoCoreError, aiohttp.ClientError, TimeoutError, OSError) as error:
            result = "failed"
            raise StorageAway from error
        finally:
            if operation is not None:
                instruments.count_s3(operation, result, time.monotonic() - began)

    async def put(self, key: str, body: BytesLike, *, media_type: str, until: float) -> None:
        _require_hold(until)
        async with self._request("PutObject"):
            await self._objects.put_async(key, body, use_multipart=False, attributes={"Content-Type": media_type})
        await self._make_durable()

    async def begin_multipart(self, key: str, *, media_type: str) -> str:
        """Create a multipart upload and return its id. It stores nothing until a part is put."""
        async with self._request("CreateMultipartUpload"):
            response = await self._client.create_multipart_upload(Bucket=self.bucket, Key=key, ContentType=media_type)
        return str(response["UploadId"])

    async def put_part(self, key: str, upload_id: str, number: int, body: BytesLike, *, until: float) -> str:
        """Store part ``number`` and return its ETag. Parts count from 1; all but the last have at least 5 MiB."""
        _require_hold(until)
        async with self._request("UploadPart"):
            response = await self._client.upload_part(
                Bucket=self.bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=body
            )
        await self._make_durable()
        return str(response["ETag"])

    async def complete_multipart(
        self, key: str, upload_id: str, etags: list[tuple[int, str]], *, size: int, until: float
    ) -> None:
        """Join the parts into one object. After a lost response, checks whether an object of ``size`` bytes exists."""
        _require_hold(until)
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in etags]
        try:
            async with self._request("CompleteMultipartUpload"):
                await self._client.complete_multipart_upload(
                    Bucket=self.bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}
                )
        except (StorageAway, ObjectGone):
            if await self.size(key) != size:
                raise
        await self._make_durable()

    async def _make_durable(self) -> None:
        if self._sync is not None:
            async with self._request("Sync"):
                await self._sync.wait()

    async def abort_multipart(self, key: str, upload_id: str) -> None:
        """Delete the parts. A multipart upload that does not exist is no error."""
        with contextlib.suppress(ObjectGone):
            async with self._request("AbortMultipartUpload"):
                await self._client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload_id)

    async def delete(self, key: str) -> None:
        """Delete an object. A key that does not exist is no error."""
        with contextlib.suppress(ObjectGone):
            async with self._request("DeleteObject"):
                await self._objects.delete_async(key)

    async def size(self, key: str) -> int | None:
        """The size of an object in bytes, None when it does not exist."""
        try:
            async with self._request("HeadObject"):
                found = await self._objects.head_async(key)
        except ObjectGone:
            return None
        return found["size"]

    async def read(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Stream the bytes from ``start`` up to, but not including, ``stop``. Raises ObjectGone."""
        async with self._request("GetObject"):
            if stop is not None:
                found = await self._objects.get_async(key, options={"range": (start, stop)})
            else:
                found = await self._objects.get_async(key, options={"range": {"offset": start}} if start else None)
        # not counted: the duration depends on the caller's reading speed
        async with self._request():
            async for chunk in found.stream(min_chunk_size=READ_CHUNK_BYTES):
                yield bytes(chunk)

    async def listing(self, prefix: str = "") -> AsyncIterator[tuple[str, int]]:
        """Key and size in bytes of every object below ``prefix``. For audits and tests, never in normal operation."""
        async with self._request():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
            async for page in pages:
                for item in page.get("Contents", ()):
                    yield item["Key"], item["Size"]

    async def folders(self) -> set[str]:
        """The prefixes of all keys up to the first slash, and whole keys that contain no slash."""
        prefixes: set[str] = set()
        async with self._request():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Delimiter="/")
            async for page in pages:
                prefixes |= {item["Prefix"] for item in page.get("CommonPrefixes", ())}
                prefixes |= {item["Key"] for item in page.get("Contents", ())}
        return prefixes

    async def ensure_bucket(self) -> None:
        """Create the bucket unless it exists."""
        try:
            await self.ping()
        except ObjectGone:
            async with self._request():
                with contextlib.suppress(self._client.exceptions.BucketAlreadyOwnedByYou):
                    await self._client.create_bucket(Bucket=self.bucket)

    async def ping(self) -> None:
        async with self._request("HeadBucket"), asyncio.timeout(CONNECT_SECONDS):
            await self._client.head_bucket(Bucket=self.bucket)


def _require_hold(until: float) -> None:
    if time.monotonic() >= until:
        raise HoldEnded
