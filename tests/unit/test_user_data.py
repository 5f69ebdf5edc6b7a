"""The first boot, run for real against commands that only note how they were called."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess

import jinja2
import pytest

from tests.tree import ROOT, VENV_BIN, load_yaml

ROLE = ROOT / "roles" / "user_data"
DEFAULTS = load_yaml(ROLE / "defaults" / "main.yml")
# EC2 refuses more, before base64.
EC2_LIMIT_BYTES = 16 * 1024

COMMANDS = {
    # A unit exists when its file does: made here by what "installs" the agent.
    "systemctl": 'if [ "$1" = cat ]; then [ -e "$BOOT/$2" ]; fi',
    "snap": 'if [ "$1" = install ] || [ -e "$BOOT/preseeded" ]; then touch "$BOOT/$SNAP_UNIT"; fi',
    "apt-get": "",
    "curl": 'case "$*" in *api/token*) echo token;; *placement/region*) echo eu-west-1;; *services/domain*) echo amazonaws.com;; esac',
    "gpgv": '[ ! -e "$BOOT/forged" ]',
    "dpkg": 'if [ "$1" = --print-architecture ]; then echo amd64; else touch "$BOOT/amazon-ssm-agent.service"; fi',
    "sleep": "",
}
SNAP_UNIT = "snap.amazon-ssm-agent.amazon-ssm-agent.service"
PACKAGE_UNIT = "amazon-ssm-agent.service"


def render(**variables) -> str:
    template = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True)
    template.filters["to_json"] = json.dumps
    files = {"client": ROOT / "roles" / "django" / "files" / "espalier_aws.py", "espalier_birth.py": ROLE / "files" / "espalier_birth.py"}
    template.globals.update(lookup=lambda plugin, name: files[name].read_text("utf-8").rstrip(), __user_data_client="client")
    template.globals["__user_data_orders"] = {name: "x" * 40 for name in ("parameter", "bucket", "group", "hook")}
    return template.from_string((ROLE / "templates" / "user_data.sh.j2").read_text("utf-8")).render({**DEFAULTS, **variables})


@pytest.fixture(scope="module")
def script() -> str:
    return render()


@pytest.fixture
def boot(tmp_path, script):
    """Run the script on a machine with these commands and files; returns what happened and the calls that it made."""

    def run(*existing: str, without: tuple[str, ...] = ()) -> tuple[subprocess.CompletedProcess, list[str]]:
        commands = tmp_path / "bin"
        commands.mkdir()
        for name, body in COMMANDS.items():
            if name not in without:
                (commands / name).write_text(f'#!/bin/sh\necho "{name} $*" >>"$BOOT/calls"\n{body}\n', "utf-8")
                (commands / name).chmod(0o755)
        for name in ("sh", "touch", "base64", "mktemp", "rm", "cat", *(["python3"] if "python3" not in without else [])):
            (commands / name).symlink_to(shutil.which(name))
        for name in existing:
            (tmp_path / name).touch()
        environment = {"PATH": str(commands), "BOOT": str(tmp_path), "SNAP_UNIT": SNAP_UNIT, "TMPDIR": str(tmp_path)}
        result = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, timeout=60)
        return result, (tmp_path / "calls").read_text("utf-8").splitlines()

    return run


def test_an_image_with_the_agent_downloads_nothing(boot):
    result, calls = boot(PACKAGE_UNIT)
    assert result.returncode == 0, result.stderr
    assert calls[-1] == f"systemctl enable --now {PACKAGE_UNIT}"
    assert {call.split()[0] for call in calls} == {"systemctl"}


def test_ubuntu_waits_for_its_preseeded_snap(boot):
    result, calls = boot("preseeded")
    assert result.returncode == 0, result.stderr
    assert "snap wait system seed.loaded" in calls
    assert not [call for call in calls if call.startswith("snap install")]
    assert calls[-1] == f"systemctl enable --now {SNAP_UNIT}"


def test_ubuntu_without_the_snap_installs_it(boot):
    result, calls = boot()
    assert result.returncode == 0, result.stderr
    assert "snap install amazon-ssm-agent --classic" in calls
    assert calls[-1] == f"systemctl enable --now {SNAP_UNIT}"


def test_debian_takes_the_package_of_its_region_after_its_signature(boot):
    result, calls = boot(without=("snap",))
    assert result.returncode == 0, result.stderr
    version = DEFAULTS["user_data_ssm_agent_version"]
    url = f"https://s3.eu-west-1.amazonaws.com/amazon-ssm-eu-west-1/{version}/debian_amd64/amazon-ssm-agent.deb"
    assert [call.split()[-1] for call in calls if call.startswith("curl") and ".deb" in call] == [url, f"{url}.sig"]
    names = [" ".join(call.split()[:2]) for call in calls]
    assert names.index("gpgv --keyring") < names.index("dpkg -i")
    assert calls[-1] == f"systemctl enable --now {PACKAGE_UNIT}"


def test_a_forged_package_is_not_installed(boot):
    result, calls = boot("forged", without=("snap",))
    assert result.returncode != 0
    assert not [call for call in calls if call.startswith(("dpkg -i", "systemctl enable"))]


def test_python_is_installed_where_it_is_missing(boot):
    result, calls = boot(PACKAGE_UNIT, without=("python3",))
    assert result.returncode == 0, result.stderr
    assert [call for call in calls if call.startswith("apt-get") and call.endswith("install -y --no-install-recommends python3")]


def test_the_key_is_the_one_that_the_comment_names():
    key = base64.b64decode(DEFAULTS["user_data_ssm_agent_key"])
    # RFC 4880, 12.2: SHA-1 of the first packet, an old-format public key packet with a two-byte length.
    assert key[0] == 0x99
    fingerprint = hashlib.sha1(key[: 3 + int.from_bytes(key[1:3])], usedforsecurity=False).hexdigest().upper()
    comment = (ROLE / "defaults" / "main.yml").read_text("utf-8")
    assert " ".join(fingerprint[start : start + 4] for start in range(0, 40, 4)).replace("  ", " ") in comment


def test_it_fits_into_ec2():
    assert len(render(user_data_release_parameter="/DjangoApp/release").encode()) < EC2_LIMIT_BYTES


@pytest.mark.parametrize("parameter", ["", "/DjangoApp/release"])
def test_shellcheck_finds_nothing(parameter):
    script = render(user_data_release_parameter=parameter)
    shellcheck = shutil.which("shellcheck", path=f"{VENV_BIN}:{os.environ['PATH']}")
    if shellcheck is None:
        pytest.skip("no shellcheck: the lint tests install it")
    result = subprocess.run([shellcheck, "--shell=sh", "-"], input=script, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
