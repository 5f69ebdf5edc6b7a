"""One molecule scenario for each role. `make molecule ROLE=nginx` runs one of them."""

from __future__ import annotations

import os
import subprocess
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.tree import ROLES, ROOT

# Ansible and apt wait much: two at once keep two cores busy.
JOBS = int(os.environ.get("MOLECULE_JOBS", "2"))
LIMIT_SECONDS = 900
TAIL_LINES = 120


def run(name: str, folder: Path) -> tuple[int, Path, float]:
    """One scenario from syntax to destroy: exit code, log, seconds."""
    started, log = time.monotonic(), folder / f"{name}.log"
    environment = {**os.environ, "MOLECULE_EPHEMERAL_DIRECTORY": str(folder / name), "NO_COLOR": "1"}
    command = ["molecule", "test", "--scenario-name", name, "--no-report", "--no-command-borders"]
    with log.open("wb") as output:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, timeout=LIMIT_SECONDS, check=False
        )
    return done.returncode, log, time.monotonic() - started


@pytest.fixture(scope="session")
def scenarios(request) -> dict[str, Future]:
    """The scenarios of this run, started at once, a few side by side; each says when it is done."""
    names = [item.callspec.params["role"] for item in request.session.items if item.function is test_scenario]
    folder = ROOT / ".test" / "molecule"
    folder.mkdir(parents=True, exist_ok=True)
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")
    started = time.monotonic()

    def say(name: str, future: Future) -> None:
        if not future.cancelled() and not future.exception():
            code, log, seconds = future.result()
            terminal.write_line(f"  {name}: {'passed' if code == 0 else 'FAILED'} in {seconds:.0f} s, {log.relative_to(ROOT)}")

    pool = ThreadPoolExecutor(JOBS)
    futures = {name: pool.submit(run, name, folder) for name in names}
    for name, future in futures.items():
        future.add_done_callback(lambda done, name=name: say(name, done))
    yield futures
    pool.shutdown(cancel_futures=True)
    terminal.write_line(f"  {len(names)} scenarios in {time.monotonic() - started:.0f} s, {JOBS} at once")


def test_every_role_has_a_scenario():
    missing = [role for role in ROLES if not (ROOT / "molecule" / role / "verify.py").exists()]
    assert not missing


@pytest.mark.parametrize("role", ROLES)
def test_scenario(role, scenarios, pytestconfig):
    # Uncaptured, so that whatever finishes meanwhile can say so.
    with pytestconfig.pluginmanager.get_plugin("capturemanager").global_and_fixture_disabled():
        code, log, _ = scenarios[role].result()
    lines = log.read_text("utf-8", errors="replace").splitlines()
    # molecule destroys what it has made also after a failure: what went wrong stands before.
    end = next((number for number, line in enumerate(lines) if "An error occurred during the test sequence" in line), len(lines))
    assert code == 0, f"molecule answered {code}; whole log: {log.relative_to(ROOT)}\n" + "\n".join(lines[max(0, end - TAIL_LINES) : end])
