"""A virtual environment can be made, and an interpreter that is too old is refused before anything is changed."""

from __future__ import annotations

from tests.molecule.fixtures import apply

PYTHON = {"defaults": "/usr/bin/python3", "altered": "/usr/bin/python3.11"}


def test_an_application_gets_its_environment(machine):
    machine.output(PYTHON[machine.variables], "-m", "venv", "/tmp/environment")
    assert machine.output("/tmp/environment/bin/python", "-c", "import sys; print(sys.prefix)") == "/tmp/environment"
    assert machine.output("/tmp/environment/bin/pip", "--version")


def test_further_packages(machine):
    assert (machine.run("jq", "--version").returncode == 0) == (machine.variables == "altered")


def test_an_old_interpreter_is_refused():
    done, _ = apply("altered", python_minimum="3.99")
    assert done.returncode != 0
    words = " ".join(done.stdout.split())
    for part in ("is Python 3.11", "3.99 or newer (an application of the scenario)", "ask the scenario"):
        assert part in words
    assert "Install Python" not in words, "refused too late"


def installed(machine, package: str) -> bool:
    return machine.run("dpkg-query", "--show", "--showformat", "${db:Status-Status}", package).stdout == "installed"


def test_gone(machine):
    """Except the system's own interpreter."""
    machine.output("python3", "-c", "import apt")
    assert not installed(machine, "python3.11-venv" if machine.variables == "altered" else "python3-venv")
    assert not installed(machine, "jq")
