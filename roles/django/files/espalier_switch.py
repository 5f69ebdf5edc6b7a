"""Make a release the one that serves; when it does not serve, put back the one before.

usage: espalier_switch.py HOME RELEASE URL TIMEOUT KEEP

HOME/current, HOME/previous and HOME/next are links to releases; units and Nginx name nothing else. RELEASE is a built release's folder,
or a link to one.
Restarts Gunicorn and reloads Nginx, and asks URL until it answers 200, for at most TIMEOUT seconds. Ends with 0 when RELEASE serves, with 3
when it does not and the one before serves again, with 4 when nothing serves; the last lines of the logs then stand on standard output.
Keeps KEEP releases on this machine, and always those that the links name.
"""

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

SERVICE, SOCKET, READER, PROXY = "gunicorn.service", "gunicorn.socket", "django-environment.service", "nginx.service"
LOG_LINES = 50


def systemctl(*arguments, check=True):
    return subprocess.run(["systemctl", *arguments], check=check, capture_output=True, text=True)


def link(path, target):
    """In one step: at no moment is there no link."""
    if path.is_symlink() and os.readlink(path) == str(target):
        return
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(path)


def target(path):
    return path.resolve() if path.is_symlink() and path.exists() else None


def start(socket_changed):
    """Gunicorn leaves its socket to systemd, where connections wait until the new one takes them."""
    systemctl("daemon-reload")
    systemctl("enable", "--quiet", READER, SOCKET, SERVICE, PROXY)
    if socket_changed:
        systemctl("stop", SERVICE, SOCKET, check=False)
    systemctl("start", SOCKET)
    done = systemctl("restart", SERVICE, check=False)
    systemctl("reload-or-restart", PROXY, check=False)
    return "" if done.returncode == 0 else done.stderr.strip()


def answer(url):
    """An empty string for 200, else what is wrong."""
    try:
        with urllib.request.urlopen(url, timeout=10) as found:
            return "" if found.status == 200 else f"{url} answers {found.status}"
    except urllib.error.HTTPError as error:
        return f"{url} answers {error.code}"
    except OSError as error:
        return f"{url} does not answer: {error}"


def serves(url, timeout):
    """Why not, or an empty string."""
    deadline = time.monotonic() + timeout
    while wrong := answer(url):
        if time.monotonic() > deadline:
            return wrong
        time.sleep(0.3)
    return ""


def since(moment):
    """What Gunicorn and its reader of secrets have said since then, the last lines of it."""
    units = [word for unit in (SERVICE, SOCKET, READER) for word in ("-u", unit)]
    # With --since, journalctl's own -n counts from the beginning.
    command = ["journalctl", "--no-pager", "--quiet", "--output=cat", f"--since=@{moment:.0f}", *units]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    return "\n".join(lines[-LOG_LINES:])


def prune(home, keep):
    """Old releases, and virtual environments that no release uses."""
    used = {target(home / name) for name in ("current", "previous", "next")}
    releases = sorted(
        (path for path in (home / "releases").iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime, reverse=True
    )
    for path in [path for path in releases[keep:] if path not in used] if keep else []:
        shutil.rmtree(path, ignore_errors=True)
    needed = {target(path / "venv") for path in (home / "releases").iterdir()}
    venvs = home / "venvs"
    for path in [path for path in venvs.iterdir() if path not in needed] if venvs.is_dir() else []:
        shutil.rmtree(path, ignore_errors=True)


def main():
    home, release = Path(sys.argv[1]), Path(sys.argv[2]).resolve()
    url, timeout, keep = sys.argv[3], float(sys.argv[4]), int(sys.argv[5])
    if not (release / "release.json").is_file():
        sys.exit(f"{release} is no built release")
    before, began = target(home / "current"), time.time()
    changed = systemctl("show", "--property=NeedDaemonReload", "--value", SOCKET).stdout.strip() == "yes"
    if before and before != release:
        link(home / "previous", before)
    link(home / "next", release)
    link(home / "current", release)
    wrong = start(changed) or serves(url, timeout)
    if not wrong:
        prune(home, keep)
        print(f"switched in {time.time() - began:.1f} s")
        return
    logs = since(began)
    print(f"{release.name} does not serve: {wrong}")
    code = 4
    if before and before != release:
        link(home / "current", before)
        # Its own addresses and secrets, too.
        link(home / "next", before)
        systemctl("restart", READER, check=False)
        again = start(False) or serves(url, timeout)
        code = 4 if again else 3
        print(f"{before.name} does not serve either: {again}" if again else f"put back on {before.name}, which serves")
    print(f"the last lines of its log:\n{logs}")
    sys.exit(code)


if __name__ == "__main__":
    main()
