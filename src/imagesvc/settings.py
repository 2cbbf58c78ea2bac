"""All settings, read once from the environment (``IMAGESVC_…``) into a frozen object.

Each description says what the setting limits and in which unit, then why the default has its value. The command line
prints it when a value is missing or invalid. Secrets have no default.
"""

from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal

from pydantic import AnyHttpUrl, Field, FilePath, IPvAnyNetwork, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from imagesvc.cores import usable_cores

MIB = 1024 * 1024
CORES_PER_WORKER = 8
"""One worker process keeps this many cores busy with small images; its own share is one of them."""
IMAGES_PER_CORE = 3
"""While one image is decoded, another is read and a third is stored: a third more images per second than with one."""


def default_worker_processes() -> int:
    """One for every 8 cores."""
    return -(-usable_cores() // CORES_PER_WORKER)


ROUTE_SEGMENTS = frozenset(
    {"admin", "assets", "docs", "livez", "metrics", "openapi.json", "problems", "readyz", "s", "u", "v1"}
)
"""First segments of the paths of all routes."""


class Settings(BaseSettings):
    """The settings of one process. Raises ValidationError when a required one is missing or a value is invalid."""

    model_config = SettingsConfigDict(env_prefix="IMAGESVC_", frozen=True, extra="ignore", hide_input_in_errors=True)

    # --- servers that the service uses
    database_url: SecretStr = Field(description="postgresql://user:password@host:port/name, or ?host=/socket/folder")
    redis_url: SecretStr = Field(description="redis://… or unix://… of a Valkey or Redis server")
    s3_endpoint: str = Field(description="http(s)://host:port of an S3 server")
    s3_access_key: SecretStr = Field(description="the access key of an S3 user who may read and write the bucket")
    s3_secret_key: SecretStr = Field(description="the secret key of that S3 user")
    s3_bucket: str = Field(
        "imagesvc", min_length=3, max_length=63, description="the bucket that holds all files; used by nothing else"
    )
    s3_region: str = Field("us-east-1", description="the bucket's region; most S3 servers outside AWS accept us-east-1")
    s3_ca_file: FilePath | None = Field(
        None, description="PEM file of the authority that signed the S3 server's certificate, if no public one did"
    )

    s3_sync_folder: str = Field(
        "",
        description="folder of an S3 server on this machine that does not sync: its file system is synced before a"
        " write counts; `imagesvc up` sets it for its own S3 server; empty: no sync",
    )

    # --- secrets
    secret_keys: SecretStr = Field(
        description="kid:secret,… with at least 32 bytes per secret; the first one signs, all of them verify"
    )
    admin_token: SecretStr | None = Field(
        None,
        min_length=32,
        description="API key of the built-in account `admin`, at least 32 characters; unset: no such key",
    )

    # --- network addresses
    host: str = Field("127.0.0.1", description="address that the API listens on; loopback, so exposing it is a choice")
    port: int = Field(8000, ge=0, le=65535, description="port of the API; 0 picks a free one")
    api_processes: int = Field(
        1, gt=0, description="processes of `imagesvc serve`, which share the port; `up`: one for every two cores"
    )
    public_url: AnyHttpUrl | None = Field(
        None,
        description="base of all links that the service returns, with the path below which a proxy serves it; required "
        "when the API does not listen on loopback",
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="addresses and networks whose X-Forwarded-* headers count; none, because clients can forge them"
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="origins whose pages may call the API from a browser, such as https://app.example.org"
    )
    metrics_networks: Annotated[tuple[IPvAnyNetwork, ...], NoDecode] = Field(
        (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128")),
        description="networks that may read /metrics of the API; loopback only, because counts are not public",
    )
    worker_metrics_host: str = Field(
        "127.0.0.1", description="address of the worker's /metrics; loopback, as for `host`"
    )
    worker_metrics_port: int | None = Field(
        None, ge=0, le=65535, description="port of the worker's /metrics; unset: the worker listens on no port"
    )

    # --- limits of one file
    max_file_bytes: int = Field(
        100 * MIB, gt=0, description="bytes of one uploaded file; 100 MiB holds JPEG files of 200-megapixel cameras"
    )
    max_pixels: int = Field(
        200_000_000, gt=0, description="pixels of one frame; 200 million is the largest sensor in phones"
    )
    max_total_pixels: int = Field(
        1_000_000_000, gt=0, description="pixels of all frames together; limits animations whose frames are all small"
    )
    max_frames: int = Field(2_000, gt=0, description="frames of one file; 2000 are a minute at 30 frames per second")
    max_side: int = Field(
        50_000, gt=0, description="pixels of the longer side; refuses long strips that max_pixels would allow"
    )

    # --- limits of one request
    max_parts: int = Field(
        1_000, gt=0, description="files and fields of one form, and images of one JSON batch; limits work per request"
    )
    max_part_header_bytes: int = Field(
        16 * 1024, gt=0, description="bytes of one header line of a form's part; a long file name needs under 2 KiB"
    )
    max_field_bytes: int = Field(
        32 * 1024,
        gt=0,
        description="bytes of one text field; 5000 characters of any script",
    )
    max_json_bytes: int = Field(1 * MIB, gt=0, description="bytes of a JSON body, except batches and jobs")
    max_job_bytes: int = Field(8 * MIB, gt=0, description="bytes of one job's JSON; 10 000 URLs of 800 bytes")
    max_job_images: int = Field(
        10_000, gt=0, description="images of all visits of one job; larger sets are submitted as several jobs"
    )
    max_import_bytes: int = Field(
        64 * MIB, gt=0, description="bytes of one CSV file of stores; about a million rows of 60 bytes"
    )

    # --- upload limits: above one, the answer is 408, 429 or 503 with Retry-After
    max_uploads_per_link: int = Field(
        100,
        gt=0,
        description="concurrent upload requests through one link, per API process; half of what an account may",
    )
    max_uploads_per_user: int = Field(
        200, gt=0, description="concurrent upload requests of one account, per API process; keeps room for others"
    )
    max_uploads_waiting: int = Field(
        200, ge=0, description="upload requests that wait for memory, per API process; more get 503 at once"
    )
    upload_idle_seconds: float = Field(
        30.0,
        gt=0,
        description="seconds without data before an upload is cut off; longer than a phone's change of network",
    )
    upload_min_bytes_per_second: int = Field(
        1024, gt=0, description="average speed of an upload after the first idle seconds; cuts off slow-loris clients"
    )
    upload_max_seconds: float = Field(
        3600.0, gt=0, description="seconds for one file of a plain upload; a slower line uses resumable uploads"
    )
    idempotency_lease_seconds: float = Field(
        30.0,
        gt=0,
        description="seconds after a crash until the same Idempotency-Key may run again; renewed while it runs",
    )

    # --- memory and connections
    part_bytes: int = Field(
        8 * MIB,
        ge=5 * MIB,
        description="bytes of one S3 part, at least S3's 5 MiB; a smaller file is stored by one PUT",
    )
    upload_memory_bytes: int = Field(
        64 * MIB,
        gt=0,
        description="bytes of buffers of all uploads of one API process; four parts of 8 MiB and their copies",
    )
    upload_memory_wait_seconds: float = Field(
        10.0, ge=0, description="seconds that an upload waits for memory before 503; short of common client timeouts"
    )
    shutdown_seconds: float = Field(
        5.0, ge=0, description="seconds that running requests get after SIGTERM; below Docker's 10 s before SIGKILL"
    )
    database_pooler: Literal["none", "session", "transaction"] = Field(
        "none", description="mode of the pooler (PgBouncer) between this process and PostgreSQL"
    )
    database_pool: int = Field(
        10, gt=0, description="connections of each of the two pools of a process, so at most 20 per process"
    )
    database_pool_wait_seconds: float = Field(
        5.0, gt=0, description="seconds that a request waits for a database connection before 503"
    )
    database_statement_seconds: float = Field(
        30.0, gt=0, description="seconds that one SQL statement may run; normal ones take milliseconds"
    )
    s3_pool: int = Field(50, gt=0, description="idle S3 connections that a process keeps open for the next requests")

    # --- accounts
    access_token_seconds: int = Field(
        12 * 3600, gt=0, description="seconds until an access token expires; one working day"
    )
    web_session_seconds: int = Field(
        12 * 3600, gt=0, description="seconds until a sign-in to the dashboard expires; one working day"
    )
    password_hashes_at_once: int = Field(
        2, gt=0, description="concurrent password hashes per API process; each takes 19 MiB and 50 ms of one core"
    )
    account_removal_wait_seconds: float = Field(
        5.0,
        ge=0,
        description="seconds that a DELETE waits for an account's removal; it then continues in the background",
    )

    # --- links, shares and deduplication
    link_max_seconds: int = Field(90 * 86_400, gt=0, description="longest lifetime of a link, in seconds; 90 days")
    share_max_seconds: int = Field(90 * 86_400, gt=0, description="longest lifetime of a share, in seconds; 90 days")
    dedupe_scope: Literal["all", "owner"] = Field(
        "all",
        description="who shares one stored copy of equal files: all accounts (least storage), or only one account",
    )

    # --- resumable uploads
    resumable_idle_seconds: float = Field(
        86_400, gt=0, description="seconds without a request until an unfinished upload expires; a day without network"
    )
    resumable_max_seconds: float = Field(
        7 * 86_400, gt=0, description="seconds from creation until an unfinished upload expires; a week"
    )
    resumable_result_seconds: float = Field(
        86_400, gt=0, description="seconds that a finished upload's result can be read; covers a lost last answer"
    )
    resumable_max_unfinished: int = Field(
        1_000,
        gt=0,
        description="unfinished uploads of one account or link; each may occupy storage up to the file limit",
    )

    # --- resizes on request
    resize_max_bytes: int = Field(
        32 * MIB, gt=0, description="bytes of the file in a resize request; it is held in memory as a whole"
    )
    resize_max_side: int = Field(4096, gt=0, le=8192, description="pixels of each requested side; 4K screens")
    resize_max_unfinished: int = Field(
        100, gt=0, description="unfinished resizes of one account; keeps workers for others"
    )
    resize_seconds: float = Field(
        86_400, gt=0, description="seconds that a resize result is kept; a day to download it"
    )
    resize_remembered_seconds: float = Field(
        7 * 86_400, gt=0, description="seconds after that in which its URL answers 410 instead of 404; a week"
    )

    # --- requests to URLs that callers name: downloads of jobs, and webhooks
    fetch_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="host[:port] or networks that are reachable although private; none, to prevent SSRF",
    )
    fetch_connect_seconds: float = Field(5.0, gt=0, description="seconds for DNS, connection and TLS; 1 s is usual")
    fetch_idle_seconds: float = Field(10.0, gt=0, description="seconds without data before a fetch is cut off")
    fetch_max_seconds: float = Field(
        120.0, gt=0, description="seconds of waiting for the host, per file; allows 100 MiB at 0.9 MB/s"
    )
    fetch_min_bytes_per_second: int = Field(
        4096, gt=0, description="average speed of a fetch after the first idle seconds; slower hosts block a slot"
    )
    fetch_per_host: int = Field(
        4, gt=0, description="concurrent requests to one host, per process; protects small web servers"
    )

    # --- webhooks
    webhook_max: int = Field(20, gt=0, description="webhooks of one account; each event costs a delivery for each")
    webhook_max_attempts: int = Field(
        35, gt=0, description="attempts of one delivery; with delays that double up to an hour, they span about a day"
    )
    webhook_log_seconds: float = Field(
        30 * 86_400,
        gt=0,
        description="seconds that finished deliveries stay listed; 30 days",
    )

    # --- background work
    worker_processes: int = Field(
        default_factory=default_worker_processes,
        gt=0,
        description="processes of `imagesvc worker`; one for every 8 cores, if it is not set",
    )
    worker_concurrency: int = Field(
        default_factory=lambda: IMAGES_PER_CORE * min(usable_cores(), CORES_PER_WORKER),
        gt=0,
        description="images that one worker process handles at once; three for each core, if it is not set",
    )
    turns_at_once: int = Field(
        16, gt=0, description="fair-queue tasks (downloads, deliveries) per worker; half of them at most for one group"
    )
    task_lease_seconds: float = Field(
        30.0, gt=0, description="seconds until another worker repeats a task of a killed one; renewed every third of it"
    )
    task_max_attempts: int = Field(
        5, gt=0, description="attempts of one task before it becomes a dead letter; they span 30 seconds"
    )
    task_retry_seconds: float = Field(
        2.0, gt=0, description="seconds before the second attempt of a task; doubles with each attempt, up to an hour"
    )
    reprocess_at_once: int = Field(
        16, gt=0, description="tasks of a reprocessing that exist at once; new uploads wait behind these few only"
    )
    sweep_seconds: float = Field(
        1.0, gt=0, description="seconds between searches for due tasks; the longest delay after a lost wake-up"
    )
    reaper_paused: bool = Field(
        False, description="stops every deletion from the bucket; set it while a backup is taken or restored"
    )
    reap_seconds: float = Field(
        5.0, gt=0, description="seconds between rounds that delete loose objects and expire uploads and resizes"
    )
    hold_seconds: float = Field(
        600.0,
        gt=0,
        description="seconds that an object may be written before the reaper deletes it; long uploads renew",
    )
    tombstone_seconds: float = Field(
        900.0,
        gt=0,
        description="seconds that a deleted key is deleted again; at least 159, the longest S3 request",
    )
    sandbox_seconds: float = Field(
        60.0, gt=0, description="seconds of wall time for one image; a photo of 12 megapixels takes 0.3 s"
    )
    sandbox_memory_bytes: int = Field(
        2048 * MIB, gt=0, description="bytes that processing one image may allocate; enough for max_pixels"
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="the lowest level that is logged; libraries log from WARNING, because INFO shows URLs"
    )

    @field_validator("trusted_proxies", "cors_origins", "metrics_networks", "fetch_allow", mode="before")
    @classmethod
    def _comma_separated(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("public_url")
    @classmethod
    def _path_is_no_route(cls, value: AnyHttpUrl | None) -> AnyHttpUrl | None:
        first = (value.path or "/").split("/")[1] if value is not None else ""
        if first in ROUTE_SEGMENTS:
            raise ValueError(f"the path may not begin with /{first}, which is a route of the service")
        return value

    @field_validator("secret_keys")
    @classmethod
    def _keys_are_long_enough(cls, value: SecretStr) -> SecretStr:
        parse_secret_keys(value.get_secret_value())
        return value

    @property
    def base_url(self) -> str:
        """The base of all links that the service returns, without a slash at its end; never taken from a request."""
        if self.public_url is not None:
            return str(self.public_url).rstrip("/")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def path_prefix(self) -> str:
        """The path of the public URL, without a slash at its end; empty for a service at the root of its host."""
        return (self.public_url.path or "").rstrip("/") if self.public_url is not None else ""

    def secrets(self) -> tuple[str, ...]:
        """The configured values that logs must not contain."""
        found = [self.s3_secret_key, self.secret_keys, self.admin_token]
        keys = (secret.decode() for _, secret in self.signing_keys)
        return (*(secret.get_secret_value() for secret in found if secret is not None), *keys)

    @cached_property
    def signing_keys(self) -> tuple[tuple[str, bytes], ...]:
        """Pairs of key id and secret. The first one signs, all of them verify."""
        return parse_secret_keys(self.secret_keys.get_secret_value())


def parse_secret_keys(text: str) -> tuple[tuple[str, bytes], ...]:
    """Parse ``kid:secret,kid:secret`` into pairs.

    Raises ValueError, whose text contains no secret, when a secret is short or a key id repeats.
    """
    pairs = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        kid, colon, secret = item.partition(":")
        if not colon or not kid or len(secret.encode()) < 32:
            raise ValueError("each entry must be kid:secret, the secret at least 32 bytes long")
        pairs.append((kid, secret.encode()))
    if not pairs or len({kid for kid, _ in pairs}) != len(pairs):
        raise ValueError("at least one kid:secret entry is needed, and no kid twice")
    return tuple(pairs)
