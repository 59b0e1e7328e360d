"""`leadstream`'s commands as a user types them, for tests that hold what they do and all that they say."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.programs import LEADSTREAM, System


class Commands:
    """`leadstream` from the command line, on the system's settings."""

    def __init__(self, system: System, folder: Path) -> None:
        self.said = ""  # by all of them, on both channels
        self._system = system
        self._folder = folder

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(LEADSTREAM), *arguments],
            env=os.environ | self._system.env,
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.said += done.stdout + done.stderr
        return done

    # `Any`: JSON.
    def asked(self, *arguments: str) -> Any:
        done = self(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def answers_of(system: System, lead: str) -> list[str]:
    """What the person answered, less what is too short to be looked for."""
    fields = system.graph.lead(lead)["field_data"]
    return [str(value) for field in fields for value in field.get("values") or [] if len(str(value)) > 7]
