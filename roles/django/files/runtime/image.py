"""Make an unpacked release ready to run in a container: what build.py does on a machine. Run by app/Dockerfile while the image is built.

usage: image.py RELEASE

Reads its orders from the environment: NAME and RELEASE_VERSION, DIRECTORY (of manage.py, inside the source), COLLECTSTATIC (true, false),
COMMANDS (management commands as a JSON list of lists), and what the project's settings need, as the service has it.
Installs from the release's own wheels and asks no package index. Nothing of this gets a secret.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def run(*command, **options):
    subprocess.run([str(word) for word in command], check=True, **options)


def virtual_environment(release):
    """Without pip: what runs in a container installs nothing."""
    with tempfile.TemporaryDirectory() as tools:
        run(sys.executable, "-m", "venv", tools)
        run(sys.executable, "-m", "venv", "--without-pip", release / "venv")
        wheels = sorted((release / "wheels").glob("*.whl"))
        pip = [f"{tools}/bin/python", "-m", "pip", "--python", release / "venv" / "bin" / "python", "--disable-pip-version-check"]
        run(*pip, "install", "--quiet", "--no-input", "--no-cache-dir", "--no-index", "--no-deps", *wheels)
    shutil.rmtree(release / "wheels")


def description(release):
    """What `serve` and `manage` read, as build.py writes it."""
    values = {"name": os.environ["NAME"], "user": "", "data": os.environ["DJANGO_DATA_DIR"], "directory": os.environ["DIRECTORY"]}
    (release / "release.conf").write_text("".join(f"{key}={shlex.quote(value)}\n" for key, value in values.items()))
    (release / "release.json").write_text(json.dumps({"version": os.environ["RELEASE_VERSION"]}) + "\n")
    for name in ("manage", "serve"):
        (release / name).symlink_to(f"espalier/{name}")


def static_files(release):
    (release / "static").mkdir()
    if os.environ["COLLECTSTATIC"] == "true":
        run(release / "manage", "collectstatic", "--noinput", "--verbosity", "0", env={**os.environ, "DJANGO_SECRET_KEY": "of the build"})


def commands(release):
    for command in json.loads(os.environ["COMMANDS"]):
        run(release / "manage", *command, env={**os.environ, "DJANGO_SECRET_KEY": "of the build"})


def bytecode(release):
    # Nothing can be written later. A file that does not compile is the project's affair.
    subprocess.run([release / "venv" / "bin" / "python", "-m", "compileall", "-q", "source", "espalier"], check=False, cwd=release)


def readable(release):
    # By the user of the container. The folder that the context was made in is its owner's alone, and engines keep that.
    run("chmod", "--recursive", "go+rX", release)


def main():
    os.umask(0o022)
    release = Path(sys.argv[1])
    for step in (virtual_environment, description, static_files, commands, bytecode, readable):
        step(release)


if __name__ == "__main__":
    main()
