"""espalier.aws.application_source: the same source makes the same archive, and a source that cannot run is refused with what to change."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.unit.run_module import run_module

FILES = {
    "manage.py": "",
    "requirements.txt": "Django==5.2.19\n",
    "shop/__init__.py": "",
    "shop/settings.py": "",
    "shop/wsgi.py": "application = None\n",
}


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def project(tmp_path):
    return write(tmp_path / "project", FILES)


@pytest.fixture
def pack(capsys, tmp_path):
    """Run the module on a folder, or with the options given."""
    runtime = write(tmp_path / "runtime", {"espalier_wsgi.py": "", "__pycache__/x.pyc": ""})

    def run(path: Path | None = None, **options) -> dict:
        basics = {"application": "shop.wsgi:application", "settings_module": "shop.settings"}
        where = {"runtime": str(runtime), "cache": str(tmp_path / "cache"), **({"path": str(path)} if path else {})}
        return run_module(capsys, "application_source", **{**basics, **where, **options})

    return run


def git(folder: Path, *arguments: str) -> str:
    identity = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@example.com",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@example.com",
    }
    command = ["git", "-c", "init.defaultBranch=main", *arguments]
    return subprocess.run(command, cwd=folder, env={**os.environ, **identity}, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(project):
    git(project, "init", "--quiet")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "-m", "one")
    git(project, "tag", "v1")
    (project / "shop" / "urls.py").write_text("")
    git(project, "add", ".")
    git(project, "commit", "--quiet", "-m", "two")
    return project


# ---- the archive


def test_archive_holds_source_and_runtime_without_owner_or_time(pack, project):
    result = pack(project)
    with tarfile.open(result["archive"]) as archive:
        members = {member.name: member for member in archive}
    assert set(members) == {"espalier/espalier_wsgi.py", *(f"source/{name}" for name in FILES)}
    assert {(member.uid, member.uname, member.mtime) for member in members.values()} == {(0, "root", 315619200)}


def test_same_content_is_the_same_release(pack, project, tmp_path):
    first = pack(project)
    copy = write(tmp_path / "copy", dict(reversed(FILES.items())))
    os.utime(copy / "manage.py", (0, 0))
    (copy / "manage.py").chmod(0o600)
    assert pack(copy) == first
    assert first["version"] == first["digest"][:12] and not first["changed"]


@pytest.mark.parametrize("change", ["content", "name", "executable"])
def test_another_content_is_another_release(pack, project, change):
    before = pack(project)["digest"]
    if change == "content":
        (project / "manage.py").write_text("#")
    elif change == "name":
        (project / "manage.py").rename(project / "run.py")
    else:
        (project / "manage.py").chmod(0o755)
    assert pack(project)["digest"] != before


def test_excluded_files_stay_out(pack, project):
    before = pack(project)["digest"]
    write(project, {"__pycache__/x.pyc": "x", "db.sqlite3": "x", "media/a/b.png": "x"})
    assert pack(project, exclude=["__pycache__", "*.sqlite3", "media"])["digest"] == before


def test_check_mode_does_the_same(pack, project, capsys):
    assert pack(project, check_mode=True)["archive"] == pack(project)["archive"]


def test_link_out_of_the_source_is_refused(pack, project):
    (project / "secrets").symlink_to("/etc")
    result = pack(project)
    assert result["failed"] and "secrets" in result["msg"] and "app_exclude" in result["msg"]


def test_link_inside_the_source_is_kept(pack, project):
    (project / "shop" / "link.py").symlink_to("settings.py")
    with tarfile.open(pack(project)["archive"]) as archive:
        assert archive.getmember("source/shop/link.py").linkname == "settings.py"


def test_the_content_has_a_digest_without_the_suite_s_own_modules(pack, project, tmp_path):
    before = pack(project)
    write(tmp_path / "runtime", {"espalier_wsgi.py": "changed"})
    after = pack(project)
    assert before["digest"] != after["digest"] and before["content_digest"] == after["content_digest"]
    (project / "manage.py").chmod(0o755)
    assert pack(project)["content_digest"] != after["content_digest"]


# ---- a repository


def test_default_branch_commit_and_tag(pack, repository):
    head, first = git(repository, "rev-parse", "HEAD"), git(repository, "rev-parse", "v1")
    by_default, by_tag, by_commit = (pack(repository=str(repository), version=version) for version in ("", "v1", first))
    assert (by_default["version"], by_default["commit"]) == (head[:12], head)
    assert (by_tag["version"], by_tag["commit"]) == ("v1", first)
    assert (by_commit["version"], by_commit["digest"]) == (first[:12], by_tag["digest"])
    assert by_default["digest"] != by_tag["digest"]


def test_new_commits_are_seen(pack, repository):
    pack(repository=str(repository), version="main")
    (repository / "new.py").write_text("")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "-m", "three")
    assert pack(repository=str(repository), version="main")["commit"] == git(repository, "rev-parse", "HEAD")


def test_folder_and_repository_make_the_same_archive(pack, repository):
    assert pack(repository)["digest"] == pack(repository=str(repository))["digest"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"repository": "/nonexistent/shop.git"}, ("app_repository", "/nonexistent/shop.git")),
        ({"version": "v9"}, ("app_version", "v9")),
        ({"version": "--upload-pack=x"}, ("app_version",)),
    ],
)
def test_unknown_repository_or_version(pack, repository, options, words):
    result = pack(**{"repository": str(repository), **options})
    assert result["failed"] and all(word in result["msg"] for word in words), result["msg"]


# ---- what to install


@pytest.mark.parametrize(
    ("files", "options", "install"),
    [
        ({}, {}, ["-r", "requirements.txt"]),
        ({"requirements/production.txt": "Django"}, {"requirements": "requirements/production.txt"}, ["-r", "requirements/production.txt"]),
        ({"pyproject.toml": "[project]\ndependencies = ['Django', 'a']"}, {"requirements": "pyproject.toml"}, ["Django", "a"]),
        (
            {"pyproject.toml": "[project]\ndependencies = ['Django']\n[project.optional-dependencies]\npg = ['psycopg']"},
            {"requirements": "pyproject.toml", "extras": ["pg"]},
            ["Django", "psycopg"],
        ),
        (
            {"pyproject.toml": "[build-system]\nrequires = ['setuptools']\n[project]\nname = 'shop'"},
            {"requirements": "pyproject.toml", "extras": ["pg", "s3"]},
            [".[pg,s3]"],
        ),
        (
            {"pyproject.toml": "[build-system]\n[project]\ndependencies = ['a']\n[tool.poetry]\npackage-mode = false"},
            {"requirements": "pyproject.toml"},
            ["a"],
        ),
        ({"setup.py": ""}, {"requirements": "setup.py"}, ["."]),
    ],
)
def test_install_arguments(pack, project, files, options, install):
    assert pack(write(project, files), **options)["install"] == install


@pytest.mark.parametrize(
    ("files", "floor", "reason"),
    [
        ({"requirements.txt": "Django==5.2.19 \\\n    --hash=sha256:00\n"}, "3.10", "Django==5.2.19"),
        ({"requirements.txt": "django>=6.0,<7  # newest\n"}, "3.12", "django>=6.0,<7"),
        ({"requirements.txt": "Django[argon2] ~= 4.2\n"}, "3.8", "Django[argon2] ~= 4.2"),
        ({"requirements.txt": "django-environ==6.0\nDjango\n"}, "", ""),
        ({"requirements.txt": "-r base.txt\n", "base.txt": "Django==6.0.1\n"}, "3.12", "Django==6.0.1"),
        ({"pyproject.toml": "[project]\nrequires-python = '>=3.11'"}, "3.11", "requires-python of pyproject.toml"),
        ({"requirements.txt": "Django==6.0\n", "pyproject.toml": "[project]\nrequires-python = '>=3.11'"}, "3.12", "Django==6.0"),
    ],
)
def test_python_floor(pack, project, files, floor, reason):
    result = pack(write(project, files))
    assert (result["python_minimum"], result["python_reason"]) == (floor, reason)


def test_python_floor_of_poetry(pack, project):
    poetry = "[build-system]\nrequires = ['poetry-core']\n[tool.poetry.dependencies]\npython = '^3.9'\ndjango = '^5.1'\n"
    result = pack(write(project, {"pyproject.toml": poetry}), requirements="pyproject.toml")
    assert (result["python_minimum"], result["python_reason"]) == ("3.10", "django^5.1")


# ---- what cannot be


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"application": "shop/wsgi.py"}, ("app_wsgi", "shop/wsgi.py", "mysite.wsgi:application")),
        ({"application": "shop.asgi:application"}, ("app_wsgi", "shop.asgi:application", "shop/asgi.py")),
        ({"application": "site.wsgi:application"}, ("app_wsgi", "shop.wsgi:application")),
        ({"settings_module": "shop.production"}, ("app_settings_module", "shop.production")),
        ({"requirements": "reqs.txt"}, ("app_requirements", "reqs.txt")),
        ({"directory": "src"}, ("app_directory", "src")),
    ],
)
def test_bad_options_are_refused(pack, project, options, words):
    result = pack(project, **options)
    assert result["failed"] and all(word in result["msg"] for word in words), result["msg"]


def test_nothing_to_deploy(pack, tmp_path):
    assert "app_path" in pack()["msg"]
    assert "app_path" in pack(tmp_path / "missing")["msg"]


def test_no_requirements_at_all(pack, project):
    (project / "requirements.txt").unlink()
    assert "app_requirements" in pack(project)["msg"]


def test_module_of_a_dependency_is_believed(pack, project):
    assert not pack(project, application="cms_from_a_package.wsgi_entry:application", settings_module="shop.settings").get("failed")


def test_src_layout(pack, tmp_path):
    root = write(tmp_path / "src_project", {f"src/{name}": text for name, text in FILES.items() if name != "requirements.txt"})
    write(root, {"requirements.txt": "Django"})
    assert "Is app_directory right?" in pack(root)["msg"]
    assert not pack(root, directory="src").get("failed")
