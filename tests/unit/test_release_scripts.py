"""roles/django's espalier_fetch.py and espalier_switch.py: a wrong release is not installed, a bad one is put back."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import sys
import tarfile

import pytest

from tests.tree import ROOT

FILES = ROOT / "roles" / "django" / "files"
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def load(name: str):
    spec = importlib.util.spec_from_file_location(name, FILES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def archive() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in ("source/manage.py", "espalier/build.py"):
            information = tarfile.TarInfo(name)
            information.size = 3
            tar.addfile(information, io.BytesIO(b"abc"))
    return packed.getvalue()


@pytest.fixture
def fetch(monkeypatch, tmp_path):
    """Run the script against a bucket of this test's own; `objects` may be changed before."""
    module = load("espalier_fetch")
    data = archive()
    manifest = {"digest": hashlib.sha256(data).hexdigest(), "python": PYTHON, "version": "v1"}

    class Aws:
        objects = {"manifest.json": json.dumps(manifest).encode(), "release.tar.gz": data}  # noqa: RUF012
        failing = 0

        def __init__(self, tries=6):
            pass

        def get_object(self, bucket, key, to=None):
            assert (bucket, key.rpartition("/")[0]) == ("bucket", "releases/shop/v1")
            if Aws.failing:
                Aws.failing -= 1
                raise module.espalier_aws.AwsError("s3 does not answer")
            with open(to, "wb") as file:
                file.write(self.objects[key.rpartition("/")[2]])

    monkeypatch.setattr(module.espalier_aws, "Aws", Aws)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)

    def run(digest: str = manifest["digest"], seconds: str = "5"):
        monkeypatch.setenv("ESPALIER_TIMEOUT_SECONDS", seconds)
        monkeypatch.setattr(sys, "argv", ["fetch", "bucket", "releases/shop", "v1", digest, str(tmp_path / "v1-abc")])
        module.main()
        return tmp_path / "v1-abc"

    run.aws, run.folder, run.manifest = Aws, tmp_path / "v1-abc", manifest
    return run


@pytest.mark.parametrize("digest", [None, ""])
def test_a_release_is_fetched_and_unpacked(fetch, digest):
    folder = fetch() if digest is None else fetch(digest)
    assert (folder / "source" / "manage.py").read_text() == "abc"
    assert json.loads((folder / "manifest.json").read_text())["version"] == "v1"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name], "something is left beside it"


def test_a_silent_s3_is_asked_again(fetch):
    fetch.aws.failing = 5
    assert (fetch() / "manifest.json").exists()
    fetch.aws.failing = 10**6
    with pytest.raises(SystemExit, match="within 0 s"):
        fetch(seconds="0")
    assert not fetch.folder.exists()


def test_another_archive_than_the_manifest_says_is_not_unpacked(fetch):
    fetch.aws.objects["release.tar.gz"] += b"!"
    with pytest.raises(SystemExit, match="damaged or replaced"):
        fetch()
    assert not fetch.folder.exists() and list(fetch.folder.parent.iterdir()) == []


def test_another_manifest_than_the_controller_s_is_refused(fetch):
    with pytest.raises(SystemExit, match="the controller 0000"):
        fetch("0000")


def test_another_python_is_refused(fetch):
    fetch.aws.objects["manifest.json"] = json.dumps({**fetch.manifest, "python": "3.1"}).encode()
    with pytest.raises(SystemExit, match="app_python_version"):
        fetch()


# ---- the switch


@pytest.fixture
def switch(monkeypatch, tmp_path, capsys):
    """Releases in a folder, and services that serve what `current` names; a release with a file `bad` answers 500."""
    module, calls = load("espalier_switch"), []

    def systemctl(*arguments, check=True):
        calls.append(arguments)
        return type("Done", (), {"returncode": 0, "stdout": "no\n", "stderr": ""})

    def answer(url):
        return "it answers 500" if (tmp_path / "current" / "bad").exists() else ""

    monkeypatch.setattr(module, "systemctl", systemctl)
    monkeypatch.setattr(module, "answer", answer)
    monkeypatch.setattr(module, "since", lambda moment: "the log's last line\n")

    def run(name: str, keep: int = 0) -> tuple[int, str]:
        monkeypatch.setattr(
            sys, "argv", ["switch", str(tmp_path), name if "/" in name else str(tmp_path / "releases" / name), "url", "0", str(keep)]
        )
        try:
            module.main()
            code = 0
        except SystemExit as error:
            code = error.code
        return code, capsys.readouterr().out

    def release(name: str, bad: bool = False) -> None:
        folder = tmp_path / "releases" / name
        folder.mkdir(parents=True)
        (folder / "release.json").write_text("{}")
        if bad:
            (folder / "bad").touch()

    run.release, run.calls, run.home = release, calls, tmp_path
    return run


def names(home) -> dict[str, str]:
    return {name: (home / name).resolve().name for name in ("current", "previous", "next") if (home / name).exists()}


def test_a_switch_moves_the_links_and_restarts(switch):
    switch.release("a")
    switch.release("b")
    assert switch("a")[0] == 0 and names(switch.home) == {"current": "a", "next": "a"}
    assert switch("b")[0] == 0 and names(switch.home) == {"current": "b", "previous": "a", "next": "b"}
    assert ("restart", "gunicorn.service") in switch.calls
    assert not [call for call in switch.calls if call[0] == "stop"], "the socket was closed"


def test_a_release_that_does_not_answer_is_put_back(switch):
    switch.release("a")
    switch.release("b", bad=True)
    switch("a")
    code, said = switch("b")
    assert code == 3 and names(switch.home) == {"current": "a", "previous": "a", "next": "a"}
    assert "b does not serve: it answers 500" in said and "put back on a" in said and "the log's last line" in said


def test_without_a_release_before_nothing_serves(switch):
    switch.release("a", bad=True)
    assert switch("a")[0] == 4


def test_the_same_release_again_is_a_restart(switch):
    switch.release("a")
    switch("a")
    assert switch(f"{switch.home}/current")[0] == 0 and names(switch.home) == {"current": "a", "next": "a"}


def test_what_is_no_built_release_is_refused(switch):
    (switch.home / "releases" / "half").mkdir(parents=True)
    code, _ = switch("half")
    assert "no built release" in code and not (switch.home / "current").exists()


def test_old_releases_go_and_those_that_are_linked_stay(switch):
    for name in "abcd":
        switch.release(name)
    venvs = switch.home / "venvs"
    for name in ("used", "unused"):
        (venvs / name).mkdir(parents=True)
    (switch.home / "releases" / "a" / "venv").symlink_to(venvs / "used")
    for number, name in enumerate("abcd"):
        os.utime(switch.home / "releases" / name, (number, number))
    switch("a")
    switch("b", keep=1)
    assert sorted(path.name for path in (switch.home / "releases").iterdir()) == ["a", "b", "d"]
    assert [path.name for path in venvs.iterdir()] == ["used"]
