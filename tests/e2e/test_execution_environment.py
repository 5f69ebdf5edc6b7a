"""The image that `make ee` builds. What runs in it is a step of test_first_light.py."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

import pytest
from packaging.requirements import Requirement

from lab import machine
from lab.execution_environment import SUITE, pip_configuration
from lab.podman import podman
from tests.tree import ROOT, load_yaml

PUBLIC = {"deb.debian.org", "pypi.org"}


def output(image: str, *command: str, user: str = "") -> str:
    """What a command prints in a new container, outside of any project."""
    options = ["--user", user] if user else []
    return podman("run", "--rm", "--network=none", *options, image, *command, timeout=120).stdout.decode()


def test_python_packages_are_the_pinned_ones(execution_environment):
    lines = re.findall(r"^[\w.-]+==[^\\\n]+", (ROOT / "requirements-ee.txt").read_text("utf-8"), re.MULTILINE)
    pins = [Requirement(line) for line in lines]
    version = output(execution_environment.image, "python3", "-c", "import platform; print(platform.python_version())").strip()
    # Some are for older Pythons only.
    wanted = {pin.name: pin.specifier for pin in pins if not pin.marker or pin.marker.evaluate({"python_full_version": version})}
    assert {"ansible-core", "ansible-runner", "boto3"} <= set(wanted)
    program = f"import importlib.metadata, json; print(json.dumps({{name: importlib.metadata.version(name) for name in {list(wanted)}}}))"
    found = json.loads(output(execution_environment.image, "python3", "-c", program))
    assert not {name: version for name, version in found.items() if not wanted[name].contains(version)}


def test_collections_are_the_pinned_ones_and_ours(execution_environment):
    pins = {entry["name"]: entry["version"] for entry in load_yaml(ROOT / "collections" / "requirements.yml")["collections"]}
    ours = load_yaml(ROOT / "collections" / "ansible_collections" / "espalier" / "aws" / "galaxy.yml")
    listed = json.loads(output(execution_environment.image, "ansible-galaxy", "collection", "list", "--format", "json"))
    found = next(collections for folder, collections in listed.items() if folder.endswith("-packages/ansible_collections"))
    assert {name: entry["version"] for name, entry in found.items()} == {**pins, "espalier.aws": ours["version"]}


def test_our_plugins_are_found_outside_of_a_project(execution_environment):
    found = output(execution_environment.image, "ansible-doc", "--type", "inventory", "--list", "espalier.aws")
    assert "espalier.aws.aws_ec2" in found


@pytest.mark.parametrize("user", ["", "1234567:0"], ids=["its own user", "any user of the group root"])
def test_programs_run_as(execution_environment, user):
    """Kubernetes and OpenShift choose the user."""
    image = execution_environment.image
    assert output(image, "ansible-runner", "--version", user=user).strip()
    assert output(image, "session-manager-plugin", "--version", user=user).strip()
    assert output(image, "git", "--version", user=user).startswith("git version")
    home = output(image, "sh", "-c", 'touch "$HOME/x" && echo "$(id -u):$(id -g)"', user=user).strip()
    assert home == (user or "1000:0")


def test_nothing_of_this_machine_is_in_the_image(execution_environment):
    addresses = re.findall(r"https?://[^\s\"';]+", machine.apt_sources(SUITE) + machine.apt_configuration() + pip_configuration())
    hosts = {urlsplit(address).hostname for address in addresses} - PUBLIC - {None}
    # A word that is there, so that a search that finds nothing has searched.
    for word in ("deb.debian.org", *hosts):
        command = ("sh", "-c", 'grep -rslF -- "$0" /etc /opt /run /runner /var ~; true', word)
        places = output(execution_environment.image, *command, user="root").split()
        assert bool(places) == (word == "deb.debian.org"), places
    inspected = json.loads(podman("image", "inspect", execution_environment.image).stdout)[0]
    assert not [value for value in inspected["Config"]["Env"] if re.match(r"(?i)\w*(proxy|index_url|cert)", value)]
