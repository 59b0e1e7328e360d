"""From a command to running children: the admin port is taken, or it is said in a sentence why it cannot be."""

import asyncio
import sys
from collections.abc import Sequence

import typer

from deploy.parent import Program, listen, supervise
from ingest import telemetry
from ingest.settings import AdminSettings, read


def run(programs: Sequence[Program]) -> None:
    """Runs the programs under a parent until told to stop, and exits as they did."""
    settings = read(AdminSettings)
    try:
        [admin] = listen(settings.admin_host, settings.admin_port, 1)
    except OSError as error:
        reason = error.strerror or "no such address"
        sys.stderr.write(
            f"leadstream: cannot listen on {settings.admin_host}:{settings.admin_port} ({reason}):"
            " choose another ADMIN_HOST or ADMIN_PORT\n"
        )
        raise typer.Exit(2) from None
    telemetry.start_logging("parent")
    raise typer.Exit(asyncio.run(supervise(programs, admin)))
