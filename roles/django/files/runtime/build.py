"""Make an unpacked release ready to serve, then give it to root: a service must not be able to change its own code.

usage: build.py RELEASE < manifest.json

The manifest is what the role django knows of the release on this machine (vars/main.yml); written to RELEASE/release.json at the end,
it says that the release is whole. Installs from the release's own wheels and asks no package index. Runs as root; what comes from the
project (management commands) runs as the application's user.
"""

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

READER = "django-environment.service"


class Build:
    def __init__(self, release, manifest):
        self.release, self.manifest = release, manifest
        self.user, self.data = manifest["user"], Path(manifest["data"])
        self.home = release.parent.parent
        self.wheels = sorted((release / "wheels").glob("*.whl"))

    def data_folder(self):
        self.data.mkdir(parents=True, exist_ok=True)
        self.data.chmod(0o750)
        shutil.chown(self.data, self.user, self.user)

    def virtual_environment(self):
        """One for each set of wheels: a release with the packages of the last one takes that one's."""
        total = hashlib.sha256(str(self.manifest["python"]).encode())
        for wheel in self.wheels:
            total.update(f"{wheel.name} {hashlib.sha256(wheel.read_bytes()).hexdigest()}\n".encode())
        venv = self.home / "venvs" / total.hexdigest()[:16]
        if not (venv / "complete").exists():
            shutil.rmtree(venv, ignore_errors=True)
            venv.parent.mkdir(exist_ok=True)
            self.python([self.manifest["python"], "-m", "venv", venv])
            installed = [venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-input", "--no-index", "--no-deps", *self.wheels]
            self.python(
                installed, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1"}
            )
            (venv / "complete").touch()
        (self.release / "venv").symlink_to(venv)
        # Installed: nobody reads them any more.
        shutil.rmtree(self.release / "wheels")

    def python(self, command, **options):
        subprocess.run(command, check=True, cwd="/", **options)

    def environment(self):
        """What the service, the reader of secrets and `manage` read."""
        self.write("environment", self.manifest["environment"])
        values = {key: str(self.manifest[key]) for key in ("name", "user", "data", "directory")}
        self.write("release.conf", "".join(f"{key}={shlex.quote(value)}\n" for key, value in values.items()))
        for name in ("manage", "serve"):
            (self.release / name).symlink_to(f"espalier/{name}")

    def secrets(self):
        """Read them with this release's orders, where these are not those of the last one. The service does not notice."""
        last = self.home / "next"
        own = (self.release / "environment").read_bytes()
        same = (last / "environment").is_file() and (last / "environment").read_bytes() == own
        self.link(last)
        verb = "start" if same else "restart"
        if subprocess.run(["systemctl", verb, READER], check=False).returncode:
            subprocess.run(["journalctl", "--no-pager", "--quiet", "--output=cat", "-n", "5", "-u", READER], check=False)
            sys.exit(f"{READER} could not read addresses and secrets from AWS")

    def link(self, path):
        new = path.with_name(".next.new")
        new.unlink(missing_ok=True)
        new.symlink_to(self.release)
        new.replace(path)

    def static_files(self):
        # Without folders of static files there is nothing to collect into it, and Nginx still names it.
        (self.release / "static").mkdir()
        shutil.chown(self.release / "static", self.user, self.user)
        if self.manifest["collectstatic"]:
            self.manage("collectstatic", "--noinput", "--verbosity", "0")

    def commands(self):
        if self.manifest["commands"]:
            # They may write beside the source, as compilemessages does.
            subprocess.run(["chown", "-R", f"{self.user}:{self.user}", self.release / "source"], check=True)
        for command in self.manifest["commands"]:
            self.manage(*map(str, command))

    def manage(self, *arguments):
        subprocess.run([self.release / "manage", *arguments], check=True)

    def bytecode(self):
        # The service cannot write it beside the code. A file that does not compile is the project's affair.
        command = [self.release / "venv" / "bin" / "python", "-m", "compileall", "-q", "source", "espalier"]
        if subprocess.run(command, check=False, cwd=self.release, stdout=subprocess.DEVNULL).returncode:
            print("some files do not compile", flush=True)

    def finish(self):
        subprocess.run(["chown", "-R", "root:root", self.release], check=True)
        for name in ("environment", "release.conf"):
            shutil.chown(self.release / name, "root", self.user)
        self.write(".release.json", json.dumps(self.manifest, indent=2, sort_keys=True) + "\n")
        (self.release / ".release.json").rename(self.release / "release.json")

    def write(self, name, text):
        """Readable for the application alone."""
        path = self.release / name
        path.touch(mode=0o640)
        path.write_text(text)
        shutil.chown(path, "root", self.user)


STEPS = ("data_folder", "virtual_environment", "environment", "secrets", "static_files", "commands", "bytecode", "finish")


def main():
    # The session that brings us here may have one of its own, and the service must read its code.
    os.umask(0o022)
    build = Build(Path(sys.argv[1]), json.load(sys.stdin))
    for step in STEPS:
        started = time.monotonic()
        try:
            getattr(build, step)()
        except subprocess.CalledProcessError as error:
            command = " ".join(map(str, error.cmd))
            sys.exit(f"the release could not be built, step {step}: `{command}` ended with {error.returncode}; its own words stand above")
        except OSError as error:
            sys.exit(f"the release could not be built, step {step}: {error}")
        print(f"{step}: {time.monotonic() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main()
