"""The program that a kubeconfig names: a token that EKS takes, for one cluster, out of whatever credentials the shell has."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from lab.kubernetes import tokens
from tests.tree import ROOT

PROGRAM = ROOT / "roles" / "eks" / "files" / "eks_token.py"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAKNOWN", "AWS_SECRET_ACCESS_KEY": "k2n8v5"}


def run(cluster: str = "one", **environment: str) -> subprocess.CompletedProcess[str]:
    # Nobody's files, and no question to a metadata service.
    shell = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true"}
    command = [sys.executable, PROGRAM, cluster, "us-east-1"]
    return subprocess.run(command, env=shell | environment, capture_output=True, text=True, timeout=60, check=False)


def token_of(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["status"]["token"]


def judge(token: str, cluster: str = "one", later: timedelta = timedelta(), session: str | None = None) -> str:
    secrets = {"AKIAKNOWN": tokens.Secret("k2n8v5", session)}
    return tokens.check(token, cluster, secrets.get, datetime.now(UTC) + later)


@pytest.mark.parametrize(
    "endpoint", [{}, {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}, {"AWS_USE_FIPS_ENDPOINT": "true"}], ids=["AWS", "local", "FIPS"]
)
def test_a_token_says_who_asks(endpoint):
    assert judge(token_of(run(**KEYS, **endpoint))) == "AKIAKNOWN"


def test_a_token_is_for_one_cluster_and_not_for_long():
    token = token_of(run(**KEYS))
    with pytest.raises(tokens.TokenError):
        judge(token, "other")
    assert judge(token, later=timedelta(minutes=14))
    with pytest.raises(tokens.TokenError):
        judge(token, later=timedelta(minutes=20))


def test_temporary_credentials_serve_too():
    assert judge(token_of(run(**KEYS, AWS_SESSION_TOKEN="session")), session="session") == "AKIAKNOWN"


def test_the_answer_is_what_kubectl_expects():
    answer = json.loads(run(**KEYS).stdout)
    assert (answer["apiVersion"], answer["kind"]) == ("client.authentication.k8s.io/v1", "ExecCredential")
    assert datetime.fromisoformat(answer["status"]["expirationTimestamp"]) > datetime.now(UTC) + timedelta(minutes=13)


def test_without_credentials_it_says_so():
    done = run()
    assert done.returncode != 0 and done.stdout == ""
    assert "no token for the cluster one" in done.stderr and "credentials" in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_secret_is_printed():
    done = run(**KEYS)
    assert "k2n8v5" not in done.stdout + done.stderr
