"""Tables on standard output: fitted to a terminal, in full width where another program reads them."""

import sys

from rich.console import Console
from rich.table import Table

FULL_WIDTH = 10_000


def console() -> Console:
    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else FULL_WIDTH)


def plain_table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        # an id wraps instead of being cut, so that it can be copied
        table.add_column(title, no_wrap=True, overflow="fold" if title == "id" else "ellipsis")
    return table
