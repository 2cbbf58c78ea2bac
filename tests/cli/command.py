"""Runs the client commands as processes, against a service in the test process."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedCommand:
    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The output of --json; the shape depends on the command."""
        return [json.loads(line) for line in self.out.splitlines()]


class Command:
    """``state`` is the folder for journals. The settings of the test process are not passed on."""

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

    async def run(self, *arguments: str | Path, typed: str = "") -> FinishedCommand:
        return await finish(await self.start(*arguments), typed=typed)


async def finish(process: asyncio.subprocess.Process, *, typed: str = "") -> FinishedCommand:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        out, err = await process.communicate(typed.encode())
    assert process.returncode is not None
    return FinishedCommand(code=process.returncode, out=out.decode(), err=err.decode())
