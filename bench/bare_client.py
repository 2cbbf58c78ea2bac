"""A bare asyncio and httpx uploader, a program of its own: reads a file, posts it to IMAGESVC_LINK, then the next."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx

IN_FLIGHT = 8


async def send(pictures: Sequence[Path], link: str) -> None:
    paths = iter(pictures)

    async def send_one_by_one() -> None:
        for path in paths:
            answer = await client.post(link, files={"file": (path.name, path.read_bytes())})
            answer.raise_for_status()

    async with httpx.AsyncClient(timeout=60, verify=False) as client, asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(send_one_by_one())


if __name__ == "__main__":
    asyncio.run(send(sorted(Path(sys.argv[1]).glob("*.jpg")), os.environ["IMAGESVC_LINK"]))
