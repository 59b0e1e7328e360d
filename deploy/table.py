"""Rows on stdout, aligned as a person reads them; and single values as a person or a program reads them."""

from collections.abc import Iterable
from datetime import datetime

import typer
from rich.cells import cell_len, set_cell_size


def print_aligned(rows: Iterable[tuple[str, ...]]) -> None:
    """Rows of one length, each column as wide as its widest cell at a terminal, also of Japanese or Hindi names."""
    table = list(rows)
    widths = [max(map(cell_len, column)) for column in zip(*table, strict=True)]
    for row in table:
        typer.echo("  ".join(set_cell_size(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip())


def cell(value: object) -> str:
    """A value in a row; what is not there is a dash."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return "-" if value is None else str(value)


def iso(value: object) -> str:
    """What JSON has no type for."""
    return value.isoformat() if isinstance(value, datetime) else str(value)
