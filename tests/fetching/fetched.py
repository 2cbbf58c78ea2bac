"""The result of a fetch as one value."""

from typing import Any

from imagesvc.fetching import Fetcher, FetchFailed, FetchRefused


async def body_of(fetcher: Fetcher, url: str, **conditions: Any) -> bytes:
    async with fetcher.fetch(url, **conditions) as fetched:
        return b"".join([chunk async for chunk in fetched.chunks])


async def failure_of(fetcher: Fetcher, url: str, **conditions: Any) -> tuple[str, bool]:
    """The reason of the failure, and whether it is retryable."""
    try:
        await body_of(fetcher, url, **conditions)
    except FetchFailed as error:
        return error.reason, error.retryable
    except FetchRefused as error:
        return error.reason, False
    raise AssertionError(f"{url} was fetched")
