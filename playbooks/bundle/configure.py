"""Run the bundle's roles on this machine.

usage: configure.py WHEELS VARIABLES RELEASE

WHEELS is a folder of wheels for several Pythons, ansible-core among them, with a list for each Python; those for this one are unpacked
beside it, since nothing but Python is there to install them. VARIABLES is a JSON file. With an empty RELEASE, an image is prepared.
"""

import json
import os
import sys
import tempfile
import zipfile
from pathlib import Path

BUNDLE = Path(__file__).resolve().parents[2]
# No PYTHONPATH: the tasks' own programs would see it, and pip would take Ansible's packages for the application's.
RUN = """
import sys
sys.path.insert(0, sys.argv.pop(1))
sys.argv[0] = "ansible-playbook"
from ansible.cli.playbook import main
main()
"""


def ansible(wheels):
    """The folder with ansible-core and what it needs."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder, wanted = wheels.with_name(f"{wheels.name}-python{python}"), wheels / "wheels" / f"{python}.txt"
    if not wanted.exists():
        sys.exit(f"the bundle has no Ansible for Python {python}: add it to bundle_pythons")
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=wheels.parent) as scratch:
            unpacked = Path(scratch) / "unpacked"
            for name in wanted.read_text().split():
                with zipfile.ZipFile(wanted.with_name(name)) as wheel:
                    wheel.extractall(unpacked)
            unpacked.rename(folder)
    return folder


def main():
    wheels, variables, release = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    packages = ansible(wheels)
    environment = {
        **os.environ,
        "ESPALIER_BUNDLE": str(BUNDLE),
        # cloud-init has none.
        "HOME": os.path.expanduser("~root"),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_ROLES_PATH": str(BUNDLE / "roles"),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
    }
    playbook = BUNDLE / "playbooks" / "bundle" / ("instance.yml" if release else "image.yml")
    command = [sys.executable, "-c", RUN, str(packages), "--inventory", "localhost,", "--connection", "local"]
    command += ["--extra-vars", f"@{variables}", "--extra-vars", json.dumps({"django_version": release})]
    os.execve(sys.executable, [*command, str(playbook)], environment)


if __name__ == "__main__":
    main()
