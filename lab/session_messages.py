"""The frames of Session Manager's data channel, as Amazon's client writes and reads them."""

from __future__ import annotations

import hashlib
import json
import struct
import time
import uuid
from dataclasses import dataclass, field

# Message types
INPUT = "input_stream_data"
OUTPUT = "output_stream_data"
ACKNOWLEDGE = "acknowledge"
CHANNEL_CLOSED = "channel_closed"

# Payload types of stream messages
DATA = 1
SIZE = 3
HANDSHAKE_REQUEST = 5
HANDSHAKE_RESPONSE = 6
HANDSHAKE_COMPLETE = 7
FLAG = 10

# The client's flag that asks to end the session, big-endian in a FLAG message.
FLAG_TERMINATE = 2
# The agent's: it could not connect to the port.
FLAG_CONNECT_ERROR = 3

# Big-endian: header length, type, schema version, created (ms), sequence, flags, id, SHA-256, payload type | payload length
_HEADER = struct.Struct(">I32sIQqQ16s32sII")
_HEADER_LENGTH = 116  # the payload's length field is not counted


class MessageError(ValueError):
    """Not a frame of the data channel, or one that was damaged on the way."""


@dataclass(frozen=True)
class Message:
    """One frame. `sequence` counts stream messages of one direction from 0."""

    type: str
    payload: bytes
    payload_type: int = 0
    sequence: int = 0
    flags: int = 0
    id: uuid.UUID = field(default_factory=uuid.uuid4)

    def encode(self) -> bytes:
        """The frame's bytes. The UUID goes with its low half first."""
        identifier = self.id.bytes[8:] + self.id.bytes[:8]
        header = _HEADER.pack(
            _HEADER_LENGTH,
            self.type.encode().ljust(32),
            1,
            int(time.time() * 1000),
            self.sequence,
            self.flags,
            identifier,
            hashlib.sha256(self.payload).digest(),
            self.payload_type,
            len(self.payload),
        )
        return header + self.payload

    @classmethod
    def decode(cls, frame: bytes) -> Message:
        """The message in a frame. Raises MessageError when its length or digest is wrong."""
        if len(frame) < _HEADER.size:
            raise MessageError(f"a frame of {len(frame)} bytes is shorter than a header")
        _, kind, _, _, sequence, flags, identifier, digest, payload_type, length = _HEADER.unpack_from(frame)
        payload = frame[_HEADER.size :]
        if len(payload) != length:
            raise MessageError(f"the frame announces {length} bytes and holds {len(payload)}")
        if payload and hashlib.sha256(payload).digest() != digest:
            raise MessageError("the payload's digest is wrong")
        return cls(
            type=kind.strip(b"\0 ").decode(),
            payload=payload,
            payload_type=payload_type,
            sequence=sequence,
            flags=flags,
            id=uuid.UUID(bytes=identifier[8:] + identifier[:8]),
        )

    def acknowledgement(self) -> Message:
        """What the receiver of a stream message answers. Flags 3 (SYN and FIN): it stands outside the sequence."""
        content = {
            "AcknowledgedMessageType": self.type,
            "AcknowledgedMessageId": str(self.id),
            "AcknowledgedMessageSequenceNumber": self.sequence,
            "IsSequentialMessage": True,
        }
        return Message(ACKNOWLEDGE, json.dumps(content).encode(), flags=3)


def channel_closed(session_id: str, target: str, output: str) -> Message:
    """Tells the client that the session is over; `output` is the sentence that it prints, empty after a plain `exit`."""
    identifier = uuid.uuid4()
    content = {
        "MessageId": str(identifier),
        "CreatedDate": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "DestinationId": target,
        "SessionId": session_id,
        "MessageType": CHANNEL_CLOSED,
        "SchemaVersion": 1,
        "Output": output,
    }
    return Message(CHANNEL_CLOSED, json.dumps(content).encode(), flags=3, id=identifier)
