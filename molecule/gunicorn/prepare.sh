#!/bin/sh
# A user, and an application that tells what it is and can do.
set -eu
useradd --system --shell /usr/sbin/nologin probe
mkdir -p /srv/probe /var/lib/probe
chown probe:probe /srv/probe /var/lib/probe
echo 'FROM_A_FILE=yes' >/etc/probe.conf
cat >/etc/systemd/system/probe-ready.service <<'UNIT'
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
UNIT
cat >/srv/probe/probe.py <<'PYTHON'
import json
import os


def writes(path):
    try:
        with open(path, "w"):
            return True
    except OSError:
        return False


def application(environ, start_response):
    answer = {
        "pid": os.getpid(),
        "user": os.getuid(),
        "capabilities": next(line.split()[1] for line in open("/proc/self/status") if line.startswith("CapBnd")),
        "environment": {name: os.environ.get(name) for name in ("GREETING", "FROM_A_FILE", "HOME")},
        "writes": [path for path in ("/srv/probe/code.py", "/var/lib/probe/data", "/etc/passwd") if writes(path)],
    }
    body = json.dumps(answer).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
PYTHON
