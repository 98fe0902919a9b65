"""Ports for the servers that tests start."""

import random
import socket
from contextlib import closing

# Linux gives clients the ports above: one of those may be a client's before the server has it.
PORTS = range(20000, 32768)


def free_port() -> int:
    """A port of loopback that no server has."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different ports of loopback that no server has."""
    # not by the seed of a test: several processes look for ports
    shuffled = random.SystemRandom().sample(PORTS, len(PORTS))
    free = (port for port in shuffled if _is_free(port))
    return [next(free) for _ in range(count)]


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
