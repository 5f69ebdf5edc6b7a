"""The scenarios of a run go on while nobody reads what they say."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from tests.molecule.runner import FOLDER
from tests.tree import ROOT

NAMES = ("unread-1", "unread-2", "unread-3")
WORDS = 200_000


@pytest.fixture
def scenarios(tmp_path):
    """The process, with a molecule that has much to say."""
    molecule = tmp_path / "molecule"
    molecule.write_text(f"#!/bin/sh\nhead -c {WORDS} /dev/zero | tr '\\0' x\n", "utf-8")
    molecule.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "tests.molecule.scenarios", *NAMES]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()
    for name in NAMES:
        shutil.rmtree(FOLDER / name, ignore_errors=True)


def test_the_last_one_runs_before_the_first_one_is_read(scenarios):
    deadline = time.monotonic() + 60
    last = FOLDER / NAMES[-1] / "test.log"
    while not last.exists() or last.stat().st_size < WORDS:
        assert time.monotonic() < deadline, "the scenarios wait for a reader"
        time.sleep(0.1)
    output, _ = scenarios.communicate()
    assert [json.loads(line)[:2] for line in output.splitlines()] == [[name, 0] for name in NAMES]
    assert (FOLDER / NAMES[0] / "test.log").stat().st_size >= WORDS
