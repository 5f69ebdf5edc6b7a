"""The lab's core: what the API's log tells, what is read off the machine, processes by id and start time."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from lab import machine, status
from lab.api.server import operation
from lab.processes import MARK, Process, marked, stop

SIGNED = "AWS4-HMAC-SHA256 Credential=key/20261123/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0"


def request(service: str, body: bytes = b"", **more) -> dict:
    form = "application/x-www-form-urlencoded; charset=utf-8"
    return {"HTTP_AUTHORIZATION": SIGNED.format(service), "CONTENT_TYPE": form, "wsgi.input": io.BytesIO(body), **more}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (request("ec2", b"Action=DescribeVpcs&Version=2016-11-15"), "ec2:DescribeVpcs"),
        (request("rds", b"Version=1&MasterUserPassword=geheim&Action=CreateDBInstance"), "rds:CreateDBInstance"),
        (request("ssm", b"{}", HTTP_X_AMZ_TARGET="AmazonSSM.GetParameter"), "ssm:GetParameter"),
        (request("s3", REQUEST_METHOD="PUT", PATH_INFO="/bucket/key", QUERY_STRING="token=geheim"), "s3: PUT /bucket/key"),
        ({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, "-: GET /"),
    ],
)
def test_the_api_log_names_the_operation_and_nothing_else(environ, expected):
    assert operation(environ) == expected


def test_a_one_line_source_is_read():
    text = """# deb http://no bookworm main
deb [arch=amd64 signed-by=/k] http://a/debian bookworm main contrib # why
deb-src http://a/debian bookworm main
"""
    assert machine.one_line_entries(text) == [("http://a/debian", "bookworm", "main contrib")]


def test_a_deb822_source_is_read():
    text = """Types: deb deb-src
# a comment
URIs: http://a/debian
Suites: bookworm
  bookworm-updates
Components: main

Types: deb
Enabled: no
URIs: http://b
Suites: bookworm
Components: main
"""
    assert machine.deb822_entries(text) == [("http://a/debian", "bookworm", "main"), ("http://a/debian", "bookworm-updates", "main")]


def test_the_lab_is_never_behind_the_machines_proxy(monkeypatch):
    for name in machine.PROXIES:
        monkeypatch.delenv(name, raising=False)
    assert "no_proxy" not in machine.environment()
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "intern")
    values = machine.environment()
    assert values["https_proxy"] == "http://proxy:3128"
    assert values["no_proxy"].split(",") == ["intern", "10.0.0.0/16", "10.0.0.1", "169.254.169.254"]


def test_a_process_is_known_by_id_and_start_time():
    # It speaks once it runs: until then the kernel may still show no environment.
    command = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"]
    child = subprocess.Popen(command, env={**os.environ, MARK: "/some/clone"}, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    process = Process.of(child.pid)
    try:
        assert process.alive()
        assert not Process(child.pid, (process.started or 0) - 1).alive()
        assert marked()[process] == "/some/clone"
    finally:
        stop([process])
        child.wait()
    assert not process.alive()


def test_a_process_that_ignores_the_request_is_ended():
    ignore = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", ignore], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    stop([Process.of(child.pid)], patience_seconds=0.2)
    assert child.wait(timeout=5) == -9


def test_a_table_is_as_wide_as_what_is_in_it():
    assert status.table(("A", "LONG"), [("wide one", "b")]) == "A         LONG\nwide one  b"
