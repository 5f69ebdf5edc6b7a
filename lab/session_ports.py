"""Port sessions: what Session Manager's agent does behind AWS-StartPortForwardingSession and ...ToRemoteHost.

The client opens one stream for each connection that it accepts, all in one channel. The protocol is that of github.com/xtaci/smux,
version 1: frames of version, command, length and stream, little-endian, then data. Connections begin in the instance's own network, so what
its security groups forbid is forbidden here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable

from lab.session_shell import Machine

SYN, FIN, PSH, NOP = range(4)
VERSION = 1
HEADER = struct.Struct("<BBHI")
CHUNK_BYTES = 8192
CONNECT_SECONDS = 10
RESOLVE_SECONDS = 10

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Multiplexer:
    """The agent's end of the channel: connects for each stream, and carries bytes both ways until either side has ended."""

    def __init__(self, connect: Connect, send: Callable[[bytes], Awaitable[None]], refuse: Callable[[], Awaitable[None]]) -> None:
        self._connect, self._send, self._refuse = connect, send, refuse
        self._buffer = b""
        self._typed: dict[int, asyncio.Queue[bytes]] = {}
        self._tasks: set[asyncio.Task] = set()

    def feed(self, data: bytes) -> None:
        """Take what the client sent; frames may come in pieces. Raises ValueError for what is no frame."""
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            version, command, length, stream = HEADER.unpack_from(self._buffer)
            if version != VERSION or command > NOP:
                raise ValueError(f"no frame of a port session: version {version}, command {command}")
            if len(self._buffer) < HEADER.size + length:
                return
            payload, self._buffer = self._buffer[HEADER.size : HEADER.size + length], self._buffer[HEADER.size + length :]
            self._take(command, stream, payload)

    def _take(self, command: int, stream: int, payload: bytes) -> None:
        if command == SYN:
            self._typed[stream] = asyncio.Queue()
            task = asyncio.create_task(self._carry(stream, self._typed[stream]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif stream in self._typed and command in (PSH, FIN):
            # Empty: the client has nothing more to say.
            self._typed[stream].put_nowait(payload if command == PSH else b"")

    async def _carry(self, stream: int, typed: asyncio.Queue[bytes]) -> None:
        try:
            reader, writer = await self._connect()
        except OSError:
            await self._refuse()
        else:
            writing = asyncio.create_task(self._write(writer, typed))
            try:
                with contextlib.suppress(OSError):
                    while data := await reader.read(CHUNK_BYTES):
                        await self._frame(PSH, stream, data)
            finally:
                writing.cancel()
                writer.close()
        del self._typed[stream]
        await self._frame(FIN, stream)

    @staticmethod
    async def _write(writer: asyncio.StreamWriter, typed: asyncio.Queue[bytes]) -> None:
        with contextlib.suppress(OSError):
            while data := await typed.get():
                writer.write(data)
                await writer.drain()
            # smux ends a stream in both directions at once.
            writer.close()

    async def _frame(self, command: int, stream: int, data: bytes = b"") -> None:
        await self._send(HEADER.pack(VERSION, command, len(data), stream) + data)

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def connect_from(machine: Machine, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that begins on the machine. Raises OSError when it cannot be had."""
    address = await resolve(machine, host) if host else "127.0.0.1"
    connected = await asyncio.to_thread(_connect, machine.pid, address, port)
    return await asyncio.open_connection(sock=connected)


async def resolve(machine: Machine, host: str) -> str:
    """The address of a name, as the machine resolves it."""
    process = await asyncio.create_subprocess_exec(
        "nsenter", "--target", str(machine.pid), "--mount", "--net", "getent", "ahostsv4", host,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        output, _ = await asyncio.wait_for(process.communicate(), RESOLVE_SECONDS)
    except TimeoutError as error:
        process.kill()
        raise OSError(f"{host} is not resolved within {RESOLVE_SECONDS} s") from error
    if not output:
        raise OSError(f"{host} is not known")
    return output.split()[0].decode()


def _connect(pid: int, address: str, port: int) -> socket.socket:
    """In a thread, which alone changes over to the machine's network and back: a socket stays in the one where it was made."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        there = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        try:
            os.setns(there, os.CLONE_NEWNET)
        finally:
            os.close(there)
        try:
            return socket.create_connection((address, port), timeout=CONNECT_SECONDS)
        finally:
            os.setns(here, os.CLONE_NEWNET)
    finally:
        os.close(here)
