"""Session Manager's message gateway: what AWS runs behind StartSession's StreamUrl, bridged to the lab's machines."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import time
from dataclasses import dataclass, field
from urllib.error import URLError
from urllib.parse import urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from lab import control
from lab.controller import Controller
from lab.podman import PodmanError
from lab.session_messages import (
    DATA,
    FLAG,
    FLAG_CONNECT_ERROR,
    FLAG_TERMINATE,
    HANDSHAKE_COMPLETE,
    HANDSHAKE_REQUEST,
    HANDSHAKE_RESPONSE,
    SIZE,
    MessageError,
    channel_closed,
)
from lab.session_ports import Multiplexer, connect_from
from lab.session_shell import Machine, NotReady, Shell
from lab.session_stream import Stream

# What the handshake names; the client switches abilities on by it.
AGENT_VERSION = "3.3.2299.0"
PATH_PREFIX = "/v1/data-channel/"
# AWS's default for a session in which nothing is typed and nothing is shown. Not scaled: a task may be silent for minutes.
IDLE_SECONDS = 20 * 60
# For the client's first message and for each step of the handshake.
HANDSHAKE_SECONDS = 15
READY_SECONDS = 0.3


@dataclass
class Session:
    """One open data channel."""

    id: str
    target: str
    command: str
    stream: Stream
    # Of a port session: portNumber, localPortNumber, host.
    properties: dict[str, str] = field(default_factory=dict)
    shell: Shell | None = None
    typed: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    shaken: asyncio.Event = field(default_factory=asyncio.Event)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    # The sentence that the client prints at the end.
    verdict: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def end(self, sentence: str = "") -> None:
        """Ask for the end. The first sentence stands."""
        if not self.verdict.done():
            self.verdict.set_result(sentence)


class SessionManager(Controller):
    """Each pass tells the API which machines can take a session and learns which sessions are over."""

    name = "session_manager"
    container_prefix = "espalier-instance-"

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        self.machines: dict[str, Machine] = {}
        self.sessions: dict[str, Session] = {}

    def run(self) -> None:
        """Serve for ever."""
        asyncio.run(self.main())

    async def main(self) -> None:
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        async with serve(self.handle, "127.0.0.1", self.settings.session_port, ping_interval=None, max_size=1 << 20):
            while not stopped.is_set():
                await self.supervise()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopped.wait(), self.interval_seconds)
            for session in self.sessions.values():
                session.end("Session Manager stops.")
            # A client that is not told waits for ever.
            deadline = time.monotonic() + 3
            while self.sessions and time.monotonic() < deadline:
                await asyncio.sleep(0.05)

    async def supervise(self) -> None:
        """One pass, with the deadlines and endings that follow from it."""
        for session in list(self.sessions.values()):
            if time.monotonic() - session.stream.last_activity > IDLE_SECONDS:
                session.end("Your session timed out due to inactivity.")
        try:
            active = await asyncio.to_thread(self.report)
        except (URLError, TimeoutError, control.ControlError) as error:
            self.log.warning("the API does not answer: %s", error)
            return
        except Exception:
            self.log.exception("pass failed, tried again in %s s", self.interval_seconds)
            return
        for session in list(self.sessions.values()):
            if session.id not in active:
                session.end()

    def report(self) -> set[str]:
        """Tell the API the state of each machine that it knows. Returns the ids of the sessions that it holds open."""
        known = control.call("session_targets", settings=self.settings)["targets"]
        states = {instance_id: self.state(instance_id) for instance_id in known}
        self.machines = {key: machine for key, machine in self.machines.items() if key in states}
        open_sessions = list(self.sessions)
        answer = control.call("session_report", settings=self.settings, states=states, sessions=open_sessions)
        # A session that began meanwhile is not judged by an answer that could not know it.
        return set(answer["sessions"]) | (set(self.sessions) - set(open_sessions))

    def state(self, instance_id: str) -> dict:
        """What the API is told of one instance. A machine that goes away under the look is one that does not run."""
        try:
            machine = self.machine(instance_id)
            reason = machine.not_ready_because() if machine else "its machine does not run"
            return {"reason": reason, "platform": machine.facts() if machine and not reason else {}}
        except (OSError, PodmanError, subprocess.TimeoutExpired) as error:
            return {"reason": str(error), "platform": {}}

    def machine(self, instance_id: str) -> Machine | None:
        """The instance's running container. podman is asked only when the one that was known is gone."""
        machine = self.machines.get(instance_id)
        if machine is None or not machine.alive():
            machine = Machine.find(f"{self.container_prefix}{instance_id}")
            if machine is None:
                self.machines.pop(instance_id, None)
            else:
                self.machines[instance_id] = machine
        return machine

    async def handle(self, websocket: ServerConnection) -> None:
        """One client, from its token to the end of its session."""
        session_id = urlsplit(websocket.request.path).path.removeprefix(PATH_PREFIX)
        try:
            first = json.loads(await asyncio.wait_for(websocket.recv(), HANDSHAKE_SECONDS))
            grant = await asyncio.to_thread(
                control.call, "session_open", settings=self.settings, session=session_id, token=first.get("TokenValue", "")
            )
        except (ConnectionClosed, TimeoutError, ValueError, AttributeError, URLError, control.ControlError) as error:
            self.log.warning("%s: no session: %s", session_id, error)
            return
        if "refused" in grant:
            self.log.warning("%s: refused: %s", session_id, grant["refused"])
            await websocket.close(1008, grant["refused"])
            return
        session = Session(session_id, grant["target"], grant["command"], Stream(websocket), grant["properties"])
        self.sessions[session_id] = session
        try:
            await self.serve_session(session, grant["type"])
        except Exception:
            self.log.exception("%s: failed", session_id)
        finally:
            del self.sessions[session_id]

    async def serve_session(self, session: Session, session_type: str) -> None:
        """Run the session's parts until one ends, then end all and tell both sides."""
        self.log.info("%s: opened to %s", session.id, session.target)
        work = (self.forward(session),) if session_type == "Port" else (self.type(session), self.show(session, session_type))
        parts = [asyncio.create_task(part) for part in (self.listen(session), *work, session.stream.resend())]
        connected = True
        try:
            await asyncio.wait([*parts, session.verdict], return_when=asyncio.FIRST_COMPLETED)
            connected = not parts[0].done()
            for part in parts:
                if part.done() and not part.cancelled() and part.exception():
                    self.log.warning("%s: %r", session.id, part.exception())
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            if session.shell:
                await session.shell.close()
        if connected:
            sentence = session.verdict.result() if session.verdict.done() else ""
            with contextlib.suppress(ConnectionClosed):
                await session.stream.websocket.send(channel_closed(session.id, session.target, sentence).encode())
                await session.stream.websocket.close()
        with contextlib.suppress(URLError, TimeoutError, control.ControlError):
            await asyncio.to_thread(control.call, "session_closed", settings=self.settings, session=session.id, ended=connected)
        self.log.info("%s: %s", session.id, "ended" if connected else "the client is gone")

    async def listen(self, session: Session) -> None:
        """Take the client's messages. Typing waits in a queue, so that a full terminal never stops the acknowledgements."""
        try:
            async for message in session.stream.messages():
                if message.payload_type == DATA:
                    session.typed.put_nowait(message.payload)
                    session.ready.set()
                elif message.payload_type == HANDSHAKE_RESPONSE:
                    errors = json.loads(message.payload).get("Errors")
                    if errors:
                        session.end(f"The client refused the handshake: {errors}")
                    session.shaken.set()
                elif message.payload_type == SIZE:
                    if session.shell:
                        session.shell.resize(message.payload)
                    session.ready.set()
                elif message.payload_type == FLAG and int.from_bytes(message.payload, "big") == FLAG_TERMINATE:
                    session.end()
        except ConnectionClosed:
            return
        except MessageError as error:
            self.log.warning("%s: %s", session.id, error)

    async def type(self, session: Session) -> None:
        """Type what the client sent, once there is a shell."""
        await session.ready.wait()
        while True:
            data = await session.typed.get()
            await session.shell.write(data)

    async def ready_machine(self, session: Session) -> Machine | None:
        """The session's machine; None, and the end of the session, where it cannot take one."""
        machine = await asyncio.to_thread(self.machine, session.target)
        reason = machine.not_ready_because() if machine else "its machine does not run"
        if reason:
            session.end(f"{session.target} is not connected: {reason}")
            return None
        return machine

    async def shake_hands(self, session: Session, session_type: str, prepare) -> None:
        """Tell the client what kind of session it is, `prepare` meanwhile, and wait for its answer. Raises TimeoutError."""
        action = {"ActionType": "SessionType", "ActionParameters": {"SessionType": session_type, "Properties": session.properties}}
        request = {"AgentVersion": AGENT_VERSION, "RequestedClientActions": [action]}
        started = time.monotonic_ns()
        await session.stream.send(json.dumps(request).encode(), HANDSHAKE_REQUEST)
        await prepare()
        await asyncio.wait_for(session.shaken.wait(), HANDSHAKE_SECONDS)
        complete = {"HandshakeTimeToComplete": time.monotonic_ns() - started, "CustomerMessage": ""}
        await session.stream.send(json.dumps(complete).encode(), HANDSHAKE_COMPLETE)

    async def forward(self, session: Session) -> None:
        """Carry connections to a port of the machine, or of a host that it reaches, until the client ends."""
        machine = await self.ready_machine(session)
        if machine is None:
            return
        host, port = session.properties.get("host", ""), int(session.properties["portNumber"])
        ports = Multiplexer(
            connect=lambda: connect_from(machine, host, port),
            send=session.stream.send,
            refuse=lambda: session.stream.send(FLAG_CONNECT_ERROR.to_bytes(4, "big"), FLAG),
        )
        try:
            await self.shake_hands(session, "Port", _nothing)
            while True:
                ports.feed(await session.typed.get())
        except TimeoutError:
            session.end("The client did not finish the handshake.")
        finally:
            await ports.close()

    async def show(self, session: Session, session_type: str) -> None:
        """Shake hands, start the shell and send its output until it ends."""
        machine = await self.ready_machine(session)
        if machine is None:
            return

        async def start() -> None:
            session.shell = await Shell.start(machine, session.command)

        try:
            await self.shake_hands(session, session_type, start)
            # A client that sends its terminal's size, or types, is ready for output; one without a size may just look on.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(session.ready.wait(), READY_SECONDS)
        except NotReady as error:
            session.end(f"{session.target}: {error}")
            return
        except TimeoutError:
            session.end("The client did not finish the handshake.")
            return
        while data := await session.shell.read():
            await session.stream.send(data)
        await session.stream.drain(timeout_seconds=5)


async def _nothing() -> None:
    """A port session has nothing to prepare."""
