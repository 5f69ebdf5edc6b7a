"""A Kubernetes API of a scenario: etcd, API server and controller manager of the lab's own build, on free ports, without a node.

    python -m tests.molecule.cluster open FOLDER
    python -m tests.molecule.cluster close FOLDER

Objects are stored, admitted and tended; pods stay Pending. FOLDER gets a kubeconfig of an administrator, and holds data, log and
process id. All of it ends with one process.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

from lab.kubernetes import pki, programs
from lab.processes import Process, stop
from lab.settings import SETTINGS
from tests.tree import ROOT, VENV_BIN

START_SECONDS = 120
# Of a run that was killed before it could close its cluster.
LIFE_SECONDS = 1800
PROGRAMS = (programs.ETCD, programs.API_SERVER, programs.CONTROLLER_MANAGER)
SERVICES = "172.20.0.0/16"


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def write_keys(etc: Path, port: int) -> None:
    authority = pki.Authority(etc, "ca")
    names = ("kubernetes.default.svc", "localhost", "127.0.0.1", "172.20.0.1")
    pki.write(authority.issue("kube-apiserver", names=names), etc, "apiserver")
    pki.signing_key(etc / "service-accounts")
    for name, group in (("admin", "system:masters"), ("controller-manager", "")):
        user = "system:kube-controller-manager" if name == "controller-manager" else name
        (etc / f"{name}.json").write_bytes(pki.kubeconfig(f"https://127.0.0.1:{port}", authority, authority.issue(user, group)))


def commands(etc: Path, data: Path, port: int, etcd: int, peer: int) -> list[list[str]]:
    """The three programs, as little of them as objects need."""
    address, peers = f"http://127.0.0.1:{etcd}", f"http://127.0.0.1:{peer}"
    return [
        [
            "etcd", "--name=one", f"--data-dir={data}", "--unsafe-no-fsync", "--log-level=warn",
            f"--listen-client-urls={address}", f"--advertise-client-urls={address}",
            f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}", f"--initial-cluster=one={peers}",
        ],
        [
            "kube-apiserver", "--bind-address=127.0.0.1", f"--secure-port={port}", f"--etcd-servers={address}",
            f"--service-cluster-ip-range={SERVICES}", "--authorization-mode=RBAC",
            f"--tls-cert-file={etc}/apiserver.crt", f"--tls-private-key-file={etc}/apiserver.key", f"--client-ca-file={etc}/ca.crt",
            "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={etc}/service-accounts.pub",
            f"--service-account-signing-key-file={etc}/service-accounts",
        ],
        [
            "kube-controller-manager", f"--kubeconfig={etc}/controller-manager.json", "--leader-elect=false", "--secure-port=0",
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={etc}/service-accounts", f"--root-ca-file={etc}/ca.crt",
        ],
    ]  # fmt: skip


def serve(folder: Path) -> None:
    """Run the programs until the first of them ends, or the life is over."""
    etc, state = folder / "kubernetes", folder / "etcd"
    port, etcd, peer = free_ports(3)
    write_keys(etc, port)
    places, (*first, manager) = programs.folder(SETTINGS), commands(etc, state, port, etcd, peer)

    def start(command: list[str]) -> subprocess.Popen:
        return subprocess.Popen([str(places / command[0]), *command[1:]], stdin=subprocess.DEVNULL, cwd=folder)

    started = [start(command) for command in first]

    def end(*_) -> None:
        for process in started:
            process.kill()

    signal.signal(signal.SIGTERM, end)
    threading.Timer(LIFE_SECONDS, end).start()
    own = Process.of(os.getpid())
    (folder / "cluster.tmp").write_text(json.dumps({"port": port, "pid": own.pid, "started": own.started}))
    (folder / "cluster.tmp").rename(folder / "cluster.json")
    while all(process.poll() is None for process in started):
        # It gives up when nobody answers at first.
        if len(started) == len(first) and answers(folder, port):
            started.append(start(manager))
        time.sleep(0.2)
    end()
    os._exit(1)


def answers(folder: Path, port: int) -> bool:
    context = ssl.create_default_context(cafile=str(folder / "kubernetes" / "ca.crt"))
    try:
        with urllib.request.urlopen(f"https://127.0.0.1:{port}/readyz", timeout=2, context=context) as answer:
            return answer.read() == b"ok"
    except OSError:
        return False


def open_cluster(folder: Path) -> None:
    """Start it and wait until it answers. The programs are built first, where they are not there."""
    close_cluster(folder)
    folder.mkdir(parents=True, exist_ok=True)
    programs.build(SETTINGS, PROGRAMS)
    with (folder / "cluster.log").open("wb") as log:
        command = [sys.executable, "-m", "tests.molecule.cluster", "serve", folder]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + START_SECONDS
    file = folder / "cluster.json"
    while not (file.exists() and answers(folder, json.loads(file.read_text())["port"])):
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the Kubernetes API does not start:\n{(folder / 'cluster.log').read_text()[-4000:]}")
        time.sleep(0.2)
    shutil.copyfile(folder / "kubernetes" / "admin.json", folder / "kubeconfig")
    (folder / "kubeconfig").chmod(0o600)
    # The controller manager's first work. Until it is done no pod is admitted.
    awaited = ["wait", "--for=create", "serviceaccount/default", f"--timeout={START_SECONDS}s"]
    subprocess.run([VENV_BIN / "kubectl", "--kubeconfig", folder / "kubeconfig", *awaited], check=True, capture_output=True)


def close_cluster(folder: Path) -> None:
    file = folder / "cluster.json"
    if file.exists():
        found = json.loads(file.read_text())
        stop([Process(found["pid"], found["started"])])
        file.unlink()
    for name in ("kubernetes", "etcd"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "kubeconfig").unlink(missing_ok=True)


if __name__ == "__main__":
    {"serve": serve, "open": open_cluster, "close": close_cluster}[sys.argv[1]](Path(sys.argv[2]))
