"""espalier.aws.release: built once, for another Python than this one's, and never changed."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile

import pytest
from ansible_collections.espalier.aws.plugins.module_utils import release_store

from tests.unit.moto_patches import client
from tests.unit.releases import BUCKET, PREFIX, WHERE, wheel
from tests.unit.run_module import run_module
from tests.unit.test_application_source import write

SOURCE = {
    "manage.py": "",
    "requirements.txt": "shopdjango\n",
    "shop/__init__.py": "",
    "shop/settings.py": "",
    "shop/wsgi.py": "application = None\n",
    "stock/__init__.py": "",
    "stock/migrations/__init__.py": "",
    "stock/migrations/0001_initial.py": "class Migration:\n    dependencies = []\n",
    "stock/migrations/0002_more.py": "class Migration:\n    dependencies = [('stock', '0001_initial'), ('auth', '0001_initial')]\n",
}


@pytest.fixture
def index(tmp_path, monkeypatch):
    """All that pip can reach."""
    folder = tmp_path / "index"
    for name in ("gunicorn", "prometheus_client", "whitenoise"):
        wheel(folder, name)
    old = wheel(
        folder,
        "shopdjango",
        requires=('oldonly; python_version < "3.11"', "compiled"),
        **{"shopdjango/auth/migrations/0001_initial.py": ""},
    )
    assert old.is_file()
    wheel(folder, "oldonly")
    wheel(folder, "compiled", tag="cp310-cp310-manylinux_2_17_x86_64")
    wheel(folder, "compiled", tag="cp312-cp312-manylinux_2_17_x86_64")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


@pytest.fixture
def project(tmp_path):
    return write(tmp_path / "project", SOURCE)


@pytest.fixture
def release(capsys, tmp_path, project, store, index):
    """Pack the project and run the module."""
    runtime = write(tmp_path / "runtime", {"espalier_wsgi.py": ""})

    def run(path=None, check_mode=False, version="", python="3.10", **options) -> dict:
        basics = {"application": "shop.wsgi:application", "settings_module": "shop.settings", "version": version}
        where = {"runtime": str(runtime), "cache": str(tmp_path / "cache"), "path": str(path or project)}
        source = run_module(capsys, "application_source", **basics, **where)
        assert "failed" not in source, source
        return run_module(capsys, "release", check_mode=check_mode, source=source, python=python, **WHERE, **options)

    return run


def names(archive: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return tar.getnames()


def stored(version: str, name: str) -> bytes:
    return client("s3").get_object(Bucket=BUCKET, Key=f"{PREFIX}/{version}/{name}")["Body"].read()


def test_a_release_is_built_once(release):
    planned = release(check_mode=True)
    assert planned["changed"] is True and client("s3").list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
    built = release()
    assert built["changed"] is True, built
    manifest = built["release"]
    assert manifest["version"] == planned["release"]["version"]
    archive = stored(manifest["version"], "release.tar.gz")
    assert hashlib.sha256(archive).hexdigest() == manifest["digest"] and len(archive) == manifest["size"]
    assert json.loads(stored(manifest["version"], "manifest.json")) == manifest
    assert {"source/shop/wsgi.py", "espalier/espalier_wsgi.py", "wheels/gunicorn-1.0-py3-none-any.whl"} <= set(names(archive))
    again = release()
    assert again["changed"] is False and again["release"] == manifest


def test_wheels_are_those_of_the_instances_python(release):
    """Environment markers, too: pip itself reads them for the Python that it runs on."""
    assert release(python="3.10")["release"]["wheels"] == [
        "compiled-1.0-cp310-cp310-manylinux_2_17_x86_64.whl",
        "gunicorn-1.0-py3-none-any.whl",
        "oldonly-1.0-py3-none-any.whl",
        "prometheus_client-1.0-py3-none-any.whl",
        "shopdjango-1.0-py3-none-any.whl",
        "whitenoise-1.0-py3-none-any.whl",
    ]
    newer = release(python="3.12")["release"]
    assert newer["wheels"][0] == "compiled-1.0-cp312-cp312-manylinux_2_17_x86_64.whl" and not any(
        "oldonly" in name for name in newer["wheels"]
    )


def test_leaves_are_those_of_the_project_and_of_its_packages(release):
    assert release()["release"]["leaves"] == {"stock": ["0002_more"], "auth": ["0001_initial"]}


def test_same_source_with_other_packages_is_another_release(release, index):
    wheel(index, "extra")
    first, second = release(version="v1")["release"], release(version="v1", packages=["extra"])["release"]
    assert first["version"] == "v1" and second["version"].startswith("v1-") and first["digest"] != second["digest"]
    assert release(version="v1", packages=["extra"])["changed"] is False
    assert release(version="v1")["release"] == first


def test_another_source_under_a_version_that_is_taken_is_refused(release, project):
    release(version="v1")
    write(project, {"shop/new.py": ""})
    answer = release(version="v1")
    assert answer["failed"] is True and "v1" in answer["msg"] and "app_version" in answer["msg"]


def test_what_has_no_wheel_is_named(release, project, index):
    wheel(index, "windows", tag="cp310-cp310-win_amd64")
    write(project, {"requirements.txt": "shopdjango\nwindows\n"})
    answer = release()
    assert answer["failed"] is True and "windows has no wheel for Python 3.10" in answer["msg"]


def test_pure_source_is_built_here(release, project, index, tmp_path, monkeypatch):
    """Where pip can build without asking an index for a build system: with the tools that are there."""
    setup = "from setuptools import setup\nsetup(name='pure', version='1.0', py_modules=['pure'])\n"
    folder = write(
        tmp_path / "pure-1.0", {"setup.py": setup, "pure.py": "", "PKG-INFO": "Metadata-Version: 2.1\nName: pure\nVersion: 1.0\n"}
    )
    with tarfile.open(index / "pure-1.0.tar.gz", "w:gz") as archive:
        archive.add(folder, "pure-1.0")
    pytest.importorskip("setuptools")
    pytest.importorskip("wheel")
    write(project, {"requirements.txt": "shopdjango\npure\n"})
    monkeypatch.setenv("PIP_NO_BUILD_ISOLATION", "0")
    answer = release()
    assert "failed" not in answer, answer
    assert "pure-1.0-py3-none-any.whl" in answer["release"]["wheels"]


def test_too_old_a_python_is_refused_before_anything_is_built(release, project):
    write(project, {"pyproject.toml": '[project]\nname = "shop"\nrequires-python = ">=3.99"\n'})
    answer = release()
    assert answer["failed"] is True and "3.99" in answer["msg"] and "app_python_version" in answer["msg"]


def test_an_archive_without_a_manifest_is_a_leftover(release):
    version = release(check_mode=True)["release"]["version"]
    client("s3").put_object(Bucket=BUCKET, Key=f"{PREFIX}/{version}/release.tar.gz", Body=b"half")
    assert release()["changed"] is True
    assert stored(version, "release.tar.gz") != b"half"


def test_of_two_who_build_the_same_the_first_wins(release, monkeypatch, tmp_path):
    first = release(version="v1")["release"]
    real = release_store.Store.read
    blind = {"left": 1}

    def read(self, *parts):
        if parts[-1] == "manifest.json" and blind["left"]:
            blind["left"] -= 1
            return None, ""
        return real(self, *parts)

    monkeypatch.setattr(release_store.Store, "read", read)
    assert release(version="v1")["release"] == first


@pytest.mark.parametrize("version", ["a b", "log", "../x", ""])
def test_a_name_that_cannot_be_a_folder_is_refused(capsys, store, version):
    source = {"version": version, "python_minimum": "", "python_reason": ""}
    answer = run_module(capsys, "release", source=source, python="3.10", **WHERE)
    assert answer["failed"] is True and "app_version" in answer["msg"]
