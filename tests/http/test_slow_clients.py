"""Minimum upload speed: stalled and slow clients are cut off. Only the time spent waiting for the client counts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from imagesvc.http.slow_clients import TimedBody, UploadStalled
from imagesvc.settings import Settings

SettingsWith = Callable[..., Settings]


@pytest.fixture
def upload_limits() -> SettingsWith:
    def make(**limits: float) -> Settings:
        generous: dict[str, Any] = {
            "upload_idle_seconds": 60.0,
            "upload_min_bytes_per_second": 1,
            "upload_max_seconds": 60.0,
        }
        return Settings.model_construct(**{**generous, **limits})

    return make


async def arriving(*chunks: bytes, pause_seconds: float = 0.0, silence_seconds: float = 0.0) -> AsyncIterator[bytes]:
    """Chunks with a pause before each, and silence at the end."""
    for chunk in chunks:
        await asyncio.sleep(pause_seconds)
        yield chunk
    await asyncio.sleep(silence_seconds)


async def test_a_body_that_arrives_in_time_is_complete(upload_limits: SettingsWith) -> None:
    request_body = TimedBody(upload_limits(upload_idle_seconds=10.0), arriving(b"a", b"b", b"c", pause_seconds=0.01))

    assert [chunk async for chunk in request_body] == [b"a", b"b", b"c"]


async def test_a_client_that_sends_nothing_is_cut_off_after_the_idle_timeout(upload_limits: SettingsWith) -> None:
    request_body = TimedBody(upload_limits(upload_idle_seconds=0.1), arriving(b"a", silence_seconds=60.0))

    with pytest.raises(UploadStalled):
        _ = [chunk async for chunk in request_body]


async def test_a_client_below_the_minimum_speed_is_cut_off(upload_limits: SettingsWith) -> None:
    limits = upload_limits(upload_idle_seconds=0.2, upload_min_bytes_per_second=1_000_000)
    request_body = TimedBody(limits, arriving(*[b"a"] * 1000, pause_seconds=0.05))

    with pytest.raises(UploadStalled):
        _ = [chunk async for chunk in request_body]


async def test_the_maximum_duration_applies_to_each_file_separately(upload_limits: SettingsWith) -> None:
    request_body = TimedBody(
        upload_limits(upload_max_seconds=0.3), arriving(*[b"a"] * 4, pause_seconds=0.1, silence_seconds=60.0)
    )

    assert [await anext(request_body), await anext(request_body)] == [b"a", b"a"]
    request_body.next_file()
    assert [await anext(request_body), await anext(request_body)] == [b"a", b"a"]
    with pytest.raises(UploadStalled):
        await anext(request_body)


async def test_processing_time_of_the_service_does_not_count_against_the_client(upload_limits: SettingsWith) -> None:
    request_body = TimedBody(upload_limits(upload_idle_seconds=0.1), arriving(b"a", b"b"))

    assert await anext(request_body) == b"a"
    await asyncio.sleep(0.3)  # longer than the idle timeout

    assert await anext(request_body) == b"b"


async def test_a_cancelled_read_raises_cancelled_error_and_not_upload_stalled(upload_limits: SettingsWith) -> None:
    request_body = TimedBody(upload_limits(), arriving(silence_seconds=60.0))
    reading = asyncio.ensure_future(anext(request_body))
    await asyncio.sleep(0)

    reading.cancel()

    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_a_stalled_upload_leaves_no_pending_cancellation_in_its_task(upload_limits: SettingsWith) -> None:
    request_body = TimedBody(upload_limits(upload_idle_seconds=0.05), arriving(silence_seconds=60.0))

    with pytest.raises(UploadStalled):
        await anext(request_body)

    await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
