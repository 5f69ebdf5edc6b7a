"""What an instance says of itself, for the doctor: one line of JSON. Reads only; prints no secret.

usage: machine_state.py APPLICATION HEALTH_PATH READY_PATH NOW

NOW is the controller's clock, in seconds since 1970. Runs on the instance's own Python with nothing but the standard library.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

UNITS = ("nginx.service", "gunicorn.socket", "gunicorn.service", "django-environment.service")
MOUNTS = ("/", "/srv", "/var", "/var/log", "/tmp", "/srv/{application}/releases")
LOG_LINES = 40


def said(*command):
    """What a command prints; empty when it fails or hangs."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def unit(name):
    lines = said("systemctl", "show", "--property=ActiveState,LoadState", name).splitlines()
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    return {"active": found.get("ActiveState", "unknown"), "load": found.get("LoadState", "unknown")}


def status(path):
    """Status that Nginx answers on this machine; 0 when nothing comes."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1{path}", timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def disks(application):
    found = {}
    for mount in (place.format(application=application) for place in MOUNTS):
        if not os.path.isdir(mount):
            continue
        state = os.statvfs(mount)
        if not state.f_blocks:
            continue
        inodes = 100 - 100 * state.f_favail // state.f_files if state.f_files else 0
        row = {"mount": mount, "space_percent": 100 - 100 * state.f_bavail // state.f_blocks, "inodes_percent": inodes}
        # Of several paths on one file system, the first.
        found.setdefault(os.stat(mount).st_dev, row)
    return list(found.values())


def memory():
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total, available = (int(fields[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    return 100 * available // total


def database(application):
    """Whether the address that the application was given can be reached, and where it cannot, why."""
    variables = {}
    try:
        for line in Path(f"/run/{application}/environment").read_text().splitlines():
            name, _, value = line.partition("=")
            if name in ("RDS_HOSTNAME", "RDS_PORT"):
                variables[name] = value.strip('"')
    except OSError:
        return None
    if "RDS_HOSTNAME" not in variables:
        return None
    address, port = variables["RDS_HOSTNAME"], int(variables.get("RDS_PORT", "5432"))
    try:
        socket.create_connection((address, port), timeout=5).close()
    except OSError as error:
        return {"address": address, "error": f"{error.strerror or error}".lower()}
    return {"address": address, "error": ""}


def refusal(application):
    """What the database says to the application's own login, in a word or two; only asked when the readiness check fails."""
    manage = f"/srv/{application}/current/manage"
    try:
        done = subprocess.run([manage, "showmigrations", "--plan"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return lines[-1][:300] if done.returncode and lines else ""


def release(application):
    try:
        return json.loads(Path(f"/srv/{application}/current/release.json").read_text())["version"]
    except (OSError, ValueError, KeyError):
        return ""


def changed_files(application):
    """Files that are not as the last deploy left them."""
    folder = Path(f"/srv/{application}")
    if not (folder / "deployed").is_file():
        return []
    done = subprocess.run(
        ["sha256sum", "--check", "--quiet", "deployed"], cwd=folder, capture_output=True, text=True, timeout=30, check=False
    )
    return [line.split(":", 1)[0] for line in done.stdout.splitlines() if ": FAILED" in line]


def log():
    """The last lines that the services themselves have written; without any, what systemd says of them."""
    for key in ("_SYSTEMD_UNIT", "UNIT"):
        fields = [f"{key}={name}" for name in UNITS]
        lines = said("journalctl", "--no-pager", "--quiet", "--output=cat", "-n", str(LOG_LINES), *fields).splitlines()
        if lines:
            return lines
    return []


def main():
    application, health_path, ready_path, clock = sys.argv[1:5]
    state = {
        "clock_offset_seconds": round(time.time() - float(clock), 1),
        "units": {name: unit(name) for name in UNITS},
        "health": status(health_path),
        "ready": status(ready_path),
        "disks": disks(application),
        "memory_percent": memory(),
        "database": database(application),
        "release": release(application),
        "changed_files": changed_files(application),
    }
    if state["ready"] != 200 and state["health"] == 200 and state["database"] and not state["database"]["error"]:
        state["database"]["error"] = refusal(application)
    if state["health"] != 200:
        state["log"] = log()
    print(json.dumps(state))


if __name__ == "__main__":
    main()
