"""bin/connect.py: what it starts, and that no token is an argument; playbooks/vars/connect.yml: which machine, which document."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
import yaml
from botocore.exceptions import ClientError

from bin import connect
from tests.tree import ROOT, VENV_BIN


class Service:
    def __init__(self):
        self.asked = None
        self.meta = type("Meta", (), {"endpoint_url": "https://ssm.example"})

    def start_session(self, **request):
        self.asked = request
        return {"SessionId": "ada-1", "TokenValue": "t0ken", "StreamUrl": "wss://x", "ResponseMetadata": {}}


def test_the_token_is_no_argument():
    service = Service()
    wanted = {"document": "AWS-StartPortForwardingSession", "parameters": {"portNumber": ["80"]}}
    found = {"sessions": {"i-a": wanted}, "plugin": "session-manager-plugin", "region": "us-east-1"}
    command, more, session = connect.start(service, found, "i-a")
    assert service.asked == {"Target": "i-a", "DocumentName": wanted["document"], "Parameters": wanted["parameters"]}
    assert session == "ada-1" and command[:4] == ["session-manager-plugin", connect.RESPONSE, "us-east-1", "StartSession"]
    assert "t0ken" not in " ".join(command) and json.loads(more[connect.RESPONSE])["TokenValue"] == "t0ken"


def test_a_plain_shell_names_no_document():
    service = Service()
    connect.start(service, {"sessions": {"i-a": {"document": "", "parameters": {}}}, "plugin": "p", "region": "r"}, "i-a")
    assert service.asked == {"Target": "i-a"}


def test_a_logged_shell_names_its_document_and_nothing_else():
    service = Service()
    connect.start(service, {"sessions": {"i-a": {"document": "lab-django-shell", "parameters": {}}}, "plugin": "p", "region": "r"}, "i-a")
    assert service.asked == {"Target": "i-a", "DocumentName": "lab-django-shell"}


class Refusing(Service):
    """No session on `i-a`, as of an agent that is not connected."""

    def __init__(self):
        super().__init__()
        self.ended = []

    def start_session(self, **request):
        if request["Target"] == "i-a":
            raise ClientError({"Error": {"Code": "TargetNotConnected", "Message": "i-a is not connected."}}, "StartSession")
        return super().start_session(**request)

    def terminate_session(self, SessionId):
        self.ended.append(SessionId)


def found(*targets: str) -> dict:
    return {
        "sessions": {target: {"document": "", "parameters": {}} for target in targets},
        "plugin": "echo",
        "region": "r",
        "others": ["i-c"],
    }


def test_logs_of_a_machine_that_cannot_be_reached_are_left_out(capfd):
    service = Refusing()
    assert connect.follow(service, found("i-a", "i-b")) == 0
    printed = capfd.readouterr()
    assert "TargetNotConnected" in printed.err and "i-b  " in printed.out and service.ended == ["ada-1"]
    with pytest.raises(connect.RefusedError, match="none"):
        connect.follow(service, found("i-a"))


def test_a_refused_session_says_why_and_what_else_there_is(monkeypatch):
    monkeypatch.setattr(connect, "orders", lambda *_: {**found("i-a"), "says": "Shell"})
    monkeypatch.setattr(connect, "client", lambda _: Refusing())
    monkeypatch.setattr("sys.argv", ["connect.py", "shell", "--inventory", "inventories/production"])
    with pytest.raises(SystemExit) as ended:
        connect.main()
    text = str(ended.value)
    assert "i-a is not connected" in text and "INSTANCE=i-c" in text and "-i inventories/production playbooks/doctor.yml" in text


WANTED = "{{ {'targets': connect_targets, 'says': connect_says[connect_kind], 'wanted': connect_documents[connect_kind]} | to_json }}"
STACK = {
    "bastion": {"instance_id": "i-bastion"},
    "autoscaling_group": {"instances": [{"id": name, "lifecycle_state": "InService"} for name in ("i-a", "i-b")]},
    "running_app_ids": ["i-a", "i-b"],
    "target_group": {"targets": [{"id": "i-a", "state": "unhealthy"}, {"id": "i-b", "state": "healthy"}]},
    "database": {"address": "db.example", "port": 5432},
}
COPY = {"instances": [{"endpoint": {"address": "copy.example", "port": 5432}}]}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """The play's own variables for several wishes, by one run of Ansible."""
    wishes = {
        "shell": {"connect_kind": "shell"},
        "logged shell": {"connect_kind": "shell", "suite_session_log_group": "/sessions"},
        "bastion": {"connect_kind": "shell", "connect_instance": "bastion"},
        "stranger": {"connect_kind": "shell", "connect_instance": "i-x"},
        "logs": {"connect_kind": "logs", "connect_follow": "no", "connect_lines": "7"},
        "dbshell": {"connect_kind": "dbshell"},
        "writing": {"connect_kind": "dbshell", "connect_write": "yes"},
        "tunnel": {"connect_kind": "tunnel"},
        "to the copy": {"connect_kind": "tunnel", "connect_to": "copy", "connect_copy": COPY},
        "to no copy": {"connect_kind": "tunnel", "connect_to": "copy", "connect_copy": {"instances": [{"db_instance_status": "creating"}]}},
        "to an instance": {"connect_kind": "tunnel", "connect_to": "app", "connect_port": "9999"},
    }
    folder = tmp_path_factory.mktemp("connect")
    defaults = {
        "connect_instance": "",
        "connect_write": False,
        "connect_lines": 50,
        "connect_follow": True,
        "connect_to": "database",
        "connect_port": "",
    }
    tasks = [
        {
            "name": name,
            "ansible.builtin.copy": {
                "content": WANTED,
                "dest": str(folder / f"{name}.json"),
                "mode": "0600",
            },
            "vars": {**defaults, **wish},
        }
        for name, wish in wishes.items()
    ]
    files = [str(ROOT / "playbooks/vars" / name) for name in ("found.yml", "connect.yml")]
    play = {"hosts": "localhost", "gather_facts": False, "vars_files": files, "vars": {"stack": STACK}, "tasks": tasks}
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    command = [str(VENV_BIN / "ansible-playbook"), "-i", "inventories/lab/hosts.yml", str(folder / "play.yml")]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_COLOR": "1"}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in wishes}


def test_a_machine_that_serves_is_chosen(rendered):
    assert rendered["shell"]["targets"] == ["i-b"] == rendered["dbshell"]["targets"]
    assert rendered["bastion"]["targets"] == ["i-bastion"] == rendered["tunnel"]["targets"]
    assert rendered["logs"]["targets"] == ["i-a", "i-b"] and rendered["stranger"]["targets"] == []


def test_a_shell_is_logged_where_the_switch_says_so(rendered):
    """By the document that the role session_manager makes."""
    assert rendered["shell"]["wanted"] == {"document": "", "parameters": {}}
    assert rendered["logged shell"]["wanted"] == {"document": "lab-django-shell", "parameters": {}}
    assert "/sessions" in rendered["logged shell"]["says"] and "logged" not in rendered["shell"]["says"]


def test_the_tunnel_leads_where_it_is_told(rendered):
    assert rendered["tunnel"]["wanted"] == {
        "document": "AWS-StartPortForwardingSessionToRemoteHost",
        "parameters": {"portNumber": ["5432"], "localPortNumber": ["15432"], "host": ["db.example"]},
    }
    assert rendered["to an instance"]["wanted"] == {
        "document": "AWS-StartPortForwardingSession",
        "parameters": {"portNumber": ["80"], "localPortNumber": ["9999"]},
    }
    assert rendered["to the copy"]["targets"] == ["i-bastion"]
    assert rendered["to the copy"]["wanted"] == {
        "document": "AWS-StartPortForwardingSessionToRemoteHost",
        "parameters": {"portNumber": ["5432"], "localPortNumber": ["15433"], "host": ["copy.example"]},
    }
    assert rendered["to no copy"]["wanted"]["parameters"]["host"] == [""], "the play refuses it"
    assert "db.example:5432" in rendered["tunnel"]["says"] and "localhost:9999" in rendered["to an instance"]["says"]


def test_psql_is_read_only_unless_told_otherwise_and_has_no_password_among_its_arguments(rendered):
    (command,) = rendered["dbshell"]["wanted"]["parameters"]["command"]
    assert "default_transaction_read_only=on" in command and "PGPASSWORD=$RDS_PASSWORD " in command and "\n" not in command
    assert "default_transaction_read_only=off" in rendered["writing"]["wanted"]["parameters"]["command"][0]


def test_logs_end_by_themselves_where_nobody_follows(rendered):
    (command,) = rendered["logs"]["wanted"]["parameters"]["command"]
    assert "--lines=7" in command and "--follow" not in command
