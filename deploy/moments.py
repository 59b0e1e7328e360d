"""Times on the command line: ISO 8601, in UTC where they do not say."""

from datetime import UTC, datetime
from typing import Annotated

import typer


def moment(text: str) -> datetime:
    """`2026-11-24`, `2026-11-24T08:00`, `2026-11-24T08:00+02:00`. BadParameter where it is none."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text} is no time such as 2026-11-24T08:00.") from None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


Since = Annotated[
    datetime | None,
    typer.Option("--since", metavar="TIME", parser=moment, help="From then on (ISO 8601, UTC if it does not say)."),
]
Until = Annotated[
    datetime | None, typer.Option("--until", metavar="TIME", parser=moment, help="Before then, and not then.")
]
