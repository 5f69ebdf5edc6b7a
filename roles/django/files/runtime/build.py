"""Make an unpacked release ready to serve, then give it to root: a service must not be able to change its own code.

usage: build.py install|finish RELEASE < manifest.json

`install` needs nothing but the archive. `finish` runs the project's code, which needs its addresses and secrets. The manifest is what
the role django knows of the release (vars/main.yml); written to RELEASE/release.json at the end, it says that the release is whole. Runs
as root; what comes from the project (setup scripts, management commands) runs as the application's user.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

DRIVERS = {"psycopg", "psycopg2", "psycopg2-binary"}


class Build:
    def __init__(self, release, manifest):
        self.release, self.manifest = release, manifest
        self.user, self.data = manifest["user"], Path(manifest["data"])
        self.cache = Path("/var/cache") / manifest["name"]
        self.python = release / "venv" / "bin" / "python"

    def folders(self):
        """Whom they belong to."""
        for path in (self.data, self.cache):
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o750)
            shutil.chown(path, self.user, self.user)
        subprocess.run(["chown", "-R", f"{self.user}:{self.user}", self.release], check=True)

    def run(self, *command, folder="", **options):
        """As the application's user. pip's cache stays: the next release downloads only what is new."""
        environment = {**os.environ, "HOME": str(self.data), "PIP_CACHE_DIR": str(self.cache), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        user = {"user": self.user, "group": self.user, "extra_groups": []}
        return subprocess.run(command, check=True, cwd=self.release / folder, env=environment, umask=0o022, **user, **options)

    def pip(self, *arguments, **options):
        return self.run(self.python, "-m", "pip", *arguments, "--no-input", folder="source", **options)

    def virtual_environment(self):
        self.run(self.manifest["python"], "-m", "venv", self.release / "venv")

    def packages(self):
        self.pip("install", "--quiet", *self.manifest["install"])
        # Apart: beside requirements with hashes, pip takes nothing without one.
        if self.manifest["packages"]:
            self.pip("install", "--quiet", *self.manifest["packages"])
        listed = json.loads(self.pip("list", "--format", "json", capture_output=True, text=True).stdout)
        installed = {package["name"].lower() for package in listed}
        missing = [] if "gunicorn" in installed else ["gunicorn"]
        if self.manifest["database"] and not installed & DRIVERS:
            missing.append("psycopg[binary]")
        if missing:
            self.pip("install", "--quiet", *missing)

    def environment(self):
        """What the service, the reader of secrets and `manage` read."""
        self.write("environment", self.manifest["environment"])
        values = {key: str(self.manifest[key]) for key in ("name", "user", "data", "directory")}
        self.write("release.conf", "".join(f"{key}={shlex.quote(value)}\n" for key, value in values.items()))
        (self.release / "manage").symlink_to("espalier/manage")

    def static_files(self):
        # Without folders of static files there is nothing to collect into it, and Nginx still names it.
        (self.release / "static").mkdir()
        shutil.chown(self.release / "static", self.user, self.user)
        if self.manifest["collectstatic"]:
            subprocess.run([self.release / "manage", "collectstatic", "--noinput", "--verbosity", "0"], check=True)

    def commands(self):
        for command in self.manifest["commands"]:
            subprocess.run([self.release / "manage", *map(str, command)], check=True)

    def bytecode(self):
        # The service cannot write it beside the code. A file that does not compile is the project's affair.
        compiled = [self.python, "-m", "compileall", "-q", "source", "espalier"]
        try:
            self.run(*compiled, stdout=subprocess.DEVNULL)
        except subprocess.CalledProcessError:
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


STEPS = {
    "install": ("folders", "virtual_environment", "packages", "environment"),
    "finish": ("static_files", "commands", "bytecode", "finish"),
}


def main():
    # The session that brings us here may have one of its own, and the service must read its code.
    os.umask(0o022)
    build = Build(Path(sys.argv[2]), json.load(sys.stdin))
    for step in STEPS[sys.argv[1]]:
        started = time.monotonic()
        try:
            getattr(build, step)()
        except subprocess.CalledProcessError as error:
            command = " ".join(map(str, error.cmd))
            sys.exit(f"the release could not be built, step {step}: `{command}` ended with {error.returncode}; its own words stand above")
        print(f"{step}: {time.monotonic() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main()
