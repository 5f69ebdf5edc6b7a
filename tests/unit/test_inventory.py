"""espalier.aws.aws_ec2: an inventory of real AWS asks nobody else, and says which variable of the shell would have made it."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.tree import ROOT, VENV_BIN

# Nobody listens there: a question would end in an error.
ELSEWHERE = "http://127.0.0.1:9"


def graph(inventory: str, **environment: str) -> str:
    shell = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANSIBLE_"))}
    shell |= {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "not-a-key", "AWS_EC2_METADATA_DISABLED": "true"}
    shell |= {"AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_CONFIG_FILE": "/nonexistent"} | environment
    command = [VENV_BIN / "ansible-inventory", "-i", inventory, "--graph"]
    done = subprocess.run(command, cwd=ROOT, env=shell, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2", "AWS_URL"])
def test_a_stray_endpoint_of_the_shell(variable):
    output = graph("inventories/staging", **{variable: ELSEWHERE})
    assert f"{variable} ({ELSEWHERE})" in output and f"Run: unset {variable}" in output
    assert "No answer" not in output and "@app" in output


def test_a_stray_endpoint_of_the_configuration_file(tmp_path):
    file = tmp_path / "config"
    file.write_text(f"[default]\nendpoint_url = {ELSEWHERE}\n")
    output = graph("inventories/production", AWS_CONFIG_FILE=str(file))
    assert f"AWS_CONFIG_FILE ({file})" in output and "Remove endpoint_url" in output


def test_the_inventorys_own_endpoint_is_asked(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    text = (ROOT / "inventories" / "staging" / "aws_ec2.yml").read_text("utf-8")
    (folder / "aws_ec2.yml").write_text(text + f"endpoint_url: {ELSEWHERE}\nunreachable_hint: Plug it in.\n", "utf-8")
    command = [VENV_BIN / "ansible-inventory", "-i", folder / "aws_ec2.yml", "--graph"]
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}
    shell = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ANSIBLE_"))} | keys
    done = subprocess.run(command, cwd=ROOT, env=shell, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert f"No answer from {ELSEWHERE}. Plug it in." in " ".join((done.stdout + done.stderr).split())
