"""What moto's Systems Manager lacks: sessions, and the state of each instance's agent as the message gateway found it."""

from __future__ import annotations

import base64
import secrets
import string
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from moto.core.responses import ActionResult
from moto.ec2.models import ec2_backends
from moto.ec2.models.instances import Instance
from moto.ssm.exceptions import DoesNotExistException, InvalidFilterKey, SSMException
from moto.ssm.responses import SimpleSystemManagerResponse
from moto.sts.models import sts_backends

from lab.api import firewall
from lab.settings import SETTINGS

# AWS-StartInteractiveCommand wants `command` to be given, the default document wants nothing.
SESSION_TYPES = {
    "SSM-SessionManagerRunShell": "Standard_Stream",
    "AWS-StartInteractiveCommand": "InteractiveCommands",
    "AWS-StartNonInteractiveCommand": "NonInteractiveCommands",
    "AWS-StartPortForwardingSession": "Port",
    "AWS-StartPortForwardingSessionToRemoteHost": "Port",
}
DEFAULT_DOCUMENT = "SSM-SessionManagerRunShell"
AGENT_VERSION = "3.3.2299.0"
# An agent whose gateway has been silent for longer is ConnectionLost, as AWS has it for an agent that does not ping.
PING_SECONDS = 15
# A session whose client is gone without TerminateSession stays open, as on AWS, until AWS's idle limit of 20 minutes, scaled.
ABANDONED_SECONDS = SETTINGS.scaled(20 * 60)


@dataclass
class Session:
    """A session as the API tells it. `token` opens the data channel once."""

    id: str
    target: str
    document: str
    owner: str
    reason: str
    type: str
    command: str
    token: str | None
    properties: dict[str, str] = field(default_factory=dict)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    ended: datetime | None = None
    status: str = "Connecting"
    last_seen: float = field(default_factory=time.monotonic)

    def end(self) -> None:
        if self.ended is None:
            self.ended, self.status, self.token = datetime.now(UTC), "Terminated", None

    def describe(self) -> dict:
        answer = {
            "SessionId": self.id,
            "Target": self.target,
            "Status": self.status,
            "StartDate": self.started,
            "DocumentName": self.document,
            "Owner": self.owner,
            "Reason": self.reason or None,
            "Details": "",
            "OutputUrl": {},
            "AccessType": "Standard",
            "EndDate": self.ended,
        }
        return {key: value for key, value in answer.items() if value is not None}


@dataclass
class Agent:
    """An instance's agent. `reason` says why no session can be had, empty when one can."""

    reason: str
    platform: dict
    seen: float = field(default_factory=time.monotonic)
    last_ping: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def online(self) -> bool:
        return not self.reason and time.monotonic() - self.seen < PING_SECONDS


_sessions: dict[str, Session] = {}
_agents: dict[str, Agent] = {}


def install() -> None:
    """Give moto's response class the operations."""
    for operation in (
        start_session,
        terminate_session,
        resume_session,
        describe_sessions,
        get_connection_status,
        describe_instance_information,
    ):
        setattr(SimpleSystemManagerResponse, operation.__name__, operation)


def start_session(self: SimpleSystemManagerResponse) -> ActionResult:
    target = self._get_param("Target")
    document = self._get_param("DocumentName") or DEFAULT_DOCUMENT
    parameters = self._get_param("Parameters") or {}
    session_type = _session_type(self, document)
    agent = _agents.get(target)
    if agent is None or not agent.online:
        raise SSMException("TargetNotConnected", f"{target} is not connected.")
    command = " ".join(parameters.get("command", []))
    properties = _port_properties(document, parameters) if session_type == "Port" else {}
    if session_type not in ("Standard_Stream", "Port") and not command:
        raise SSMException("InvalidParameters", f"Parameter command of document {document} must have a value.")
    owner = sts_backends[self.current_account]["aws"].get_caller_identity(self.get_access_key(), self.region)[1]
    suffix = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(24))
    session = Session(
        id=f"{owner.rpartition('/')[2]}-{suffix}",
        target=target,
        document=document,
        owner=owner,
        reason=self._get_param("Reason") or "",
        type=session_type,
        command=command,
        token=base64.b64encode(secrets.token_bytes(96)).decode(),
        properties=properties,
    )
    _sessions[session.id] = session
    return ActionResult({"SessionId": session.id, "TokenValue": session.token, "StreamUrl": _stream_url(session)})


def terminate_session(self: SimpleSystemManagerResponse) -> ActionResult:
    session = _session(self._get_param("SessionId"))
    session.end()
    return ActionResult({"SessionId": session.id})


def resume_session(self: SimpleSystemManagerResponse) -> ActionResult:
    """A lost connection ends the shell here: the answer has no token, from which Amazon's client learns that the session is over."""
    session = _session(self._get_param("SessionId"))
    return ActionResult({"SessionId": session.id})


def describe_sessions(self: SimpleSystemManagerResponse) -> ActionResult:
    _expire()
    active = self._get_param("State") == "Active"
    found = [session for session in _sessions.values() if (session.ended is None) == active]
    for condition in self._get_param("Filters") or []:
        found = [session for session in found if _matches(session, condition["key"], condition["value"])]
    found.sort(key=lambda session: session.started, reverse=True)
    return _page(self, "Sessions", [session.describe() for session in found], default_size=200)


def get_connection_status(self: SimpleSystemManagerResponse) -> ActionResult:
    target = self._get_param("Target")
    agent = _agents.get(target)
    return ActionResult({"Target": target, "Status": "connected" if agent and agent.online else "notconnected"})


def describe_instance_information(self: SimpleSystemManagerResponse) -> ActionResult:
    conditions = [(item["Key"], item["Values"]) for item in self._get_param("Filters") or []]
    conditions += [(item["key"], item["valueSet"]) for item in self._get_param("InstanceInformationFilterList") or []]
    found = []
    for instance in _instances():
        # AWS too lists an instance from its agent's first contact on.
        if instance.id in _agents and _agents[instance.id].platform:
            information = _information(instance, _agents[instance.id])
            if all(_holds(instance, information, key, values) for key, values in conditions):
                found.append(information)
    return _page(self, "InstanceInformationList", found, default_size=50)


def _session(session_id: str) -> Session:
    if session_id not in _sessions:
        # moto's class words it for maintenance windows.
        error = DoesNotExistException("")
        error.message = f"Session {session_id} does not exist"
        raise error
    return _sessions[session_id]


def _session_type(response: SimpleSystemManagerResponse, document: str) -> str:
    if document in SESSION_TYPES:
        return SESSION_TYPES[document]
    own = response.ssm_backend._documents.get(document)
    if own:
        version = own.get_default_version()
        if version.document_type == "Session" and version.content_json.get("sessionType") == "Standard_Stream":
            return "Standard_Stream"
    raise SSMException("InvalidDocument", f"Document with name {document} does not exist.")


def _port_properties(document: str, parameters: dict[str, list[str]]) -> dict[str, str]:
    """What the agent is told of a port session; refused as AWS does where a port is none or a host is missing."""
    given = {name: values[0] for name, values in parameters.items() if values}
    given = {"portNumber": "80", "localPortNumber": "0", **given}
    for name in ("portNumber", "localPortNumber"):
        if not given[name].isdigit() or int(given[name]) > 65535:
            raise SSMException("InvalidParameters", f"Parameter {name} of document {document} does not match its allowed pattern.")
    if document.endswith("ToRemoteHost") and not given.get("host"):
        raise SSMException("InvalidParameters", f"Parameter host of document {document} must have a value.")
    return {**given, "type": "LocalPortForwarding"}


def _stream_url(session: Session) -> str:
    # An address that looks signed keeps Amazon's client from searching credentials for it: in the shell's profile, then at 169.254.169.254.
    return f"ws://127.0.0.1:{SETTINGS.session_port}/v1/data-channel/{session.id}?role=publish_subscribe&X-Amz-Expires=60"


def _matches(session: Session, key: str, value: str) -> bool:
    if key in ("InvokedAfter", "InvokedBefore"):
        moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
        return session.started >= moment if key == "InvokedAfter" else session.started < moment
    fields = {"Target": session.target, "Owner": session.owner, "Status": session.status, "SessionId": session.id, "AccessType": "Standard"}
    if key not in fields:
        raise InvalidFilterKey(f"The filter key {key} is not valid.")
    return fields[key] == value


def _information(instance: Instance, agent: Agent) -> dict:
    return {
        "InstanceId": instance.id,
        "PingStatus": "Online" if agent.online else "ConnectionLost",
        "LastPingDateTime": agent.last_ping,
        "AgentVersion": AGENT_VERSION,
        "IsLatestVersion": True,
        "PlatformType": "Linux",
        "PlatformName": agent.platform["name"],
        "PlatformVersion": agent.platform["version"],
        "ResourceType": "EC2Instance",
        "IPAddress": instance.private_ip,
        "ComputerName": agent.platform["hostname"],
        "SourceId": instance.id,
        "SourceType": "AWS::EC2::Instance",
    }


def _holds(instance: Instance, information: dict, key: str, values: list[str]) -> bool:
    tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
    if key == "tag-key":
        return any(value in tags for value in values)
    if key.startswith("tag:"):
        return tags.get(key.removeprefix("tag:")) in values
    names = {
        "InstanceIds": "InstanceId",
        "PingStatus": "PingStatus",
        "AgentVersion": "AgentVersion",
        "PlatformTypes": "PlatformType",
        "ResourceType": "ResourceType",
        "SourceIds": "SourceId",
        "SourceTypes": "SourceType",
    }
    if key not in names:
        raise InvalidFilterKey(f"The filter key {key} is not valid.")
    return information[names[key]] in values


def _page(self: SimpleSystemManagerResponse, name: str, items: list[dict], default_size: int) -> ActionResult:
    start = int(self._get_param("NextToken") or 0)
    size = int(self._get_param("MaxResults") or default_size)
    answer: dict = {name: items[start : start + size]}
    if start + size < len(items):
        answer["NextToken"] = str(start + size)
    return ActionResult(answer)


def _instances() -> Iterator[Instance]:
    for instance in ec2_backends[SETTINGS.account_id][SETTINGS.region].all_instances():
        if instance.state not in ("terminated", "shutting-down"):
            yield instance


def _expire() -> None:
    for session in _sessions.values():
        if session.ended is None and time.monotonic() - session.last_seen > ABANDONED_SECONDS:
            session.end()


def _targets(body: dict) -> dict:
    """The instances whose agents the gateway has to look after."""
    return {"targets": [instance.id for instance in _instances()]}


def _report(body: dict) -> dict:
    """Take `states` (instance id to `reason` and `platform`) and `sessions` (the ids that are connected); answer the open sessions."""
    for instance_id, state in body["states"].items():
        if not state["reason"] and not firewall.lets_https_out(instance_id):
            # The lab's gateway comes in beside the network; AWS's agent calls out.
            state["reason"] = "its security groups let no HTTPS out to Session Manager"
        known = _agents.get(instance_id)
        if not state["reason"]:
            _agents[instance_id] = Agent("", state["platform"])
        elif known:
            known.reason = state["reason"]
        else:
            _agents[instance_id] = Agent(state["reason"], {})
    for gone in set(_agents) - set(body["states"]):
        del _agents[gone]
    for session_id in body["sessions"]:
        if session_id in _sessions:
            _sessions[session_id].last_seen = time.monotonic()
    _expire()
    return {"sessions": [session.id for session in _sessions.values() if session.ended is None]}


def _open(body: dict) -> dict:
    """Spend the token of a session: `session`, `token`. Answers its target, type and command, or `refused` with the reason."""
    session = _sessions.get(body["session"])
    if session is None or session.token is None or not secrets.compare_digest(session.token, str(body["token"])):
        return {"refused": "no open session has this id and token"}
    session.token, session.status, session.last_seen = None, "Connected", time.monotonic()
    return {"target": session.target, "type": session.type, "command": session.command, "properties": session.properties}


def _closed(body: dict) -> dict:
    """The data channel of `session` is closed: by its shell's end (`ended`), or because its client is gone."""
    session = _sessions.get(body["session"])
    if session is not None and body["ended"]:
        session.end()
    elif session is not None and session.ended is None:
        session.status = "Disconnected"
    return {}


ROUTES: dict[str, Callable[[dict], dict]] = {
    "session_targets": _targets,
    "session_report": _report,
    "session_open": _open,
    "session_closed": _closed,
}
