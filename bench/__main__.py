"""``python -m bench [--only uploads,reads]``: measures, prints, and writes docs/performance.md section by section."""

import argparse
import asyncio
import sys
import time
import traceback
from collections.abc import Sequence

from bench.machine import circumstances
from bench.page import PAGE, put
from bench.progress import say
from bench.sections import SECTIONS, Section
from bench.servers import running_servers


def chosen(arguments: Sequence[str] | None = None) -> list[Section]:
    names = [section.name for section in SECTIONS]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", metavar="NAME,…", default=",".join(names), help=f"sections: {', '.join(names)}")
    only = parser.parse_args(arguments).only.split(",")
    if unknown := set(only) - set(names):
        parser.error(f"no section is called {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return [section for section in SECTIONS if section.name in only]


async def main(sections: Sequence[Section]) -> int:
    """How many sections could not be measured; their old figures stay."""
    failed = 0
    async with running_servers() as servers:
        for section in sections:
            say(f"== {section.name}")
            began, line = time.monotonic(), circumstances(section.name)
            try:
                figures = f"{line}\n\n{await section.load()(servers)}"
            except Exception:
                traceback.print_exc()
                failed += 1
                continue
            put(section.name, section.title, figures)
            print(f"## {section.title}\n\n{figures}\n", flush=True)
            say(f"== {section.name}: {time.monotonic() - began:.0f} s")
    say(f"written to {PAGE.parent.name}/{PAGE.name}")
    return failed


if __name__ == "__main__":
    sys.exit(min(1, asyncio.run(main(chosen()))))
