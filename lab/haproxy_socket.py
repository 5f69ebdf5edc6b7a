"""HAProxy's runtime API over its socket: what it knows of its servers, and servers that come and go without a reload."""

from __future__ import annotations

import csv
import io
import os
import socket
from pathlib import Path

from lab.haproxy_config import Server

TIMEOUT_SECONDS = 5


class RuntimeSocket:
    """`folder` holds admin.sock. Every method raises OSError when nobody answers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def command(self, *commands: str) -> str:
        """Run commands one after the other, with nothing in between, and return their answers."""
        # A socket's path holds 107 bytes; a clone may lie deeper than that.
        descriptor = os.open(self.folder, os.O_PATH)
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(TIMEOUT_SECONDS)
                connection.connect(f"/proc/self/fd/{descriptor}/admin.sock")
                connection.sendall("; ".join(commands).encode() + b"\n")
                answer = b""
                while part := connection.recv(65536):
                    answer += part
                return answer.decode()
        finally:
            os.close(descriptor)

    def process(self) -> str:
        """Something that changes with every reload."""
        return next(line for line in self.command("show info").splitlines() if line.startswith("Pid:"))

    def servers(self) -> dict[str, dict[str, dict[str, str]]]:
        """Rows of `show stat` by backend and server name."""
        found: dict[str, dict[str, dict[str, str]]] = {}
        for row in csv.DictReader(io.StringIO(self.command("show stat").removeprefix("# "))):
            if row["svname"] not in ("FRONTEND", "BACKEND"):
                found.setdefault(row["pxname"], {})[row["svname"]] = row
        return found

    def add(self, backend: str, server: Server, options: str) -> None:
        """A target that must pass its checks before it gets a request: HAProxy begins with up, so it begins with weight 0."""
        name = f"{backend}/{server.name}"
        self._expect("registered", f"add server {name} {server.address}:{server.port} {options} weight 0")
        self.command(f"enable health {name}", f"enable server {name}", f"set server {name} health down", f"set server {name} weight 1")

    def add_spare(self, backend: str, server: Server, options: str) -> None:
        """The same target without checks."""
        name = f"{backend}/{server.spare_name}"
        self._expect("registered", f"add server {name} {server.address}:{server.port} {options}")
        self.command(f"enable server {name}")

    def take_into_service(self, backend: str, name: str) -> None:
        """Up now, whatever the checks before; those that follow decide again."""
        self.command(f"set server {backend}/{name} health up")

    def drain(self, backend: str, name: str) -> None:
        """No new requests; those under way go on."""
        self.command(f"set server {backend}/{name} state drain")

    def remove(self, backend: str, name: str) -> bool:
        """Close what is left and forget the server. False when a connection is still closing: to be tried again."""
        target = f"{backend}/{name}"
        self.command(f"set server {target} state maint", f"shutdown sessions server {target}")
        return "deleted" in self.command(f"del server {target}")

    def _expect(self, word: str, command: str) -> None:
        answer = self.command(command)
        if word not in answer:
            raise RuntimeError(f"{command}: {answer.strip()}")
