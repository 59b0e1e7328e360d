"""Which port each part listens on: the wanted one, else the one it had before, else the usual one. All on 127.0.0.1."""

import errno
import secrets
import socket
from collections.abc import Mapping
from typing import Literal

PortName = Literal["kafka", "controller", "registry", "registry-management", "graph", "postgres", "connect"]
Ports = Mapping[PortName, int]

# The familiar port with a 1 before it, so that a Kafka of your own keeps its own.
USUAL_PORTS: Ports = {
    "kafka": 19092,
    "controller": 19093,
    "registry": 18081,
    "registry-management": 18082,
    "graph": 18090,
    "postgres": 15432,
    "connect": 18083,
}
FREE_PORTS: Ports = dict.fromkeys(USUAL_PORTS, 0)

# Below the range from which the system gives connections their ports: else a client could be given a killed part's.
_FREE_FROM, _FREE_TO = 20000, 32000


def settle(wanted: Ports, before: Ports) -> Ports:
    """A port for every name. A wanted 0 is the one it had before, else a free one."""
    settled: dict[PortName, int] = {}
    for name, usual in USUAL_PORTS.items():
        otherwise = usual if wanted.get(name) is None else _free(settled)
        settled[name] = wanted.get(name) or before.get(name) or otherwise
    return settled


def is_free(port: int) -> bool:
    """Whether a part could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the parts do: ended connections do not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def _free(given: Ports) -> int:
    while True:
        port = _FREE_FROM + secrets.randbelow(_FREE_TO - _FREE_FROM)
        if port not in given.values() and is_free(port):
            return port
