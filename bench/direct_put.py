"""PUTs files directly into the S3 server with the service's own client: the upper bound for uploads.

Runs as a program that reads its settings from the environment.
"""

import asyncio
import json
import sys
import time
from typing import Any

import uvloop

from bench.generated_files import GeneratedFiles
from imagesvc.settings import Settings
from imagesvc.storage.bucket import Storage, new_key


async def put(storage: Storage, *, size: int, files: int, in_flight: int) -> dict[str, Any]:
    """PUT ``files`` files of ``size`` bytes, ``in_flight`` at a time."""
    until = time.monotonic() + 3600

    async def sender() -> None:
        generated = GeneratedFiles(size)
        for _ in range(files // in_flight):
            await storage.put(new_key("o"), generated.next(), media_type="image/jpeg", until=until)

    cpu, started = time.process_time(), time.perf_counter()
    await asyncio.gather(*(sender() for _ in range(in_flight)))
    sent = files // in_flight * in_flight
    return {"files": sent, "seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu}


async def main() -> None:
    async with Storage(Settings()) as storage:
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await put(storage, **json.loads(line))), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
