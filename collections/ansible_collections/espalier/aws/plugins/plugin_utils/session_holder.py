# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Holds one session of Session Manager open for one run of Ansible, so that each task need not start its own.

Run as `python session_holder.py SOCKET PARENT_PID` with a JSON object on standard input:
`command` (session-manager-plugin and its arguments), `environment` (added to its environment), `start_seconds` (limit for the shell
to answer) and `session` (`id`, `region`, `endpoint_url` and `credentials` of boto3's client, for TerminateSession). It prints one line:
`ready`, or why there is no session.

It ends with the process PARENT_PID, with the session, or when asked; the session ends with it. One client at a time on the Unix
socket, the next is told `busy`. A client that goes away in the middle of a command ends the session: the command is still running.

Requests and answers are a line of JSON, then bytes. {"command", "data", "seconds"} and `data` bytes of standard input are answered by
{"code", "output", "errors"} and as many bytes of both, or by {"lost", "started"}. {"end": true} ends the session.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import session_wire as wire

# A line of output is short; a command's request is one line.
LIMIT_BYTES = 1 << 24
BASE64 = re.compile(rb"[A-Za-z0-9+/=]{40,}")
# For the shell to end by itself before the session is terminated from outside.
END_SECONDS = 3


class Lost(Exception):
    """The session is over or of no more use."""


class Terminal:
    """session-manager-plugin and the loop at its other end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.parts: set[str] = set()
        self.heard: list[bytes] = []

    @classmethod
    async def start(cls, order: dict) -> Terminal:
        process = await asyncio.create_subprocess_exec(
            *order["command"],
            env={**os.environ, **order["environment"]},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Amazon's client writes warnings of its own there, the instance nothing: into this process's log.
            stderr=None,
            limit=LIMIT_BYTES,
            start_new_session=True,
        )
        terminal = cls(process)
        try:
            async with asyncio.timeout(order["start_seconds"]):
                nonce = secrets.token_hex(8)
                await terminal.send(wire.bootstrap(nonce))
                while (parts := wire.ready_line(await terminal.line(), nonce)) is None:
                    pass
                terminal.parts = parts
        except TimeoutError as error:
            await terminal.kill()
            raise Lost(f"the shell did not answer within {order['start_seconds']} s: {terminal.last_words()}") from error
        except Lost:
            await terminal.kill()
            raise
        return terminal

    async def run(self, command: str, data: bytes) -> wire.Answer:
        """Run a command on the instance. Raises Lost when the session ends first."""
        slices = wire.split_parts(data)
        if "yes" in self.parts:
            for digest, piece in slices:
                if digest and digest not in self.parts:
                    nonce = secrets.token_hex(8)
                    if (await self.exchange(wire.store_request(digest, piece, nonce), nonce)).code == 0:
                        self.parts.add(digest)
        nonce = secrets.token_hex(8)
        return await self.exchange(wire.run_request(command, slices, self.parts, nonce), nonce)

    async def exchange(self, request: bytes, nonce: str) -> wire.Answer:
        answer = wire.Answer()
        sending = asyncio.create_task(self.send(request))
        try:
            while not answer.take(await self.line(), nonce):
                pass
            await sending
        finally:
            sending.cancel()
        if answer.code is None:
            raise Lost("the command's exit status was lost")
        return answer

    async def send(self, data: bytes) -> None:
        try:
            self.process.stdin.write(data)
            await self.process.stdin.drain()
        except (ConnectionError, RuntimeError):
            # Amazon's client is gone; what it said last is worth more than the broken pipe.
            while True:
                await self.line()

    async def line(self) -> bytes:
        line = await self.process.stdout.readline()
        if not line:
            raise Lost(f"the session ended: {self.last_words()}")
        # Words of Amazon's client or of the shell. What was sent may come back when the shell is gone, secrets and all: base64, no words.
        if b" " in line.strip():
            self.heard = [*self.heard[-4:], BASE64.sub(b"...", line)[:500]]
        return line

    def last_words(self) -> str:
        return b" ".join(line.strip() for line in self.heard).decode(errors="replace")

    async def end(self) -> bool:
        """End the shell, and with it the session; false when that took too long."""
        with contextlib.suppress(Lost, TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self.send(b"end\n")
                while True:
                    await self.line()
        clean = self.process.stdout.at_eof()
        await self.kill()
        return clean

    async def kill(self) -> None:
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
        await self.process.wait()


class Holder:
    """The socket's side."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.finished = asyncio.Event()
        self.busy = False
        # A command is under way: the shell is of no use to anybody else.
        self.working = False

    async def client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine = not self.busy and not self.finished.is_set()
        try:
            await self.tell(writer, {"busy": not mine})
            if mine:
                self.busy = True
                while not self.finished.is_set() and (line := await reader.readline()):
                    await self.serve(json.loads(line), reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            if mine:
                self.busy = False
            writer.close()

    async def serve(self, request: dict, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if request.get("end"):
            self.finished.set()
            return
        data = await reader.readexactly(request["data"])
        if self.terminal.process.returncode is not None or self.terminal.process.stdout.at_eof():
            self.finished.set()
            await self.tell(writer, {"lost": f"the session ended: {self.terminal.last_words()}", "started": False})
            return
        self.working = True
        work = asyncio.create_task(self.terminal.run(request["command"], data))
        # A client says nothing while it waits: whatever comes is its end.
        gone = asyncio.create_task(reader.read(1))
        try:
            await asyncio.wait({work, gone}, timeout=request["seconds"], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                answer = work.result()
                self.working = False
                head = {"code": answer.code, "output": len(answer.output), "errors": len(answer.errors)}
                await self.tell(writer, head, bytes(answer.output + answer.errors))
                return
            self.finished.set()
            if not gone.done():
                await self.tell(writer, {"lost": f"no end after {request['seconds']} s", "started": True})
        except Lost as error:
            self.finished.set()
            await self.tell(writer, {"lost": str(error), "started": True})
        finally:
            for task in (work, gone):
                task.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)

    async def tell(self, writer: asyncio.StreamWriter, head: dict, body: bytes = b"") -> None:
        writer.write(json.dumps(head).encode() + b"\n" + body)
        await writer.drain()


def terminate(session: dict) -> None:
    """End the session from outside: its shell does not."""
    import boto3

    boto_session = boto3.session.Session(region_name=session["region"], **session["credentials"])
    boto_session.client("ssm", endpoint_url=session["endpoint_url"]).terminate_session(SessionId=session["id"])


async def hold(path: str, parent: int, order: dict) -> None:
    """Start the session, serve, and end it."""
    # Before anything else: a parent that is gone already must not leave a session behind.
    ended = os.pidfd_open(parent)
    try:
        terminal = await Terminal.start(order)
    except (Lost, OSError) as error:
        print(str(error).replace("\n", " "), flush=True)
        await asyncio.to_thread(terminate, order["session"])
        return
    holder = Holder(terminal)
    asyncio.get_running_loop().add_reader(ended, holder.finished.set)
    server = await asyncio.start_unix_server(holder.client, path, limit=LIMIT_BYTES)
    print("ready", flush=True)
    # The run waits for nobody's output.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    await holder.finished.wait()
    Path(path).unlink(missing_ok=True)
    server.close()
    clean = False
    if holder.working:
        await terminal.kill()
    else:
        clean = await terminal.end()
    if not clean:
        await asyncio.to_thread(terminate, order["session"])


if __name__ == "__main__":
    asyncio.run(hold(sys.argv[1], int(sys.argv[2]), json.load(sys.stdin)))
