"""What an experiment ends with: a row of the table that the run itself writes."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from os import cpu_count
from pathlib import Path

from deploy.sandbox import artifacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """`records` lie on the topic the experiment is about; `duplicated` are those beyond one for each lead.

    `recovered` is the seconds from the end of the trouble until the last acknowledged lead had arrived.
    """

    experiment: str
    records: int
    acknowledged: int
    lost: int
    duplicated: int
    recovered: float
    remark: str = ""


_LIBRARIES = ("faust-streaming", "aiokafka", "confluent-kafka", "aiohttp")
HEAD = ("experiment", "records", "acknowledged", "lost", "duplicated", "seconds to recover", "seen")


def cells(result: Result) -> tuple[str, ...]:
    figures = (result.records, result.acknowledged, result.lost, result.duplicated)
    return (result.experiment, *map(str, figures), f"{result.recovered:.1f}", result.remark)


def as_text(results: Sequence[Result]) -> list[str]:
    """Lines for a terminal."""
    rows = [HEAD, *map(cells, results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def as_markdown(results: Sequence[Result], *, seed: int) -> str:
    """A page with the table, and what it was measured on."""
    rows = ["| " + " | ".join(row) + " |" for row in (HEAD, ("---",) * len(HEAD), *map(cells, results))]
    return "\n".join(
        (
            "# What was seen",
            "",
            "Written by `CHAOS_RESULTS=write make chaos`. What each experiment does is in [its test](.).",
            "",
            *rows,
            "",
            f"- {cpu_count()} cores, {_gigabytes()} GB, {platform.system()} {platform.machine()}",
            f"- Python {platform.python_version()}, Kafka {_kafka()}, {', '.join(map(_installed, _LIBRARIES))}",
            f"- `CHAOS_SEED={seed}` draws the same blows",
            "",
        )
    )


def _installed(library: str) -> str:
    return f"{library} {version(library)}"


def _gigabytes() -> str:
    memory = Path("/proc/meminfo")
    return f"{int(memory.read_text().split()[1]) / 2**20:.0f}" if memory.exists() else "?"


def _kafka() -> str:
    [jar] = Path(artifacts.__file__).with_name("kafka.lock").read_text().split("/kafka_2.13/")[1:]
    return jar.partition("/")[0]
