"""The sequence's bookkeeping: one recorder, one system, a stop after a failed build step, and a diagnosis of every failure."""

from __future__ import annotations

import time

import pytest

from lab import execution_environment as image
from tests.acceptance.secrets import secret_values
from tests.acceptance.system import System
from tests.e2e.diagnosis import diagnosis, write
from tests.e2e.execution_environment import ExecutionEnvironment
from tests.e2e.recorder import Recorder
from tests.tree import ROOT

STOPPED = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def recorder(request) -> Recorder:
    """Output of the commands goes to .test/<time>/, one file each, and stays there for reading."""
    folder = ROOT / ".test" / time.strftime("%Y%m%d-%H%M%S")
    folder.mkdir(parents=True)
    capture = request.config.pluginmanager.get_plugin("capturemanager")
    terminal = request.config.pluginmanager.get_plugin("terminalreporter")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled():
            terminal.write_line(f"  {line}")

    say(f"output of every command: {folder.relative_to(ROOT)}/")
    return Recorder(folder, say)


@pytest.fixture(scope="session")
def execution_environment(tmp_path_factory) -> ExecutionEnvironment:
    """The image as the tree makes it now, with a checked out project."""
    try:
        image.BASE.build()
    except RuntimeError as error:
        pytest.skip(f"no execution environment: this machine cannot make its base image. {str(error).splitlines()[-1]}")
    environment = ExecutionEnvironment(image.build(), tmp_path_factory.mktemp("runner"))
    environment.check_out()
    return environment


@pytest.fixture(scope="session")
def system() -> System:
    return System()


@pytest.fixture(scope="session")
def known_secrets() -> dict[str, str]:
    """The values that must be nowhere, filled when they exist; kept for the search after they are gone from the account."""
    return {}


@pytest.fixture(autouse=True)
def _stop_after_a_failed_build_step(request):
    reason = request.session.stash.get(STOPPED, "")
    if reason and not request.node.get_closest_marker("cleanup"):
        pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        if item.get_closest_marker("build"):
            item.session.stash[STOPPED] = f"an earlier step failed: {item.name}"
        attach_diagnosis(item, report)
    return report


def attach_diagnosis(item, report) -> None:
    """The tails go into pytest's report, the rest into the folder of the recorder."""
    recorder = item.funcargs.get("recorder")
    if recorder is None:
        return
    try:
        hidden = list(secret_values(System()).values())
    except Exception:
        hidden = list((item.funcargs.get("known_secrets") or {}).values())
    findings = diagnosis(hidden)
    path = recorder.folder / f"diagnosis-{item.name.replace('/', '_')}.txt"
    write(findings, path)
    recorder.say(f"diagnosis of {item.name}: {path.relative_to(ROOT)}")
    for title, text in findings.items():
        report.sections.append((title, "\n".join(text.splitlines()[-25:])))
