"""``python -m bench [--only uploads,reads]``: measures, prints and writes docs/performance.md section by section."""

import argparse
import asyncio
import sys
import time
import traceback
from collections.abc import Sequence

from bench.document import DOCUMENT, replace_figures
from bench.environment import run_description
from bench.progress import log_progress
from bench.sections import SECTIONS, Section
from bench.servers import running_servers


def selected_sections(arguments: Sequence[str] | None = None) -> list[Section]:
    """Parses the command line; exits with 2 on an unknown section."""
    names = [section.name for section in SECTIONS]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only", metavar="NAME,…", default=",".join(names), help=f"sections to measure: {', '.join(names)}"
    )
    only = parser.parse_args(arguments).only.split(",")
    if unknown := set(only) - set(names):
        parser.error(f"unknown section: {', '.join(sorted(unknown))}; choose from {', '.join(names)}")
    return [section for section in SECTIONS if section.name in only]


async def main(sections: Sequence[Section]) -> int:
    """Returns how many sections failed; their previous figures are kept."""
    failed = 0
    async with running_servers() as servers:
        for section in sections:
            log_progress(f"== {section.name}")
            started, line = time.monotonic(), run_description(section.name)
            try:
                figures = f"{line}\n\n{await section.load()(servers)}"
            except Exception:
                traceback.print_exc()
                failed += 1
                continue
            replace_figures(section.name, section.title, figures)
            print(f"## {section.title}\n\n{figures}\n", flush=True)
            log_progress(f"== {section.name}: {time.monotonic() - started:.0f} s")
    log_progress(f"written to {DOCUMENT.parent.name}/{DOCUMENT.name}")
    return failed


if __name__ == "__main__":
    sys.exit(min(1, asyncio.run(main(selected_sections()))))
