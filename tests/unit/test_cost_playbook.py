"""playbooks/cost.yml: of this account and no other, and without any where none is asked."""

from __future__ import annotations

import os
import subprocess

import pytest
from moto.server import ThreadedMotoServer

from tests.tree import ROOT

PRODUCTION = ("-i", "inventories/production")


def cost(*options: str, **environment: str) -> tuple[int, str]:
    """Exit code and output of a shell that has no credentials but those that are given."""
    shell = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANSIBLE_"))}
    shell |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
    command = ["ansible-playbook", "playbooks/cost.yml", *options]
    done = subprocess.run(
        command, cwd=ROOT, env=shell | environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
    )
    assert "Traceback" not in done.stdout + done.stderr
    # Ansible breaks lines as it likes.
    return done.returncode, " ".join(done.stdout.split())


def test_an_estimate_without_an_account():
    code, said = cost(*PRODUCTION, "-e", "cost_found=false")
    assert code == 0, said
    assert "Dollars a month" in said and "What could be saved" in said
    assert "No account was asked" in said and "The account costs" not in said


def test_without_credentials_it_says_how_to_go_on():
    code, said = cost(*PRODUCTION, "-e", "suite_account_id=123456789012")
    assert code != 0 and "Dollars a month" not in said
    assert "no AWS credentials" in said and "-e cost_found=false" in said


@pytest.fixture(scope="module")
def account():
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield ("-i", "inventories/lab/hosts.yml", "-e", f"suite_aws_endpoint_url=http://{host}:{port}")
    server.stop()


def test_another_account_is_refused(account):
    code, said = cost(*account, "-e", "suite_account_id=999999999999")
    assert code != 0 and "suite_account_id (999999999999)" in said
    assert "Dollars a month" not in said and "The account costs" not in said


def test_the_account_is_asked(account):
    code, said = cost(*account)
    assert code == 0, said
    assert "The account costs 0.00 dollars a month now" in said
