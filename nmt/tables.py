"""Tables for the terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence


def format_table(head: Sequence[str], rows: Sequence[Sequence[str]], width: int = 120) -> str:
    """Rows of text below their headings."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*head)
    for row in rows:
        table.add_row(*row)
    text = io.StringIO()
    Console(file=text, width=width, markup=False, highlight=False).print(table)
    return text.getvalue().rstrip()
