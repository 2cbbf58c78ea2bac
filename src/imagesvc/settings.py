"""Everything that can be set, read once from the environment (``IMAGESVC_…``) into a frozen object.

Production secrets have no default. Sizes are in bytes, times in seconds unless the name says otherwise.
"""

from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any, Literal

from pydantic import AnyHttpUrl, Field, IPvAnyNetwork, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MIB = 1024 * 1024


class Settings(BaseSettings):
    """The settings of one process. Missing secrets fail here, with the name of the variable to set."""

    model_config = SettingsConfigDict(env_prefix="IMAGESVC_", frozen=True, extra="ignore", hide_input_in_errors=True)

    # --- the servers
    database_url: SecretStr = Field(description="postgresql://user:password@host:port/name, or ?host=/socket/folder")
    redis_url: SecretStr = Field(description="redis://… or unix://… of a Valkey or Redis")
    s3_endpoint: str = Field(description="http(s)://host:port of any S3 server")
    s3_access_key: SecretStr
    s3_secret_key: SecretStr
    s3_bucket: str = Field("imagesvc", min_length=3, max_length=63)
    s3_region: str = "us-east-1"

    # --- secrets
    secret_keys: SecretStr = Field(description="kid:secret,… ; 32 bytes at least each; the first one signs")
    admin_token: SecretStr | None = Field(None, min_length=32, description="key of the built-in account `admin`")

    # --- where we are reached
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    public_url: AnyHttpUrl | None = Field(None, description="what links are built from; needed off loopback")
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field((), description="whose X-Forwarded-* count")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    metrics_networks: Annotated[tuple[IPvAnyNetwork, ...], NoDecode] = Field(
        (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128")), description="from where the API's /metrics can be read"
    )
    worker_metrics_host: str = "127.0.0.1"
    worker_metrics_port: int | None = Field(None, ge=0, le=65535, description="where a worker tells its metrics")

    # --- limits of one file
    max_file_bytes: int = Field(100 * MIB, gt=0)
    max_pixels: int = Field(200_000_000, gt=0, description="of one frame")
    max_total_pixels: int = Field(1_000_000_000, gt=0, description="of all frames together")
    max_frames: int = Field(2_000, gt=0)
    max_side: int = Field(50_000, gt=0)

    # --- limits of one request
    max_parts: int = Field(1_000, gt=0, description="files and fields of one form; images of one JSON batch")
    max_part_header_bytes: int = Field(16 * 1024, gt=0)
    max_field_bytes: int = Field(32 * 1024, gt=0, description="of one text of a form: 5000 letters of any script")
    max_json_bytes: int = Field(1 * MIB, gt=0)
    max_job_bytes: int = Field(8 * MIB, gt=0, description="of the JSON of one job")
    max_job_images: int = Field(10_000, gt=0, description="of all visits of one job")
    max_import_bytes: int = Field(64 * MIB, gt=0, description="of a CSV file of stores")

    # --- fairness: over a bound an upload is told 429, 503 or 408; none of them waits in an endless queue
    max_uploads_per_link: int = Field(100, gt=0, description="requests under way in one process")
    max_uploads_per_user: int = Field(200, gt=0, description="requests under way in one process")
    max_uploads_waiting: int = Field(200, ge=0, description="requests of one process that wait for memory")
    upload_idle_seconds: float = Field(30.0, gt=0, description="how long nothing may arrive")
    upload_min_bytes_per_second: int = Field(1024, gt=0, description="on the whole, after the first idle seconds")
    upload_max_seconds: float = Field(3600.0, gt=0, description="for one file")
    idempotency_lease_seconds: float = Field(30.0, gt=0, description="after a crash, a key is free again so much later")

    # --- memory and connections
    part_bytes: int = Field(8 * MIB, ge=5 * MIB, description="S3 part; a file up to this is small: one PUT")
    upload_memory_bytes: int = Field(64 * MIB, gt=0, description="working sets of all uploads of one process")
    upload_memory_wait_seconds: float = Field(10.0, ge=0)
    shutdown_seconds: float = Field(5.0, ge=0, description="how long requests under way may take once told to stop")
    database_pool: int = Field(10, gt=0)
    database_pool_wait_seconds: float = Field(5.0, gt=0)
    database_statement_seconds: float = Field(30.0, gt=0, description="how long one statement may take")
    s3_pool: int = Field(50, gt=0)

    # --- accounts
    access_token_seconds: int = Field(12 * 3600, gt=0, description="how long a login lasts")
    password_hashes_at_once: int = Field(2, gt=0, description="each takes 19 MiB and some 50 ms of one core")
    account_removal_wait_seconds: float = Field(
        5.0, ge=0, description="how long a deletion waits for the images to be gone; then it goes on in the background"
    )

    # --- links, shares and deduplication
    link_max_seconds: int = Field(90 * 86_400, gt=0)
    share_max_seconds: int = Field(90 * 86_400, gt=0)
    dedupe_scope: Literal["all", "owner"] = "all"

    # --- resumable uploads
    resumable_idle_seconds: float = Field(
        86_400, gt=0, description="how long an unfinished one waits to be gone on with"
    )
    resumable_max_seconds: float = Field(7 * 86_400, gt=0, description="how long it may be unfinished at the most")
    resumable_result_seconds: float = Field(86_400, gt=0, description="how long its result can be asked for")
    resumable_max_unfinished: int = Field(1_000, gt=0, description="at once, by one account or through one link")

    # --- resizes on request
    resize_max_bytes: int = Field(32 * MIB, gt=0, description="of the file that comes with a request")
    resize_max_side: int = Field(4096, gt=0, le=8192)
    resize_max_unfinished: int = Field(100, gt=0, description="of one account, at once")
    resize_seconds: float = Field(86_400, gt=0, description="how long a result is kept")
    resize_remembered_seconds: float = Field(7 * 86_400, gt=0, description="how long 410 is told then, instead of 404")

    # --- fetching what others name by URL, and webhooks
    fetch_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="host[:port] or networks that may be reached although private; our own servers never"
    )
    fetch_connect_seconds: float = Field(5.0, gt=0, description="for the name and the connection")
    fetch_idle_seconds: float = Field(10.0, gt=0, description="how long nothing may arrive")
    fetch_max_seconds: float = Field(120.0, gt=0, description="of waiting for the host, for one file")
    fetch_min_bytes_per_second: int = Field(4096, gt=0, description="on the whole, after the first idle seconds")
    fetch_per_host: int = Field(4, gt=0, description="requests to one host at a time, from one process")

    # --- webhooks
    webhook_max: int = Field(20, gt=0, description="of one account")
    webhook_max_attempts: int = Field(35, gt=0, description="with growing pauses, an hour at most: about a day")
    webhook_log_seconds: float = Field(30 * 86_400, gt=0, description="how long deliveries are shown")

    # --- background work
    worker_concurrency: int = Field(2, gt=0)
    turns_at_once: int = Field(
        16, gt=0, description="tasks of groups, such as images of jobs, in one worker; half of them of one group"
    )
    task_lease_seconds: float = Field(30.0, gt=0)
    task_max_attempts: int = Field(5, gt=0)
    task_retry_seconds: float = Field(2.0, gt=0, description="before the second attempt; doubles, up to an hour")
    reprocess_at_once: int = Field(
        16, gt=0, description="tasks of reprocessing that may wait: uploads wait behind them"
    )
    sweep_seconds: float = Field(1.0, gt=0)
    reaper_paused: bool = Field(False, description="nothing is deleted from the bucket: while a backup is restored")
    reap_seconds: float = Field(5.0, gt=0)
    hold_seconds: float = Field(600.0, gt=0, description="how long a key on its way in is left alone")
    tombstone_seconds: float = Field(900.0, gt=0, description="longer than any S3 request can last, retries included")
    sandbox_seconds: float = Field(60.0, gt=0, description="wall time of one image in the sandbox")
    sandbox_memory_bytes: int = Field(2048 * MIB, gt=0)

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("trusted_proxies", "cors_origins", "metrics_networks", "fetch_allow", mode="before")
    @classmethod
    def _comma_separated(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("secret_keys")
    @classmethod
    def _keys_are_long_enough(cls, value: SecretStr) -> SecretStr:
        parse_secret_keys(value.get_secret_value())
        return value

    @property
    def base_url(self) -> str:
        """What links are built from, without a slash at its end; never taken from a request."""
        if self.public_url is not None:
            return str(self.public_url).rstrip("/")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def secrets(self) -> tuple[str, ...]:
        """What must never be in a log."""
        found = [self.s3_secret_key, self.secret_keys, self.admin_token]
        keys = (secret.decode() for _, secret in self.signing_keys)
        return (*(secret.get_secret_value() for secret in found if secret is not None), *keys)

    @cached_property
    def signing_keys(self) -> tuple[tuple[str, bytes], ...]:
        """(kid, secret) pairs; the first signs, all verify."""
        return parse_secret_keys(self.secret_keys.get_secret_value())


def parse_secret_keys(text: str) -> tuple[tuple[str, bytes], ...]:
    """``kid:secret,kid:secret`` as pairs. Raises ValueError, naming no secret, when one is short or a kid repeats."""
    pairs = []
    for item in filter(None, (part.strip() for part in text.split(","))):
        kid, colon, secret = item.partition(":")
        if not colon or not kid or len(secret.encode()) < 32:
            raise ValueError("each entry must be kid:secret, the secret at least 32 bytes long")
        pairs.append((kid, secret.encode()))
    if not pairs or len({kid for kid, _ in pairs}) != len(pairs):
        raise ValueError("at least one kid:secret entry is needed, and no kid twice")
    return tuple(pairs)
