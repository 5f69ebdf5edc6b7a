"""The lab's Session Manager: frames, the two streams, and the API's sessions."""

from __future__ import annotations

import asyncio
import json
import os
import struct
import uuid
from types import SimpleNamespace

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from websockets.asyncio.client import connect

from lab import session_manager
from lab.api import ssm
from lab.session_messages import (
    ACKNOWLEDGE,
    CHANNEL_CLOSED,
    DATA,
    HANDSHAKE_COMPLETE,
    HANDSHAKE_REQUEST,
    HANDSHAKE_RESPONSE,
    INPUT,
    SIZE,
    Message,
    MessageError,
)
from lab.session_shell import Shell
from lab.settings import Settings

PLATFORM = {"name": "Debian GNU/Linux", "version": "12", "hostname": "machine"}


def test_a_frame_is_laid_out_as_amazons_client_reads_it():
    identifier = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
    frame = Message(INPUT, b"ls\n", DATA, sequence=7, id=identifier).encode()
    assert frame[:4] == struct.pack(">I", 116)
    assert frame[4:36] == b"input_stream_data".ljust(32)
    assert frame[48:56] == struct.pack(">q", 7)
    assert frame[64:80] == identifier.bytes[8:] + identifier.bytes[:8]
    assert frame[112:120] == struct.pack(">II", DATA, 3)
    assert frame[120:] == b"ls\n"
    assert Message.decode(frame) == Message(INPUT, b"ls\n", DATA, sequence=7, id=identifier)


@pytest.mark.parametrize("damage", [lambda frame: frame[:50], lambda frame: frame[:-1], lambda frame: frame[:-1] + b"x"])
def test_a_damaged_frame_is_refused(damage):
    with pytest.raises(MessageError):
        Message.decode(damage(Message(INPUT, b"hello", DATA).encode()))


def test_an_acknowledgement_names_its_message():
    message = Message(INPUT, b"x", DATA, sequence=3)
    answer = message.acknowledgement()
    assert (answer.type, answer.flags) == (ACKNOWLEDGE, 3)
    assert json.loads(answer.payload) == {
        "AcknowledgedMessageType": INPUT,
        "AcknowledgedMessageId": str(message.id),
        "AcknowledgedMessageSequenceNumber": 3,
        "IsSequentialMessage": True,
    }


@pytest.fixture
def account():
    """moto with the additions, one running instance whose agent is online, and nothing left of other tests."""
    ssm.install()
    ssm._sessions.clear()
    ssm._agents.clear()
    options = {"region_name": "us-east-1", "aws_access_key_id": "key", "aws_secret_access_key": "secret"}
    with mock_aws():
        ec2 = boto3.client("ec2", **options)
        image = ec2.register_image(Name="ubuntu")["ImageId"]
        instance = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
        ec2.create_tags(Resources=[instance], Tags=[{"Key": "Role", "Value": "app"}])
        report(instance)
        yield SimpleNamespace(client=boto3.client("ssm", **options), instance=instance, ec2=ec2)
    ssm._sessions.clear()
    ssm._agents.clear()


def report(instance: str, reason: str = "", sessions: tuple[str, ...] = ()) -> dict:
    platform = {} if reason else PLATFORM
    return ssm.ROUTES["session_report"]({"states": {instance: {"reason": reason, "platform": platform}}, "sessions": list(sessions)})


def code_of(call, **arguments) -> str:
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]["Code"]


def test_a_session_lives_from_start_to_terminate(account):
    answer = account.client.start_session(Target=account.instance)
    session = answer["SessionId"]
    assert account.client.describe_sessions(State="Active")["Sessions"][0]["Status"] == "Connecting"
    granted = ssm.ROUTES["session_open"]({"session": session, "token": answer["TokenValue"]})
    assert granted == {"target": account.instance, "type": "Standard_Stream", "command": ""}
    assert report(account.instance, sessions=(session,)) == {"sessions": [session]}
    assert account.client.terminate_session(SessionId=session)["SessionId"] == session
    assert report(account.instance, sessions=(session,)) == {"sessions": []}
    assert account.client.describe_sessions(State="Active")["Sessions"] == []
    assert account.client.describe_sessions(State="History")["Sessions"][0]["Status"] == "Terminated"


def test_a_token_opens_once_and_only_its_own_session(account):
    answer = account.client.start_session(Target=account.instance)
    body = {"session": answer["SessionId"], "token": answer["TokenValue"]}
    for wrong in ({**body, "token": "x"}, {**body, "session": "x"}, {**body, "token": ""}):
        assert "refused" in ssm.ROUTES["session_open"](wrong)
    assert "target" in ssm.ROUTES["session_open"](body)
    assert "refused" in ssm.ROUTES["session_open"](body)


def test_a_client_that_left_leaves_its_session_open_as_on_aws(account, monkeypatch):
    answer = account.client.start_session(Target=account.instance)
    ssm.ROUTES["session_open"]({"session": answer["SessionId"], "token": answer["TokenValue"]})
    ssm.ROUTES["session_closed"]({"session": answer["SessionId"], "ended": False})
    assert account.client.describe_sessions(State="Active")["Sessions"][0]["Status"] == "Disconnected"
    assert "TokenValue" not in account.client.resume_session(SessionId=answer["SessionId"])
    monkeypatch.setattr(ssm, "ABANDONED_SECONDS", -1)
    assert account.client.describe_sessions(State="Active")["Sessions"] == []


def test_an_agent_is_what_the_gateway_found(account, monkeypatch):
    def status() -> str:
        return account.client.describe_instance_information()["InstanceInformationList"][0]["PingStatus"]

    assert status() == "Online"
    report(account.instance, "its agent does not run")
    assert status() == "ConnectionLost"
    assert account.client.get_connection_status(Target=account.instance)["Status"] == "notconnected"
    assert code_of(account.client.start_session, Target=account.instance) == "TargetNotConnected"
    report(account.instance)
    assert status() == "Online"
    # A gateway that is silent.
    monkeypatch.setattr(ssm, "PING_SECONDS", -1)
    assert status() == "ConnectionLost"


def test_an_instance_is_listed_from_its_agents_first_contact_on(account):
    ssm._agents.clear()
    report(account.instance, "cloud-init has not finished")
    assert account.client.describe_instance_information()["InstanceInformationList"] == []
    report(account.instance)
    filters = [{"Key": "tag:Role", "Values": ["app"]}, {"Key": "PingStatus", "Values": ["Online"]}]
    found = account.client.describe_instance_information(Filters=filters)["InstanceInformationList"]
    assert [item["InstanceId"] for item in found] == [account.instance]
    assert account.client.describe_instance_information(Filters=[{"Key": "tag:Role", "Values": ["x"]}])["InstanceInformationList"] == []
    account.ec2.terminate_instances(InstanceIds=[account.instance])
    assert account.client.describe_instance_information()["InstanceInformationList"] == []


def test_errors_have_awss_codes(account):
    assert code_of(account.client.start_session, Target="i-00000000000000000") == "TargetNotConnected"
    assert code_of(account.client.start_session, Target=account.instance, DocumentName="none") == "InvalidDocument"
    assert code_of(account.client.start_session, Target=account.instance, DocumentName="AWS-StartInteractiveCommand") == "InvalidParameters"
    assert code_of(account.client.resume_session, SessionId="none") == "DoesNotExistException"
    assert code_of(account.client.describe_instance_information, Filters=[{"Key": "x", "Values": ["y"]}]) == "InvalidFilterKey"


class Agent(session_manager.SessionManager):
    """The gateway with a shell of this machine instead of an instance's."""

    name = "session_manager"

    def machine(self, instance_id):
        return SimpleNamespace(not_ready_because=lambda: "", facts=lambda: PLATFORM)


async def local_shell(machine, command: str = "") -> Shell:
    terminal, outer = os.openpty()
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", command or "exec cat", stdin=outer, stdout=outer, stderr=outer, start_new_session=True
    )
    os.close(outer)
    os.set_blocking(terminal, False)
    return Shell(process, terminal)


class Client:
    """Amazon's client, as far as the gateway sees it."""

    def __init__(self, websocket) -> None:
        self.websocket, self.sequence, self.output, self.closed, self.expected = websocket, 0, b"", None, 0

    async def send(self, payload: bytes, payload_type: int = DATA) -> None:
        await self.websocket.send(Message(INPUT, payload, payload_type, self.sequence).encode())
        self.sequence += 1

    async def hear(self, until) -> None:
        async with asyncio.timeout(10):
            while not until():
                message = Message.decode(await self.websocket.recv())
                if message.type == CHANNEL_CLOSED:
                    self.closed = json.loads(message.payload)["Output"]
                elif message.type == "output_stream_data":
                    assert message.sequence == self.expected
                    self.expected += 1
                    await self.websocket.send(message.acknowledgement().encode())
                    if message.payload_type == HANDSHAKE_REQUEST:
                        await self.send(b'{"ClientVersion": "1", "ProcessedClientActions": [], "Errors": []}', HANDSHAKE_RESPONSE)
                    elif message.payload_type == HANDSHAKE_COMPLETE:
                        await self.send(b'{"cols": 80, "rows": 24}', SIZE)
                    else:
                        self.output += message.payload


@pytest.fixture
def gateway(account, monkeypatch):
    """Runs `conversation(client, session id)` against a gateway whose shell runs `command`; returns the client."""
    monkeypatch.setattr(Shell, "start", local_shell)
    monkeypatch.setattr(session_manager.control, "call", lambda name, settings=None, **body: ssm.ROUTES[name](body))

    def converse(conversation, command: str = "", token: str = "") -> Client:
        document = {"DocumentName": "AWS-StartInteractiveCommand", "Parameters": {"command": [command]}} if command else {}
        answer = account.client.start_session(Target=account.instance, **document)

        async def main() -> Client:
            agent = Agent(Settings(session_port=0))
            async with session_manager.serve(agent.handle, "127.0.0.1", 0) as server:
                port = server.sockets[0].getsockname()[1]
                async with connect(f"ws://127.0.0.1:{port}/v1/data-channel/{answer['SessionId']}?role=publish_subscribe") as websocket:
                    await websocket.send(json.dumps({"TokenValue": token or answer["TokenValue"]}))
                    client = Client(websocket)
                    await conversation(client, agent)
            assert not agent.sessions
            return client

        return asyncio.run(main())

    return converse


def test_a_command_is_shown_and_its_end_told(gateway, account):
    async def look_on(client, agent):
        await client.hear(lambda: client.closed is not None)

    client = gateway(look_on, "echo hello; seq 1 20000")
    assert client.output.startswith(b"hello\r\n1\r\n") and client.output.endswith(b"20000\r\n")
    assert client.closed == ""
    assert account.client.describe_sessions(State="Active")["Sessions"] == []


def test_what_is_typed_out_of_order_or_twice_arrives_once_and_in_order(gateway):
    async def type_badly(client, agent):
        await client.hear(lambda: client.sequence == 2)
        for sequence in (3, 2, 2, 4, 3):
            await client.websocket.send(Message(INPUT, b"line %d\n" % sequence, DATA, sequence).encode())
        await client.hear(lambda: client.output.count(b"line") == 6)

    # The terminal's echo, and cat's.
    client = gateway(type_badly)
    assert [line for line in client.output.split() if line.isdigit()].count(b"3") == 2
    assert client.output.replace(b"\r\n", b"\n").endswith(b"line 4\n")


def test_terminate_session_ends_the_shell_and_tells_the_client(gateway, account):
    async def wait(client, agent):
        await client.hear(lambda: client.sequence == 2)
        for session in account.client.describe_sessions(State="Active")["Sessions"]:
            account.client.terminate_session(SessionId=session["SessionId"])
        await agent.supervise()
        await client.hear(lambda: client.closed is not None)

    assert gateway(wait, "sleep 77").closed == ""


def test_a_wrong_token_gets_no_shell(gateway):
    async def knock(client, agent):
        await client.websocket.wait_closed()
        assert client.websocket.close_code == 1008

    assert gateway(knock, token="wrong").output == b""
