"""The application's image: its build context without AWS, and what image.py makes of it. The lab builds and runs the container itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from tests.tree import ROOT, load_yaml
from tests.unit.releases import wheel

DOCKERFILE = (ROOT / "app" / "Dockerfile").read_text("utf-8")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project and all that pip can reach."""
    folder = tmp_path / "project"
    (folder / "shop").mkdir(parents=True)
    (folder / "shop" / "__init__.py").write_text("")
    (folder / "shop" / "broken.py").write_text("this is no Python")
    (folder / "requirements.txt").write_text("shopdjango\n")
    for name in ("Dockerfile", "db.sqlite3", ".env"):
        (folder / name).write_text("not for the image")
    for name in ("shopdjango", "gunicorn", "prometheus_client", "whitenoise", "psycopg", "psycopg_binary"):
        wheel(tmp_path / "index", name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return folder


def make(project, target, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "bin" / "image_context.py", target, "--app", project, *options]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)


def test_a_context_holds_what_a_release_does(project, tmp_path):
    done = make(project, tmp_path / "context")
    assert done.returncode == 0, done.stderr
    found = {str(path.relative_to(tmp_path / "context")) for path in (tmp_path / "context").rglob("*") if path.is_file()}
    assert {
        "source/shop/__init__.py",
        "source/requirements.txt",
        "espalier/image.py",
        "espalier/serve",
        "espalier/espalier_wsgi.py",
    } <= found
    assert {name for name in found if name.startswith("wheels/")} >= {
        "wheels/gunicorn-1.0-py3-none-any.whl",
        "wheels/shopdjango-1.0-py3-none-any.whl",
    }
    assert not [name for name in found if "Dockerfile" in name or ".env" in name or "sqlite" in name]


def test_a_folder_that_is_not_empty_is_left_alone(project, tmp_path):
    refused = make(project, project)
    assert refused.returncode and "not empty" in refused.stderr


def test_what_is_left_out_is_what_a_release_leaves_out():
    source = (ROOT / "bin" / "image_context.py").read_text("utf-8")
    listed = set(re.findall(r'"([^"]+)"', source.partition("EXCLUDE = [")[2].partition("]")[0]))
    assert listed == set(load_yaml(ROOT / "group_vars" / "application.yml")["app_exclude"])


def test_image_py_makes_a_release_that_runs_without_pip(project, tmp_path):
    release = tmp_path / "context"
    make(project, release)
    orders = {
        "NAME": "shop", "RELEASE_VERSION": "v7", "DIRECTORY": ".", "COLLECTSTATIC": "false", "COMMANDS": "[]", "DJANGO_DATA_DIR": "/data",
        "PATH": os.environ["PATH"],
    }  # fmt: skip
    done = subprocess.run([sys.executable, release / "espalier" / "image.py", release], env=orders, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads((release / "release.json").read_text()) == {"version": "v7"}
    python = release / "venv" / "bin" / "python"
    assert subprocess.run([python, "-c", "import shopdjango, gunicorn"]).returncode == 0
    assert subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode != 0
    assert not (release / "wheels").exists() and (release / "static").is_dir()
    for name in ("serve", "manage"):
        assert (release / name).resolve() == release / "espalier" / name and os.access(release / name, os.X_OK)


def test_the_image_is_careful():
    assert re.findall(r"^FROM .*", DOCKERFILE, re.MULTILINE) == [
        "FROM ${BASE} AS packages",
        "FROM packages AS build",
        "FROM packages",
    ]
    assert DOCKERFILE.count("\nUSER 10001:10001\n") == 1 and "\nSTOPSIGNAL SIGTERM\n" in DOCKERFILE
    final = DOCKERFILE.rpartition("FROM packages")[2]
    assert "COPY --from=build /srv/app /srv/app" in final and "pip install" not in final and "apt-get" not in final
    assert not re.search(r"^(ARG|ENV).*(SECRET|PASSWORD|TOKEN)", DOCKERFILE, re.MULTILINE)


def test_every_build_argument_of_a_deploy_is_one_of_the_dockerfile():
    """An argument that nobody declares is a warning that nobody reads."""
    given = load_yaml(ROOT / "playbooks" / "vars" / "chart.yml")["ecr_image_build_args"]
    names = set(re.findall(r"'([A-Z_]+)':", given)) | {"RELEASE", "PYTHON_VERSION"}
    declared = set(re.findall(r"^ARG ([A-Z_]+)", DOCKERFILE, re.MULTILINE))
    assert names == declared
