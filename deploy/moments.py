"""Times on the command line: moments in ISO 8601, in UTC where they do not say, and durations such as 15m."""

import re
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


def duration(text: str) -> float:
    """Seconds, of `90`, `90s`, `15m`, `6h` or `1d`. BadParameter where it is none, or nothing."""
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhd]?)", text)
    seconds = float(found[1]) * _SECONDS[found[2]] if found else 0.0
    if not seconds:
        raise typer.BadParameter(f"{text} is no duration such as 90s, 15m, 6h or 1d.")
    return seconds


_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}

Since = Annotated[
    datetime | None,
    typer.Option("--since", metavar="TIME", parser=moment, help="From then on (ISO 8601, UTC if it does not say)."),
]
Until = Annotated[
    datetime | None, typer.Option("--until", metavar="TIME", parser=moment, help="Before then, and not then.")
]
