"""SQL for the lab's administrator: PostgreSQL's protocol over the server's own socket, where the peer's user is the credential.

The machine needs no psql, a look at a database costs a millisecond and no secret is an argument of anything.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import socket
import struct
from pathlib import Path

SCRAM_ITERATIONS = 4096


class DatabaseError(RuntimeError):
    """PostgreSQL refused or does not answer. The message is the server's, without the statement, which may hold a verifier."""


class Connection:
    """One session, to be used as a context manager.

    `folder` holds the server's socket; `timeout_seconds` is for each answer. Raises DatabaseError when nobody answers.
    """

    def __init__(self, folder: Path, port: int, user: str = "rdsadmin", database: str = "postgres", timeout_seconds: float = 10) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout_seconds)
        # A socket's path holds 107 bytes; a clone may lie deeper than that.
        descriptor = os.open(folder, os.O_PATH)
        try:
            self.socket.connect(f"/proc/self/fd/{descriptor}/.s.PGSQL.{port}")
            parameters = b"".join(part.encode() + b"\0" for part in ("user", user, "database", database)) + b"\0"
            self.socket.sendall(struct.pack("!ii", len(parameters) + 8, 3 << 16) + parameters)
            self._answer()
        except OSError as error:
            self.socket.close()
            raise DatabaseError(f"no answer on port {port}: {error.strerror or error}") from error
        except DatabaseError:
            self.socket.close()
            raise
        finally:
            os.close(descriptor)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def query(self, sql: str) -> list[tuple[str | None, ...]]:
        """Run one or more statements and return the rows, every value as text. Raises DatabaseError."""
        body = sql.encode() + b"\0"
        try:
            self.socket.sendall(b"Q" + struct.pack("!i", len(body) + 4) + body)
            return self._answer()
        except OSError as error:
            raise DatabaseError(f"connection lost: {error}") from error

    def _answer(self) -> list[tuple[str | None, ...]]:
        rows: list[tuple[str | None, ...]] = []
        failure = None
        while True:
            kind, body = self._message()
            if kind == b"D":
                rows.append(_values(body))
            elif kind == b"E":
                fields = {field[:1]: field[1:].decode(errors="replace") for field in body.split(b"\0") if field}
                failure = DatabaseError(f"{fields.get(b'C')}: {fields.get(b'M')}")
                # A refused session ends here; a refused statement is followed by "ready".
                if fields.get(b"S") == "FATAL":
                    raise failure
            elif kind == b"R" and body[:4] != b"\0\0\0\0":
                raise DatabaseError("the server asks for a password on its own socket")
            elif kind == b"Z":
                if failure:
                    raise failure
                return rows

    def _message(self) -> tuple[bytes, bytes]:
        kind, length = struct.unpack("!ci", self._read(5))
        return kind, self._read(length - 4)

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise DatabaseError("the server closed the connection")
            data += part
        return data


def _values(body: bytes) -> tuple[str | None, ...]:
    (count,) = struct.unpack_from("!h", body)
    offset, values = 2, []
    for _ in range(count):
        (length,) = struct.unpack_from("!i", body, offset)
        offset += 4
        values.append(None if length < 0 else body[offset : offset + length].decode())
        offset += max(length, 0)
    return tuple(values)


def identifier(name: str) -> str:
    """A name as SQL spells it, its case kept."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """A text as SQL spells it."""
    return "'" + value.replace("'", "''") + "'"


def scram_verifier(password: str, salt: bytes | None = None) -> str:
    """What PostgreSQL stores of a password (RFC 5803): handing it over keeps the password out of the server's memory and logs."""
    salt = salt or secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{encoded[0]}${encoded[1]}:{encoded[2]}"
