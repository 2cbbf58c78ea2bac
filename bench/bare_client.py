"""A minimal asyncio and httpx uploader, run as a program: reads each file and posts it to IMAGESVC_LINK."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx

IN_FLIGHT = 8


async def send_all(files: Sequence[Path], link: str) -> None:
    paths = iter(files)

    async def send_files() -> None:
        for path in paths:
            answer = await client.post(link, files={"file": (path.name, path.read_bytes())})
            answer.raise_for_status()

    async with httpx.AsyncClient(timeout=60, verify=False) as client, asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(send_files())


if __name__ == "__main__":
    asyncio.run(send_all(sorted(Path(sys.argv[1]).glob("*.jpg")), os.environ["IMAGESVC_LINK"]))
