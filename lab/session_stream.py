"""The two ordered, acknowledged streams of a data channel, above a websocket."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from lab.session_messages import ACKNOWLEDGE, DATA, INPUT, OUTPUT, Message

# How many messages may be under way unacknowledged: a client that does not read stops the shell, as a full terminal does.
WINDOW = 256
# The client drops, unacknowledged, what comes before its own handlers are set; the agent sends again after this.
RESEND_SECONDS = 0.2


class Stream:
    """What the agent's end of a data channel does: numbers its messages, keeps them until acknowledged, orders the client's."""

    def __init__(self, websocket: ServerConnection) -> None:
        self.websocket = websocket
        self.last_activity = time.monotonic()
        self._next_output = 0
        self._next_input = 0
        self._unacknowledged: dict[int, tuple[bytes, float]] = {}
        self._early: dict[int, Message] = {}
        self._room = asyncio.Condition()

    async def send(self, payload: bytes, payload_type: int = DATA) -> None:
        """Send one stream message, waiting while the window is full."""
        async with self._room:
            await self._room.wait_for(lambda: len(self._unacknowledged) < WINDOW)
            frame = Message(OUTPUT, payload, payload_type, self._next_output).encode()
            self._unacknowledged[self._next_output] = (frame, time.monotonic())
            self._next_output += 1
        self.last_activity = time.monotonic()
        await self.websocket.send(frame)

    async def messages(self) -> AsyncIterator[Message]:
        """The client's stream messages, each once and in order, until the connection ends."""
        async for frame in self.websocket:
            message = Message.decode(frame if isinstance(frame, bytes) else frame.encode())
            if message.type == ACKNOWLEDGE:
                await self._acknowledged(json.loads(message.payload)["AcknowledgedMessageSequenceNumber"])
            elif message.type == INPUT:
                if len(self._early) >= WINDOW and message.sequence != self._next_input:
                    continue
                self.last_activity = time.monotonic()
                await self.websocket.send(message.acknowledgement().encode())
                if message.sequence >= self._next_input:
                    self._early[message.sequence] = message
                while self._next_input in self._early:
                    self._next_input += 1
                    yield self._early.pop(self._next_input - 1)

    async def resend(self) -> None:
        """Send the oldest unacknowledged message again, for ever."""
        while True:
            await asyncio.sleep(RESEND_SECONDS / 2)
            if not self._unacknowledged:
                continue
            sequence, (frame, sent) = next(iter(self._unacknowledged.items()))
            if time.monotonic() - sent >= RESEND_SECONDS:
                self._unacknowledged[sequence] = (frame, time.monotonic())
                try:
                    await self.websocket.send(frame)
                except ConnectionClosed:
                    return

    async def drain(self, timeout_seconds: float) -> None:
        """Wait until everything is acknowledged, at most `timeout_seconds`."""
        async with self._room:
            try:
                await asyncio.wait_for(self._room.wait_for(lambda: not self._unacknowledged), timeout_seconds)
            except TimeoutError:
                return

    async def _acknowledged(self, sequence: int) -> None:
        async with self._room:
            self._unacknowledged.pop(sequence, None)
            self._room.notify_all()
