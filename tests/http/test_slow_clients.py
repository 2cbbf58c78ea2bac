"""How slowly a file may come (against slow loris), and that only the client's time counts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from imagesvc.http.slow_clients import TimedBody, UploadStalled
from imagesvc.settings import Settings

SettingsWith = Callable[..., Settings]


@pytest.fixture
def pacing() -> SettingsWith:
    def make(**limits: float) -> Settings:
        slow: dict[str, Any] = {
            "upload_idle_seconds": 60.0,
            "upload_min_bytes_per_second": 1,
            "upload_max_seconds": 60.0,
        }
        return Settings.model_construct(**{**slow, **limits})

    return make


async def arriving(*chunks: bytes, pause_seconds: float = 0.0, silence_seconds: float = 0.0) -> AsyncIterator[bytes]:
    """Chunks with a pause before each, and silence at the end."""
    for chunk in chunks:
        await asyncio.sleep(pause_seconds)
        yield chunk
    await asyncio.sleep(silence_seconds)


async def test_what_comes_in_time_comes_whole(pacing: SettingsWith) -> None:
    request_body = TimedBody(pacing(upload_idle_seconds=10.0), arriving(b"a", b"b", b"c", pause_seconds=0.01))

    assert [chunk async for chunk in request_body] == [b"a", b"b", b"c"]


async def test_a_client_that_falls_silent_is_cut_off(pacing: SettingsWith) -> None:
    request_body = TimedBody(pacing(upload_idle_seconds=0.1), arriving(b"a", silence_seconds=60.0))

    with pytest.raises(UploadStalled):
        _ = [chunk async for chunk in request_body]


async def test_a_client_that_keeps_sending_too_little_is_cut_off(pacing: SettingsWith) -> None:
    limits = pacing(upload_idle_seconds=0.2, upload_min_bytes_per_second=1_000_000)
    request_body = TimedBody(limits, arriving(*[b"a"] * 1000, pause_seconds=0.05))

    with pytest.raises(UploadStalled):
        _ = [chunk async for chunk in request_body]


async def test_a_file_that_takes_too_long_is_cut_off_and_the_next_has_time_of_its_own(pacing: SettingsWith) -> None:
    request_body = TimedBody(
        pacing(upload_max_seconds=0.3), arriving(*[b"a"] * 4, pause_seconds=0.1, silence_seconds=60.0)
    )

    assert [await anext(request_body), await anext(request_body)] == [b"a", b"a"]
    request_body.next_file()
    assert [await anext(request_body), await anext(request_body)] == [b"a", b"a"]
    with pytest.raises(UploadStalled):
        await anext(request_body)


async def test_time_that_we_take_ourselves_does_not_count_against_the_client(pacing: SettingsWith) -> None:
    request_body = TimedBody(pacing(upload_idle_seconds=0.1), arriving(b"a", b"b"))

    assert await anext(request_body) == b"a"
    await asyncio.sleep(0.3)  # longer than the client may be silent

    assert await anext(request_body) == b"b"


async def test_a_request_that_is_given_up_is_not_taken_for_a_stalled_one(pacing: SettingsWith) -> None:
    request_body = TimedBody(pacing(), arriving(silence_seconds=60.0))
    reading = asyncio.ensure_future(anext(request_body))
    await asyncio.sleep(0)

    reading.cancel()

    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_the_task_of_a_stalled_upload_goes_on_and_answers(pacing: SettingsWith) -> None:
    request_body = TimedBody(pacing(upload_idle_seconds=0.05), arriving(silence_seconds=60.0))

    with pytest.raises(UploadStalled):
        await anext(request_body)

    await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
