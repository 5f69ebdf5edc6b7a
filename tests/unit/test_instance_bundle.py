"""What new instances configure themselves with: packed once, stored once, and read by a machine that has nothing but Python."""

from __future__ import annotations

import importlib.util
import io
import json
import re
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from moto import mock_aws

from tests.tree import ROOT
from tests.unit.moto_patches import client
from tests.unit.run_module import run_module

BUCKET = "lab-django-static-123456789012"
KEYS = {"access_key": "x", "secret_key": "x", "region": "us-east-1"}


def load(path: Path):
    """A program that runs on an instance, as a module."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


CONFIGURE = load(ROOT / "playbooks" / "bundle" / "configure.py")


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    """A suite with one role, and an index of one package for two Pythons."""
    root = tmp_path / "suite"
    for name, text in {"roles/nginx/tasks/main.yml": "---\n", "roles/nginx/.hidden": "", "playbooks/bundle/instance.yml": "---\n"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "requirements.txt").write_text("ansible-core==2.17.14\n")
    module = importlib.import_module("ansible_collections.espalier.aws.plugins.modules.instance_bundle")

    class House:
        fetched: list = []  # noqa: RUF012

        def __init__(self, folder, root, python, machine):
            self.folder, self.python = folder, python

        def add(self, requirements):
            self.fetched.append(self.python)
            self.folder.mkdir(exist_ok=True)
            tag = self.python.replace(".", "")
            with zipfile.ZipFile(self.folder / f"yaml-1.0-cp{tag}-cp{tag}-manylinux.whl", "w") as wheel:
                wheel.writestr(zipfile.ZipInfo("yaml.py"), "")

    House.fetched = []
    monkeypatch.setattr(module, "Wheelhouse", House)
    return root


@pytest.fixture
def keep(tree, tmp_path, capsys):
    """Call the module on the tree; the account is empty but for the bucket."""
    with mock_aws():
        client("s3").create_bucket(Bucket=BUCKET)

        def call(check_mode: bool = False, cache: str = "cache", **options) -> dict:
            wanted = {
                "root": str(tree), "folders": ["roles/nginx"], "files": ["playbooks/bundle/instance.yml"],
                "requirements": str(tree / "requirements.txt"), "pythons": ["3.10", "3.11"], "variables": {"django_name": "shop"},
                "bucket": BUCKET, "cache": str(tmp_path / cache), **KEYS, **options,
            }  # fmt: skip
            return run_module(capsys, "instance_bundle", check_mode=check_mode, **wanted)

        yield call


def stored() -> dict[str, bytes]:
    listed = client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {entry["Key"]: client("s3").get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read() for entry in listed}


def test_everything_is_stored_once(keep):
    plan = keep(check_mode=True)
    assert plan["changed"]
    assert stored() == {}
    made = keep()
    assert made["changed"]
    objects = stored()
    record = json.loads(objects["bundles/current.json"])
    assert record == made["record"]
    assert sorted(objects) == sorted(["bundles/current.json", record["roles"]["key"], record["wheels"]["key"]])
    assert not keep()["changed"]
    assert not keep(check_mode=True)["changed"]


def test_the_archives_hold_what_they_should(keep):
    record = keep()["record"]
    objects = stored()
    names = {}
    for part in ("roles", "wheels"):
        with tarfile.open(fileobj=io.BytesIO(objects[record[part]["key"]])) as archive:
            names[part] = archive.getnames()
    assert names["roles"] == ["playbooks/bundle/instance.yml", "roles/nginx/tasks/main.yml"]
    wheel = "wheels/yaml-1.0-cp{0}-cp{0}-manylinux.whl"
    assert names["wheels"] == ["wheels/3.10.txt", "wheels/3.11.txt", wheel.format(310), wheel.format(311)]


def test_changed_variables_change_the_record_alone(keep):
    before = keep()["record"]
    after = keep(variables={"django_name": "store"})
    assert after["uploaded"] == ["bundles/current.json"]
    assert after["record"]["roles"] == before["roles"]


def test_a_changed_role_is_another_archive_beside_the_old_one(keep, tree):
    before = keep()["record"]
    (tree / "roles/nginx/tasks/main.yml").write_text("---\n[]\n")
    after = keep()["record"]
    assert after["roles"]["key"] != before["roles"]["key"]
    assert {before["roles"]["key"], after["roles"]["key"]} < set(stored())


def test_another_controller_fetches_no_wheels_that_are_stored(keep):
    keep()
    module = importlib.import_module("ansible_collections.espalier.aws.plugins.modules.instance_bundle")
    module.Wheelhouse.fetched.clear()
    assert not keep(cache="another")["changed"]
    assert module.Wheelhouse.fetched == []


def test_wheels_of_this_python_are_unpacked_once(tmp_path):
    wheels = tmp_path / "wheels-0123" / "wheels"
    wheels.mkdir(parents=True)
    for name in ("ansible", "other"):
        with zipfile.ZipFile(wheels / f"{name}.whl", "w") as wheel:
            wheel.writestr(f"{name}.py", "")
    (wheels / f"{sys.version_info.major}.{sys.version_info.minor}.txt").write_text("ansible.whl\n")
    folder = CONFIGURE.ansible(wheels.parent)
    assert [path.name for path in folder.iterdir()] == ["ansible.py"]
    (folder / "mark").touch()
    assert (CONFIGURE.ansible(wheels.parent) / "mark").exists()


def test_a_bundle_without_an_ansible_for_this_python_says_what_to_do(tmp_path):
    (tmp_path / "wheels-0123").mkdir()
    with pytest.raises(SystemExit, match="bundle_pythons"):
        CONFIGURE.ansible(tmp_path / "wheels-0123")


def test_whatever_the_roles_read_of_the_suite_goes_with_them():
    """A birth has no inventory."""
    text = "".join(
        path.read_text()
        for role in ("python", "django", "gunicorn", "nginx")
        for path in (ROOT / "roles" / role).rglob("*")
        if path.suffix in (".yml", ".j2")
    )
    taken = (ROOT / "playbooks" / "tasks" / "bundle.yml").read_text()
    assert {name for name in re.findall(r"\bsuite_\w+", text) if name not in taken} == set()
