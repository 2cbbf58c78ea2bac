"""Lists as people read them: fitted to a terminal, and in whole lines where something else reads them."""

import sys

from rich.console import Console
from rich.table import Table

WHOLE_LINES = 10_000


def console() -> Console:
    """For the standard output."""
    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else WHOLE_LINES)


def plain_table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        # an id that is cut cannot be copied
        table.add_column(title, no_wrap=True, overflow="fold" if title == "id" else "ellipsis")
    return table
