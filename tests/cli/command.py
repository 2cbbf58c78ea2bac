"""The client commands as a user runs them: processes of their own, beside a service in this one."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LONGEST_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Of --json."""
        return [json.loads(line) for line in self.out.splitlines()]


class Command:
    """``state`` is where journals are kept. Nothing of this process's own settings is passed on."""

    def __init__(self, state: Path, **variables: str) -> None:
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(state),
            "XDG_STATE_HOME": str(state),
            "COLUMNS": "200",
            **{f"IMAGESVC_{name.upper()}": value for name, value in variables.items()},
        }

    async def start(self, *arguments: str | Path) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "imagesvc", *arguments),
            env=self._environment,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
        )

    async def run(self, *arguments: str | Path, typed: str = "") -> Ended:
        return await ended(await self.start(*arguments), typed=typed)


async def ended(process: asyncio.subprocess.Process, *, typed: str = "") -> Ended:
    async with asyncio.timeout(LONGEST_SECONDS):
        out, err = await process.communicate(typed.encode())
    assert process.returncode is not None
    return Ended(code=process.returncode, out=out.decode(), err=err.decode())
