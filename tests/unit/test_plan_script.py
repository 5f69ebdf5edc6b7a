"""bin/plan.py as a pipeline runs it: where no plan can be made, it exits with 1, says why, and prints nothing that looks like a plan."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from bin import plan as script
from tests.tree import ROOT


def test_a_run_that_fails_and_does_not_say_where_has_nothing_to_say(monkeypatch, capsys, tmp_path):
    made = {"result": "nothing to do", "changes": [], "errors": [], "cost": None, "text": "Nothing to do"}
    playbook = tmp_path / "ansible-playbook"
    playbook.write_text(f"#!/bin/sh\necho '{json.dumps(made)}' > \"$ESPALIER_PLAN_PATH\"\necho it went wrong\nexit 250\n", "utf-8")
    playbook.chmod(0o755)
    monkeypatch.setattr(script, "PLAYBOOK", playbook)
    for options in ([], ["--json"]):
        assert script.main(options) == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "it went wrong" in printed.err and ".plan/run.log" in printed.err


def plan(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    shell = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANSIBLE_"))}
    command = [sys.executable, "bin/plan.py", "--json", *options]
    return subprocess.run(command, cwd=ROOT, env=shell | environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("broken", ["hosts.yml", "group_vars/all.yml"])
def test_a_broken_inventory(broken, tmp_path):
    (tmp_path / "group_vars").mkdir()
    for name in ("hosts.yml", "group_vars/all.yml"):
        (tmp_path / name).write_text("all: {}: [" if name == broken else "all: {}", "utf-8")
    done = plan("-i", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "The plan could not be made" in done.stderr and ".plan/run.log" in done.stderr
    assert "YAML" in done.stderr, "what is broken is not said"


def test_an_option_that_there_is_not():
    done = plan("--tagz", "network")
    assert (done.returncode, done.stdout) == (1, "")
    assert "--tagz" in done.stderr


@pytest.fixture
def refusing():
    """An API that accepts no credentials."""

    class Refusal(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            error = "<Code>InvalidClientTokenId</Code><Message>The security token is invalid.</Message>"
            body = f"<ErrorResponse><Error>{error}</Error></ErrorResponse>".encode()
            self.send_response(403)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments):
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Refusal)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_credentials_that_aws_does_not_accept(refusing):
    done = plan("-i", "inventories/lab/hosts.yml", "-e", f"suite_aws_endpoint_url={refusing}")
    assert done.returncode == 1, done.stderr
    made = json.loads(done.stdout)
    assert (made["result"], made["changes"], made["cost"]) == ("error", [], None)
    (error,) = made["errors"]
    assert "does not accept" in error["message"] and "nothing was changed" in error["message"]


def test_no_credentials():
    away = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
    done = plan("-i", "inventories/production", "-e", "suite_account_id=123456789012", **away)
    assert done.returncode == 1, done.stderr
    made = json.loads(done.stdout)
    assert made["result"] == "error" and "no AWS credentials" in made["errors"][0]["message"]
