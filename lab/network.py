"""The lab's network: podman's bridge whose range is the VPC's, and the doors from it to the lab's own servers."""

from __future__ import annotations

import socket

# Linux's number; Python's socket module does not name it.
IP_FREEBIND = 15


def listen(address: str, port: int) -> socket.socket:
    """A listening TCP socket, also on an address that the machine does not have yet: podman's bridge comes with its first container."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        listener.bind((address, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener
