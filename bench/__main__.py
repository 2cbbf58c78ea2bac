"""``python -m bench [--only uploads,reads]``: measures, prints and writes docs/performance.md section by section.

``python -m bench --beside PATH`` measures this code beside another checkout instead (``beside.py``).
"""

import argparse
import asyncio
import sys
import time
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench import beside
from bench.document import DOCUMENT, replace_figures
from bench.environment import run_description
from bench.progress import log_progress
from bench.sections import SECTIONS, MeasureFunction
from bench.servers import running_servers

Measured = tuple[str, str, MeasureFunction]
"""The name of a section, the title that it has in the document, and what measures it."""


def selected_sections(arguments: Sequence[str] | None = None) -> list[Measured]:
    """Parses the command line; exits with 2 on an unknown section."""
    names = [section.name for section in SECTIONS]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only", metavar="NAME,…", default=",".join(names), help=f"sections to measure: {', '.join(names)}"
    )
    parser.add_argument("--beside", metavar="PATH", type=Path, help="measure this code beside the checkout in PATH")
    parsed = parser.parse_args(arguments)
    if parsed.beside is not None:
        if not (parsed.beside / ".venv/bin/python").exists():
            parser.error(f"{parsed.beside} has no .venv: run `make install` there")
        return [("beside", "Beside an earlier edition", partial(beside.measure, other=parsed.beside.resolve()))]
    only = parsed.only.split(",")
    if unknown := set(only) - set(names):
        parser.error(f"unknown section: {', '.join(sorted(unknown))}; choose from {', '.join(names)}")
    return [(section.name, section.title, section.load()) for section in SECTIONS if section.name in only]


async def main(sections: Sequence[Measured]) -> int:
    """Returns how many sections failed; their previous figures are kept."""
    failed = 0
    async with running_servers() as servers:
        for name, title, measure in sections:
            log_progress(f"== {name}")
            started, line = time.monotonic(), run_description(name)
            try:
                figures = f"{line}\n\n{await measure(servers)}"
            except Exception:
                traceback.print_exc()
                failed += 1
                continue
            replace_figures(name, title, figures)
            print(f"## {title}\n\n{figures}\n", flush=True)
            log_progress(f"== {name}: {time.monotonic() - started:.0f} s")
    log_progress(f"written to {DOCUMENT.parent.name}/{DOCUMENT.name}")
    return failed


if __name__ == "__main__":
    sys.exit(min(1, asyncio.run(main(selected_sections()))))
