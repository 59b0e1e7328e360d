"""From a command to running children: ports are taken, or it is said in a sentence why they cannot be."""

import asyncio
import socket
import sys
from collections.abc import Sequence

import typer

from deploy.parent import Program, listen, supervise
from ingest import telemetry
from ingest.settings import AdminSettings, read


def run(programs: Sequence[Program]) -> None:
    """Runs the programs under a parent until told to stop, and exits as they did."""
    settings = read(AdminSettings)
    [admin] = listen_or_exit("ADMIN", settings.admin_host, settings.admin_port)
    telemetry.start_logging("parent")
    raise typer.Exit(asyncio.run(supervise(programs, admin)))


def listen_or_exit(what: str, host: str, port: int, copies: int = 1) -> list[socket.socket]:
    """Sockets that share a port; `what` begins the names of its settings. Exit code 2 where it cannot be had."""
    try:
        return listen(host, port, copies)
    except OSError as error:
        reason = error.strerror or "no such address"
        sys.stderr.write(
            f"leadstream: cannot listen on {host}:{port} ({reason}): choose another {what}_HOST or {what}_PORT\n"
        )
        raise typer.Exit(2) from None
