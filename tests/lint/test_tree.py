"""What no linter knows: pins that agree, nothing of one machine in the tree, nothing of the lab outside the lab."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import ansible_collections
import pytest

from tests.tree import ROOT, load_yaml, texts

PINS = {entry["name"]: entry["version"] for entry in load_yaml(ROOT / "collections" / "requirements.yml")["collections"]}


@pytest.mark.parametrize("name", PINS)
def test_collection_pin_equals_what_the_ansible_package_carries(name):
    folder = Path(*name.split("."))
    manifests = [path / folder / "MANIFEST.json" for path in map(Path, ansible_collections.__path__)]
    carried = [load_yaml(path)["collection_info"]["version"] for path in manifests if path.exists()]
    assert carried == [PINS[name]]


def test_every_collection_in_use_is_pinned():
    own = ("ansible.builtin", "espalier.aws")
    used: dict[str, Path] = {}
    for path, text in texts("roles/*.yml", "playbooks/*.yml", "site.yml", "inventories/*.yml").items():
        for match in re.finditer(r"^\s*-?\s*([a-z_]+\.[a-z_]+)\.[a-z0-9_]+:(?:\s|$)", text, re.MULTILINE):
            used.setdefault(match[1], path)
    missing = {name: str(path.relative_to(ROOT)) for name, path in used.items() if name not in PINS and name not in own}
    assert not missing, f"not in collections/requirements.yml: {missing}"


@pytest.mark.parametrize(
    "name",
    [
        "requirements.txt",
        "requirements-bootstrap.txt",
        "requirements-tools.txt",
        "playbooks/bundle/requirements.txt",
        "requirements-ee.txt",
    ],
)
def test_python_requirements_are_pinned_with_hashes_and_name_no_index(name):
    lines = (ROOT / name).read_text("utf-8").replace("\\\n", " ").splitlines()
    entries = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    assert entries
    unpinned = [line.split()[0] for line in entries if not re.match(r"[\w.\[\],-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)]
    assert not unpinned, f"without version or hash: {unpinned}"
    assert not re.search(r"://", "\n".join(entries)), f"{name} holds an address"


def pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text("utf-8"), re.MULTILINE))


def test_execution_environment_has_the_versions_of_the_virtual_environment():
    image, all_of_them = pins("requirements-ee.txt"), pins("requirements.txt")
    assert image and image == {name: all_of_them.get(name) for name in image}


def test_execution_environment_has_the_pinned_collections():
    files = load_yaml(ROOT / "execution-environment.yml")["additional_build_files"]
    folders = {entry["src"].partition("ansible_collections/")[2] for entry in files} - {""}
    assert folders == {name.replace(".", "/") for name in (*PINS, "espalier.aws")}


PUBLIC_HOSTS = {
    "pypi.org",
    "files.pythonhosted.org",
    "proxy.golang.org",
    "sum.golang.org",
    "registry.npmjs.org",
    "deb.debian.org",
    "repo.maven.apache.org",
}


def registry_hosts_of_this_machine() -> set[str]:
    """Hosts that this machine's package clients were told to use. Public defaults are no secret of anybody."""
    words = [value for name, value in os.environ.items() if re.search(r"INDEX_URL|PROXY|REGISTRY|MIRROR", name, re.IGNORECASE)]
    for path in (Path("/etc/pip.conf"), Path.home() / ".pip" / "pip.conf", Path.home() / ".config" / "pip" / "pip.conf"):
        if path.is_file():
            parser = configparser.RawConfigParser()
            parser.read(path)
            words += [value for section in parser.sections() for value in dict(parser[section]).values()]
    for path in (Path.home() / ".npmrc", Path("/etc/npmrc")):
        if path.is_file():
            words += path.read_text("utf-8").splitlines()
    addresses = re.findall(r"https?://[^\s,|'\"]+", "\n".join(words))
    return {host for host in (urlsplit(address).hostname for address in addresses) if host} - PUBLIC_HOSTS - {"localhost", "127.0.0.1"}


def test_no_registry_address_in_the_tree():
    settings = re.compile(r"(?:--(?:extra-)?index-url[ =]|\bregistry=|\bGOPROXY=|_authToken)\s*\S*\w+\.\w+")
    hosts = registry_hosts_of_this_machine()
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()[:120]}"
        for path, text in texts().items()
        for line in text.splitlines()
        if settings.search(line) or any(host in line for host in hosts)
    ]
    assert not found, "\n".join(found)


def test_no_path_of_one_machine_in_the_tree():
    homes = {str(Path.home()), "/ro" + "ot"} - {"/"}
    # Not behind a placeholder: /proc/<pid>/root is no home.
    mine = re.compile(
        r"(?<![\w}>])(?:" + "|".join(re.escape(path) for path in {str(ROOT), *homes}) + r")\b|/home/(?!(?:ubuntu|ssm-user|me|you)\b)\w+/"
    )
    outer = re.compile(r"(?<![\w$}])/wor" + r"k/[a-z.]")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path, text in texts().items()
        if path != Path(__file__)
        for number, line in enumerate(text.splitlines(), 1)
        if mine.search(line) or outer.search(line)
    ]
    assert not found, "\n".join(found)


PRODUCT = ("roles", "playbooks", "site.yml", "group_vars", "collections", "inventories/staging", "inventories/production", "app")
LAB_WORDS = re.compile(
    r"\b4566\b|\bmoto\b|\bpodman\b|espalier-lab|localhost/espalier|169\.254\.169\.254:80\b|==\s*['\"]lab['\"]|['\"]lab['\"]\s*(?:==|in\b)|\bis_lab\b|\.lab/"
)


# What builds images of releases, with the engine of whoever runs it.
IMAGES = re.compile(r"roles/ecr/|/container_engine\.py$|/release_image\.py$")


def test_the_product_knows_nothing_of_the_lab():
    """The lab runs the same code. What differs is a variable of inventories/lab, never a condition."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path, text in texts(*PRODUCT).items()
        if "tests" not in path.relative_to(ROOT).parts and path.suffix != ".md"
        for number, line in enumerate(text.splitlines(), 1)
        if (match := LAB_WORDS.search(line)) and not (match[0] == "podman" and IMAGES.search(str(path)))
    ]
    assert not found, "\n".join(found)


def test_group_vars_are_linked_into_every_inventory():
    """Root group_vars are not loaded for plays of playbooks/ (ansible-core 2.21): the link is what makes them count."""
    links = {"all/00_common.yml": "suite.yml", "all/05_app.yml": "application.yml", "app/00_connection.yml": "instances.yml"}
    for inventory in sorted((ROOT / "inventories").iterdir()):
        for name, target in links.items():
            link = inventory / "group_vars" / name
            assert link.is_symlink() and link.resolve() == ROOT / "group_vars" / target, f"{link.relative_to(ROOT)} is not the link"


def test_no_file_of_group_vars_has_a_groups_name():
    """Named after a group, it would be loaded once more for ad-hoc commands and for plays of the root, and beat the inventory's values."""
    groups = {"all", "ungrouped"}.union(*(load_yaml(path)["all"]["children"] for path in (ROOT / "inventories").glob("*/groups.yml")))
    assert {"app", "bastion"} <= groups
    assert not groups & {path.stem for path in (ROOT / "group_vars").iterdir()}


def test_nothing_large_is_tracked():
    large = [str(path.relative_to(ROOT)) for path in texts() if path.stat().st_size > 1_000_000]
    assert not large, large


def test_git_agrees_with_ignored_files():
    """Nothing that a run writes may be tracked."""
    tracked = subprocess.run(["git", "ls-files", "-ci", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert tracked == "", f"tracked and ignored at once: {tracked}"
