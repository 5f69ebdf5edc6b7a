"""A job as AWX runs it: an inventory update and then ansible-runner, both in the execution environment, on a copy of the tree."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab.session_client import NAME
from lab.settings import ROOT, SETTINGS
from tests.e2e.recorder import Outcome, Recorder
from tests.tree import VENV_BIN, load_yaml

# Root, as ansible-navigator does with podman: what is mounted belongs to whoever started podman.
PODMAN_OPTIONS = ("--network=host", "--user=root")
ENVIRONMENT = {"CONTAINERS_CONF": str(ROOT / "lab" / "containers.conf")}
TREE = "{{ inventory_dir | dirname | dirname }}"


@dataclass
class ExecutionEnvironment:
    """`folder` is ansible-runner's private data directory, which is /runner in the container."""

    image: str
    folder: Path

    def check_out(self) -> None:
        """The tree as a project: what git would track, links as links."""
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"]
        names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
        for name in filter(None, names):
            source, target = ROOT / name, self.folder / "project" / name
            # Deleted and not yet committed.
            if source.is_symlink() or source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target, follow_symlinks=False)

    def update_inventory(self, recorder: Recorder, source: str) -> Outcome:
        """AWX's inventory update, from a folder of the project. A job gets what it found as AWX writes it: a script without a suffix."""
        place = f"/runner/project/{source}"
        outcome = recorder.run(
            f"{source}, exported in the execution environment",
            "podman", "run", "--rm", *PODMAN_OPTIONS, f"--volume={self.folder}:/runner", "--workdir=/runner/project",
            "--env=ANSIBLE_INVENTORY_UNPARSED_FAILED=True", self.image,
            "ansible-inventory", "--list", "--export", "-i", place, "--playbook-dir", place, "--output", "/runner/inventory.json",
            seconds=120, environment=ENVIRONMENT,
        )  # fmt: skip
        if outcome.returncode == 0:
            hosts = self.folder / "inventory" / "hosts"
            hosts.parent.mkdir(exist_ok=True)
            found = (self.folder / "inventory.json").read_text("utf-8")
            hosts.write_text(f"#! /usr/bin/env python3\nprint({found!r})\n", "utf-8")
            hosts.chmod(0o700)
        return outcome

    def run(self, recorder: Recorder, playbook: str, *options: str, variables: dict | None = None) -> Outcome:
        """ansible-runner with the exported inventory and, as AWX passes them, `variables` and a job's own."""
        folder = self.folder / "env"
        folder.mkdir(exist_ok=True)
        job = {"awx_job_id": 7, "tower_job_id": 7, "awx_user_name": "operator", "tower_user_name": "operator"}
        (folder / "extravars").write_text(json.dumps({**job, **(variables or {})}), "utf-8")
        (folder / "envvars").write_text(json.dumps({"ANSIBLE_NOCOLOR": "1"}), "utf-8")
        return recorder.run(
            f"{playbook} in the execution environment",
            str(VENV_BIN / "ansible-runner"), "run", str(self.folder), "--playbook", playbook, f"--cmdline={' '.join(options)}",
            "--process-isolation", "--process-isolation-executable", "podman", "--container-image", self.image,
            *(f"--container-option={option}" for option in PODMAN_OPTIONS),
            environment=ENVIRONMENT,
        )  # fmt: skip


def lab_variables() -> dict:
    """What the lab's inventory finds from its own place, which AWX does not keep."""
    folder = ROOT / "inventories" / "lab" / "group_vars"
    files = (*sorted((folder / "all").glob("*.yml")), folder / "app" / "20_connection.yml")
    found = {name: value for file in files for name, value in load_yaml(file).items() if TREE in json.dumps(value)}
    placed = json.loads(json.dumps(found).replace(TREE, "/runner/project"))
    # As the lab's inventory reads it, from a file that a job does not have.
    authority = (SETTINGS.state / "tls" / "ca.crt").read_text("utf-8").rstrip()
    # The image brings its own.
    return {**placed, "django_database_ca": authority, "ansible_aws_ssm_plugin": f"/usr/local/bin/{NAME}"}
