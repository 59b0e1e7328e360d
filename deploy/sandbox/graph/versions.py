"""Which API version serves a call: a living one itself, another for an expired or unknown one; a header tells."""

from datetime import UTC, datetime

VERSIONS: dict[str, str | None] = {
    "v19.0": "2026-05-21",
    "v20.0": "2026-09-24",
    "v21.0": "2027-01-21",
    "v22.0": "2027-05-20",
    "v23.0": "2027-10-08",
    "v24.0": "2028-02-18",
    "v25.0": "2028-07-29",
    "v26.0": None,
}
"""Each version and the day it ends (Graph API changelog; v19.0 is only an example of one that ended long ago)."""


def served_version(requested: str | None, now: float) -> str:
    """The version that answers: the requested one while it lives, else the oldest that lives (AE, seen live)."""
    today = datetime.fromtimestamp(now, tz=UTC).date().isoformat()
    living = [version for version, end in VERSIONS.items() if end is None or today < end]
    return requested if requested in living else living[0]


def is_version(segment: str) -> bool:
    """True for the part of a path that names a version."""
    return segment[0] == "v" and segment[1:2].isdigit()
