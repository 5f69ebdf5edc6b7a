"""`lab up` and `lab down`: starts the parts, repairs what died, cleans what another lab left, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

from lab import control, network
from lab.parts import PARTS, wanted
from lab.podman import IMAGES, LABEL, podman
from lab.processes import MARK, Process, marked, stop
from lab.settings import SETTINGS, Settings

# Of the machine, not of a clone: podman's network and the ports are the machine's too. Gone after a reboot, as the lab is.
RECORD = Path("/run/espalier/lab.json")
LOCK = Path("/run/espalier/lock")
START_SECONDS = 60
LOG_BYTES = 20 << 20
# Of .lab, when the account is gone: what tells how it went, and what is no part of it.
KEPT = ("log", "bin")


class LabError(RuntimeError):
    """The lab cannot do what was asked; the message says why and what to do."""


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """One `lab up` or `lab down` at a time on the machine; the second waits for the first."""
    if os.geteuid() != 0:
        raise LabError("the lab needs root: podman's bridge, systemd in containers and firewall rules. Run it as root.")
    LOCK.parent.mkdir(mode=0o755, exist_ok=True)
    with LOCK.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another `lab` command is at work, waiting for it ...", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Supervisor:
    def __init__(self, settings: Settings = SETTINGS) -> None:
        self.settings = settings

    # --- commands

    def build(self) -> None:
        """Make sure of everything that is built and cached. Quick when it is there."""
        from lab import haproxy, image, postgresql, session_client

        builders = [image, session_client, postgresql, haproxy]
        if self.settings.kubernetes:
            from lab import python_image
            from lab.kubernetes import image as kubernetes_image

            builders += [kubernetes_image, python_image]
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            # list(): the first failure is raised here.
            list(pool.map(lambda builder: builder.build(self.settings), builders))

    def up(self) -> None:
        """Bring the lab up, or repair it. Raises LabError when it cannot start."""
        with locked():
            self.check_machine()
            running = self.running()
            self.refuse_second()
            given = self.given_cluster(running)
            if "api" not in running:
                self.start_empty()
                running = {}
            elif (self.settings.state / "kubernetes").is_dir():
                # Once asked for, it is repaired with the rest.
                self.settings = replace(self.settings, kubernetes=True)
            self.adopt(given)
            self.check_ports(running)
            self.build()
            network.ensure(self.settings)
            if self.settings.kubernetes:
                # inventories/lab goes by it.
                (self.settings.state / "kubernetes").mkdir(parents=True, exist_ok=True)
            missing = [part for part in wanted(self.settings) if part not in running]
            for part in missing:
                running[part] = self.start(part)
                self.write_record(running)
                if part == "api":
                    # All others read it.
                    self.await_parts(running, "api")
            self.await_parts(running, *(part for part in ("metadata", "session_manager", "registry", "cluster_gateway") if part in running))
            if missing:
                print(f"lab: started {', '.join(missing)}", flush=True)
            self.tell_of_kubernetes()
            print(f"lab: up, AWS API at {self.settings.api_url}, time scale {self.settings.time_scale:g}", flush=True)

    def down(self) -> None:
        """Remove everything of the lab but the caches. Without effect when there is none."""
        with locked():
            record, mine = read_record(), str(self.settings.root)
            if record and record["root"] != mine and api_of(record):
                print(f"lab: not of this clone: the lab of {record['root']} runs and is left alone.")
                removed = self.stop_processes(lambda root: root == mine)
            else:
                removed = self.clean()
            if self.settings.state.exists():
                shutil.rmtree(self.settings.state)
                removed.append(".lab")
            print(f"lab: down, removed {', '.join(removed)}" if removed else "lab: down, there was nothing to remove", flush=True)

    def given_cluster(self, running: dict[str, Process]) -> dict | None:
        """The cluster of ESPALIER_KUBECONFIG, where it is not known yet. Raises LabError when it cannot be used, or comes too late."""
        if not self.settings.kubeconfig or not self.settings.kubernetes:
            return None
        from lab.kubernetes import foreign

        try:
            config = foreign.read(Path(self.settings.kubeconfig).expanduser().absolute())
        except foreign.ForeignError as error:
            raise LabError(str(error)) from None
        if "api" in running and foreign.known(self.settings) == config:
            return None
        if "api" in running and (self.settings.state / "kubernetes").is_dir():
            raise LabError("the lab runs, with another cluster than that of ESPALIER_KUBECONFIG. Remove it first: make lab-down")
        return config

    def adopt(self, config: dict | None) -> None:
        from lab.kubernetes import foreign

        try:
            if config:
                foreign.adopt(config, self.settings)
        except foreign.ForeignError as error:
            raise LabError(str(error)) from None

    def tell_of_kubernetes(self) -> None:
        """The first time, Kubernetes is built while everything else goes on. What it asks of the machine's kernel is looked at, too."""
        if self.settings.kubernetes:
            from lab.kubernetes import foreign, kernel, programs

            if foreign.given(self.settings):
                print(foreign.words(self.settings), flush=True)
                return
            trouble = kernel.trouble()
            if trouble:
                print(f"lab: WARNING: {trouble}", flush=True)
            missing = programs.missing(self.settings)
            if missing:
                print(f"lab: building {len(missing)} programs of Kubernetes in the background, see: python -m lab progress", flush=True)

    # --- what there is

    def running(self) -> dict[str, Process]:
        """This clone's living parts by name."""
        found = {}
        for part in PARTS:
            process = read_pid(self.settings, part)
            if process and process.alive():
                found[part] = process
        return found

    def check_machine(self) -> None:
        missing = [name for name in ("podman", "runc", "iptables", "nft") if not shutil.which(name)]
        if missing:
            packages = ["nftables" if name == "nft" else name for name in missing]
            raise LabError(f"{', '.join(missing)} not found. Run: apt-get install {' '.join(packages)} (or bin/setup lab)")

    def refuse_second(self) -> None:
        """Two labs would fight for the ports and the network's addresses."""
        record = read_record()
        if record and record["root"] != str(self.settings.root):
            api = api_of(record)
            if api:
                since = f"{api.since() / 60:.0f} min"
                raise LabError(
                    f"a machine can have one lab, and the one of {record['root']} runs (process {api.pid}, for {since}).\n"
                    f"Stop it: cd {record['root']} && make lab-down"
                )

    def start_empty(self) -> None:
        """The account is gone, or never was: what is left of one must not be taken for the new one's."""
        record = read_record()
        had = record is not None and record["root"] == str(self.settings.root)
        removed = self.clean()
        for entry in self.settings.state.glob("*"):
            if entry.name not in KEPT:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        if removed:
            why = (
                "the AWS API had died, and the account with it: the lab starts empty"
                if had
                else "a lab was left dead on this machine" + (f" by {record['root']}" if record else "")
            )
            print(f"lab: {why}; removed {', '.join(removed)}", flush=True)

    def check_ports(self, running: dict[str, Process]) -> None:
        settings = self.settings
        ports = {
            "api": [("127.0.0.1", settings.api_port), (settings.gateway, settings.api_port)],
            "metadata": [(settings.gateway, settings.metadata_port)],
            "session_manager": [("127.0.0.1", settings.session_port)],
            "cluster_gateway": [(settings.gateway, settings.cluster_port), (settings.gateway, settings.pod_identity_port)],
        }
        if not settings.kubernetes:
            del ports["cluster_gateway"]
        elif not self.has_container("registry"):
            ports["registry"] = [("127.0.0.1", settings.registry_port)]
        places = [place for part, found in ports.items() if part not in running for place in found]
        if not self.has_container("load_balancer"):
            places += [("127.0.0.1", settings.http_port), ("127.0.0.1", settings.https_port)]
        taken = [f"port {port} of {address} is taken by {owner(port)}" for address, port in places if not is_free(address, port)]
        if taken:
            raise LabError("\n".join(taken) + "\nStop what holds it, then run this again.")

    def has_container(self, kind: str) -> bool:
        """Whether one of this kind runs: it is what holds the port then."""
        filters = ("--filter", f"label={LABEL}={kind}", "--filter", f"network={self.settings.network}")
        return bool(podman("ps", "--quiet", *filters).stdout)

    # --- parts

    def start(self, part: str) -> Process:
        """Start one part as a process of its own, which outlives this one."""
        log = self.settings.logs / f"{part}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        with log.open("ab") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "lab", "run", part],
                cwd=self.settings.root,
                env={**os.environ, MARK: str(self.settings.root), "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process = Process.of(child.pid)
        file = pid_file(self.settings, part)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(asdict(process)))
        return process

    def await_parts(self, parts: dict[str, Process], *servers: str) -> None:
        """Wait until the servers answer. Raises LabError with the end of its log when a part died."""
        settings, deadline = self.settings, time.monotonic() + START_SECONDS
        probes = {
            "api": lambda: control.call("ping", settings=settings, timeout_seconds=2),
            "metadata": lambda: connect(settings.gateway, settings.metadata_port),
            "session_manager": lambda: connect("127.0.0.1", settings.session_port),
            "registry": lambda: connect("127.0.0.1", settings.registry_port),
            "cluster_gateway": lambda: connect(settings.gateway, settings.cluster_port),
        }
        waiting = {part: probes[part] for part in servers}
        while True:
            for part, process in parts.items():
                if not process.alive():
                    raise LabError(f"the part {part!r} died. The end of its log (python -m lab logs {part}):\n{tail(settings, part, 15)}")
            for part, probe in list(waiting.items()):
                with contextlib.suppress(OSError, urllib.error.URLError):
                    probe()
                    del waiting[part]
            if not waiting:
                return
            if time.monotonic() > deadline:
                raise LabError(f"{', '.join(waiting)} did not answer in {START_SECONDS} s. See: python -m lab logs {next(iter(waiting))}")
            time.sleep(0.1)

    # --- removal

    def clean(self) -> list[str]:
        """Remove every lab's processes, containers, volumes, network and rules from the machine; returns what was removed."""
        removed = self.stop_processes(lambda root: True)
        containers = ids("ps", "--all", "--quiet", "--filter", f"label={LABEL}", "--filter", f"network={self.settings.network}")
        if containers:
            remove = ("rm", "--force", "--ignore", "--volumes", "--time", "2", *containers)
            # podman 4.3 calls the state of a container that stops at the same moment improper.
            if podman(*remove, check=False).returncode:
                podman(*remove)
            removed.append(f"{len(containers)} container{'s' * (len(containers) > 1)}")
        images = ids("images", "--filter", f"reference={IMAGES}", "--format", "{{.Repository}}:{{.Tag}}")
        if images:
            podman("rmi", "--force", *images)
            removed.append(f"{len(images)} image{'s' * (len(images) > 1)} of instances")
        volumes = ids("volume", "ls", "--quiet", "--filter", f"label=espalier.network={self.settings.network}")
        if volumes:
            podman("volume", "rm", "--force", *volumes)
            removed.append(f"{len(volumes)} volume{'s' * (len(volumes) > 1)}")
        removed += network.remove(self.settings)
        RECORD.unlink(missing_ok=True)
        return removed

    def stop_processes(self, of) -> list[str]:
        """Stop the parts, and whatever else they started, of each clone that `of` accepts."""
        found = [process for process, root in marked().items() if of(root) and process.pid != os.getpid()]
        stop(found)
        left = [str(process.pid) for process in found if process.alive()]
        if left:
            raise LabError(f"these processes of the lab do not end: {', '.join(left)}")
        return [f"{len(found)} process{'es' * (len(found) > 1)}"] if found else []

    def write_record(self, parts: dict[str, Process]) -> None:
        RECORD.write_text(
            json.dumps({"root": str(self.settings.root), "parts": {part: asdict(process) for part, process in parts.items()}})
        )


def ids(*arguments: str) -> list[str]:
    return podman(*arguments).stdout.decode().split()


def pid_file(settings: Settings, part: str) -> Path:
    return settings.state / "run" / f"{part}.pid"


def read_pid(settings: Settings, part: str) -> Process | None:
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Process(**json.loads(pid_file(settings, part).read_text()))
    return None


def read_record() -> dict | None:
    with contextlib.suppress(OSError, ValueError):
        return json.loads(RECORD.read_text())
    return None


def api_of(record: dict) -> Process | None:
    """The living API process of a record: while it lives, so does the account. None for a clone that was removed: it has no stop."""
    process = Process(**record["parts"]["api"])
    return process if process.alive() and (Path(record["root"]) / "lab" / "supervisor.py").exists() else None


def is_free(address: str, port: int) -> bool:
    try:
        network.listen(address, port).close()
    except OSError:
        return False
    return True


def connect(address: str, port: int) -> None:
    """Raises OSError when nobody listens."""
    socket.create_connection((address, port), timeout=2).close()


def owner(port: int) -> str:
    """Who listens on a port: program and process id, as far as `ss` tells."""
    try:
        listed = subprocess.run(["ss", "-Hltnp", f"sport = :{port}"], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        listed = ""
    found = re.search(r'\("([^"]+)",pid=(\d+)', listed)
    return f"{found[1]} (process {found[2]})" if found else "another program"


def tail(settings: Settings, part: str, lines: int) -> str:
    """The last lines of a part's log."""
    try:
        return "\n".join((settings.logs / f"{part}.log").read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"
