"""The policies of roles/deployment_role, its boundary and its trust, as an environment's inventory makes them."""

from __future__ import annotations

import json
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from tests.tree import ROOT, VENV_BIN

ACCOUNT = "123456789012"
PLAY = """
- hosts: localhost
  gather_facts: false
  vars_files: {files}
  tasks:
    - ansible.builtin.copy:
        content: "{{{{ made | to_json }}}}"
        dest: {dest}
        mode: "0600"
  vars:
    made:
      documents: "{{{{ __deployment_role_documents }}}}"
      boundary: "{{{{ __deployment_role_boundary }}}}"
      trust: "{{{{ __deployment_role_trust }}}}"
"""


@cache
def rendered(environment: str, values: str = "{}") -> dict:
    """`documents`, the role's policies, `boundary`, and `trust`; `values` are inputs beside the inventory's, as JSON."""
    role = ROOT / "roles" / "deployment_role"
    files = [str(path) for path in (role / "defaults" / "main.yml", *sorted((role / "vars" / "main").glob("*.yml")))]
    with tempfile.TemporaryDirectory() as name:
        play, dest = Path(name) / "play.yml", Path(name) / "policies.json"
        play.write_text(PLAY.format(files=json.dumps(files), dest=dest), "utf-8")
        inventory = ROOT / "inventories" / environment / "hosts.yml"
        command = [
            VENV_BIN / "ansible-playbook",
            "-i",
            inventory,
            play,
            "-e",
            json.dumps({"suite_account_id": ACCOUNT, **json.loads(values)}),
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(dest.read_text("utf-8"))


def statements_of(documents: list[dict]) -> list[dict]:
    return [statement for document in documents for statement in document["Statement"]]
