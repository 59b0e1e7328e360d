"""What a run was measured on, in words: cores, memory, kernel, and the versions of what took part."""

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from deploy.sandbox import artifacts

_LIBRARIES = ("faust-streaming", "aiokafka", "confluent-kafka", "aiohttp", "fastavro", "orjson")
_TOOLS = {"Go": ("go", "env", "GOVERSION"), "Node": ("node", "--version")}  # what peers are built with
_CHECKOUT = Path(__file__).parents[2]


def machine() -> dict[str, str]:
    """By what is told: the day, the commit, the machine, the versions."""
    return {
        "on": f"{datetime.now(UTC):%Y-%m-%d}",
        "leadstream": _commit(),
        "cores": str(os.cpu_count()),
        "CPU": _told("/proc/cpuinfo", "model name"),
        "memory": f"{int(_told('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.0f} GB",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "Python": platform.python_version(),
        "Kafka": _kafka(),
        **{name: said for name, command in _TOOLS.items() if (said := _version_of(command))},
        **{library: version(library) for library in _LIBRARIES},
    }


def _commit() -> str:
    described = subprocess.run(
        ("git", "describe", "--always", "--dirty"), cwd=_CHECKOUT, capture_output=True, text=True, check=False
    )
    return described.stdout.strip() or version("leadstream")


def _version_of(command: tuple[str, ...]) -> str:
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip().removeprefix("go").removeprefix("v")


def _told(file: str, name: str) -> str:
    for line in Path(file).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "0"


def _kafka() -> str:
    [jar] = Path(artifacts.__file__).with_name("kafka.lock").read_text().split("/kafka_2.13/")[1:]
    return jar.partition("/")[0]
