"""How the demo shows leads: as a table, and one in full; on `leads.v1`, and as the CRM gets them."""

from collections.abc import Iterable, Mapping
from itertools import zip_longest

from rich.table import Table
from rich.text import Text

from deploy.tail import LEAD_COLUMNS, lead_row
from schemas.shapes import Lead

Row = Mapping[str, object]
"""A record of the CRM topic."""

ROW_COLUMNS: Mapping[str, int] = {  # of more there is no room for
    "lead_id": 17,
    "name": 17,
    "phone": 15,
    "product": 7,
    "interests": 22,
    "may_write": 9,
    "campaign": 18,
}


def leads_table(leads: Iterable[Lead]) -> Table:
    """A line for each."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column, width in LEAD_COLUMNS.items():
        # Half an id is none; where there is little room, names give way.
        whole = column in {"lead", "telephone", "through"}
        table.add_column(column, no_wrap=True, min_width=width if whole else None, max_width=width)
    for lead in leads:
        table.add_row(*lead_row(lead))
    return table


def in_full(lead: Lead) -> Table:
    """One lead, field by field and answer by answer."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name in ("created_at", "source", "form_name", "form_locale", "form_version", "is_organic", "ad_name", "email"):
        table.add_row(Text(name, style="bold"), str(lead[name]))
    for answer in lead["answers"]:
        said = [text or value for text, value in zip_longest(answer["option_texts"], answer["values"])]
        label = Text.assemble(("answer ", "bold"), answer["type"] or "tracking")
        table.add_row(label, f"{answer['question'] or answer['key']}  {', '.join(map(repr, said)) or 'not answered'}")
    for box in lead["disclaimers"]:
        label = Text.assemble(("consent ", "bold"), "yes" if box["is_checked"] else "no")
        table.add_row(label, box["text"])
    return table


def rows_table(rows: Iterable[Row]) -> Table:
    """A line for each, under the names of the fields."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column, width in ROW_COLUMNS.items():
        table.add_column(column, no_wrap=True, min_width=width if column == "lead_id" else None, max_width=width)
    for row in rows:
        table.add_row(*(Text(cell(row[column])) for column in ROW_COLUMNS))
    return table


def cell(value: object) -> str:
    """One value of a record for a person; nothing is nothing."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(str, value))
        case _:
            return str(value)
