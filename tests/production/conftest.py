"""An environment `production` in a private AWS account, built by site.yml with the switches of inventories/production."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from tests.acceptance.system import System
from tests.molecule.account import close_account, open_account
from tests.tree import ROOT

FOLDER = ROOT / ".test" / "production"
PLAY_SECONDS = 900
ZONE = "example.com"
# What an operator sets, and what differs since nothing but an API is here: it speaks HTTP, and no machine ever boots.
VALUES = {
    "suite_account_id": "123456789012",
    "alarms_email": "operator@example.com",
    "eks_endpoint_public_cidr_blocks": ["192.0.2.0/24"],
    "load_balancer_zone": ZONE,
    "app_domains": [f"www.{ZONE}"],
    "cdn_enabled": True,
    "database_backup_region": "us-west-2",
    "static_bucket_tls_only": False,
    "session_bucket_tls_only": False,
    "load_balancer_controller_install": False,
}
AWS = {
    "AWS_CONFIG_FILE": str(ROOT / "lab" / "aws" / "config"),
    "AWS_SHARED_CREDENTIALS_FILE": str(ROOT / "lab" / "aws" / "credentials"),
    "AWS_PROFILE": "espalier-lab",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "",
    "AWS_SECRET_ACCESS_KEY": "",
    "AWS_SESSION_TOKEN": "",
}


@dataclass
class Profile:
    """The environment and how plays are run on it."""

    system: System
    inventory: Path

    def play(self, playbook: str, *options: str, **values: object) -> subprocess.CompletedProcess[str]:
        """Run a playbook, and return it finished, whatever its exit code."""
        command = ["ansible-playbook", "--inventory", self.inventory, ROOT / playbook, *options]
        command += ["--extra-vars", json.dumps(values)] if values else []
        environment = {**os.environ, "ANSIBLE_NOCOLOR": "1"}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PLAY_SECONDS, check=False)


def make_inventory(parent: Path, endpoint_url: str) -> Path:
    """The production inventory itself, without the dynamic one, and VALUES after everything."""
    folder = parent / "inventory"
    variables = folder / "group_vars" / "all"
    variables.mkdir(parents=True)
    shutil.copy(ROOT / "inventories" / "production" / "hosts.yml", folder)
    for path in (ROOT / "inventories" / "production" / "group_vars" / "all").iterdir():
        shutil.copy(path, variables)
    values = {
        **VALUES,
        "suite_aws_endpoint_url": endpoint_url,
        "suite_aws_environment": {**AWS, "AWS_ENDPOINT_URL": endpoint_url},
        "suite_outputs_path": str(parent / "outputs.json"),
        "suite_kubeconfig": str(parent / "kubeconfig"),
    }
    (variables / "99_test.json").write_text(json.dumps(values))
    return folder


@contextmanager
def opened(folder: Path) -> Iterator[Profile]:
    """An account of its own, with a hosted zone and nothing else, and an inventory of it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    open_account(str(folder))
    try:
        port = json.loads((folder / "account.json").read_text())["port"]
        url = f"http://127.0.0.1:{port}"
        keys = {"aws_access_key_id": "espalier-lab", "aws_secret_access_key": "espalier-lab", "region_name": "us-east-1"}
        boto3.client("route53", endpoint_url=url, **keys).create_hosted_zone(Name=ZONE, CallerReference=ZONE)
        yield Profile(System(environment="production", endpoint_url=url), make_inventory(folder, url))
    finally:
        close_account(str(folder))


@pytest.fixture(scope="session")
def profile() -> Iterator[Profile]:
    with opened(FOLDER) as found:
        yield found
