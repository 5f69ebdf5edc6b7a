"""`make logs`, `make shell`, `make dbshell`, `make tunnel`: connect this terminal to a machine, through Session Manager.

usage: connect.py KIND [--inventory FOLDER] [NAME=VALUE ...]

The values are the variables of playbooks/connect.yml, without their `connect_`. The play finds the machine; Amazon's session-manager-plugin
is run here. Of several machines, which only `logs` has, every line begins with the machine's id.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Hands the session's token to Amazon's client, instead of an argument that every user of this machine can read.
RESPONSE = "AWS_SSM_START_SESSION_RESPONSE"


def orders(kind: str, inventory: str, values: dict[str, str]) -> dict:
    """What the play has found. Ends this program with the play's own words where it finds nothing."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "orders.json"
        variables = {f"connect_{name}": value for name, value in values.items() if value}
        command = [Path(sys.executable).parent / "ansible-playbook", *(["-i", inventory] if inventory else []), "playbooks/connect.yml"]
        extra = json.dumps({**variables, "connect_kind": kind, "connect_file": str(file)})
        done = subprocess.run([*command, "-e", extra], cwd=ROOT, check=False)
        if done.returncode:
            sys.exit(done.returncode)
        return json.loads(file.read_text())


def client(found: dict):
    import boto3

    # What a play sets for its calls; an empty value hides the shell's.
    for name, value in found["environment"].items():
        os.environ[name] = value
        if not value:
            del os.environ[name]
    return boto3.session.Session(region_name=found["region"]).client("ssm", endpoint_url=found["endpoint_url"] or None)


class RefusedError(Exception):
    """AWS opens no session on a machine. The text says why."""


def start(ssm, found: dict, target: str) -> tuple[list[str], dict[str, str], str]:
    """The command of Amazon's client for one session, what its environment needs, and the session's id; or RefusedError."""
    from botocore.exceptions import BotoCoreError, ClientError

    wanted = found["sessions"][target]
    request = {"Target": target}
    if wanted["document"]:
        request["DocumentName"] = wanted["document"]
    if wanted["parameters"]:
        request["Parameters"] = wanted["parameters"]
    try:
        response = ssm.start_session(**request)
    except (BotoCoreError, ClientError) as error:
        raise RefusedError(f"{target}: {error}") from error
    response.pop("ResponseMetadata")
    profile = os.environ.get("AWS_PROFILE", "")
    command = [found["plugin"], RESPONSE, found["region"], "StartSession", profile, json.dumps(request), ssm.meta.endpoint_url]
    return command, {RESPONSE: json.dumps(response)}, response["SessionId"]


def follow(ssm, found: dict) -> int:
    """The output of several sessions, mixed, until all end or Ctrl-C. A machine that cannot be reached is told of, and left out."""
    running = {}
    try:
        for target in found["sessions"]:
            try:
                command, more, session = start(ssm, found, target)
            except RefusedError as error:
                print(error, file=sys.stderr, flush=True)
                continue
            # A group of its own: Ctrl-C is for this program, which ends the sessions.
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "errors": "replace"}
            process = subprocess.Popen(command, env={**os.environ, **more}, start_new_session=True, **pipes)
            running[target] = (process, session)
        if not running:
            raise RefusedError("none of them can be reached")
        printers = [threading.Thread(target=show, args=(target, process), daemon=True) for target, (process, _) in running.items()]
        for printer in printers:
            printer.start()
        for printer in printers:
            printer.join()
    except KeyboardInterrupt:
        print()
    finally:
        for process, session in running.values():
            ssm.terminate_session(SessionId=session)
            process.terminate()
    return 0


def show(target: str, process: subprocess.Popen) -> None:
    for line in process.stdout:
        text = line.rstrip()
        if text and not text.startswith(("Starting session with", "Exiting session with")):
            print(f"{target}  {text}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["logs", "shell", "dbshell", "tunnel"])
    parser.add_argument("--inventory", default="")
    parser.add_argument("values", nargs="*", metavar="NAME=VALUE")
    given = parser.parse_args()
    found = orders(given.kind, given.inventory, dict(value.split("=", 1) for value in given.values))
    if not shutil.which(found["plugin"]):
        sys.exit(
            f"{found['plugin']} is not installed: "
            "https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-working-with-install-plugin.html"
        )
    print(found["says"], flush=True)
    ssm = client(found)
    try:
        if len(found["sessions"]) > 1:
            sys.exit(follow(ssm, found))
        command, more, _ = start(ssm, found, next(iter(found["sessions"])))
    except RefusedError as error:
        another = f" Another machine: INSTANCE={found['others'][0]}." if found["others"] else ""
        inventory = f" -i {given.inventory}" if given.inventory else ""
        sys.exit(f"{error}.{another}\nCauses and fixes: ansible-playbook{inventory} playbooks/doctor.yml; docs/runbooks/session-manager.md")
    # Amazon's client has the terminal, and Ctrl-C, to itself.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execvpe(command[0], command, {**os.environ, **more})


if __name__ == "__main__":
    main()
