"""Where the sandbox's parts listen."""

import socket

from deploy.sandbox import FREE_PORTS
from deploy.sandbox.ports import USUAL_PORTS, is_free, settle


def test_without_a_wish_every_part_is_at_its_usual_port() -> None:
    assert settle({}, {}) == USUAL_PORTS


def test_a_wanted_port_wins_over_the_one_before() -> None:
    assert settle({"kafka": 9092}, {"kafka": 19092, "graph": 5}) == {**USUAL_PORTS, "kafka": 9092, "graph": 5}


def test_a_free_port_is_chosen_once_and_kept() -> None:
    first = settle(FREE_PORTS, {})
    assert settle(FREE_PORTS, first) == first
    assert len(set(first.values())) == len(USUAL_PORTS)


def test_free_ports_are_below_those_that_connections_are_given() -> None:
    """A client that looks for a killed part could otherwise be given its port, and the part could not come back.

    32768 is where Linux begins unless told otherwise, other systems begin higher.
    """
    assert all(port < 32768 for port in settle(FREE_PORTS, {}).values())


def test_a_port_that_someone_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert not is_free(listener.getsockname()[1])


def test_the_rest_of_an_ended_connection_does_not_hold_its_port() -> None:
    """A part that is started again at once finds its old connections in TIME_WAIT."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        server, _ = listener.accept()
        server.close()
        client.recv(1)
        client.close()
    assert is_free(port)
