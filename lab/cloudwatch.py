"""CloudWatch's eyes: CPU of instances and databases, and what the load balancers did, once for each of AWS's minutes."""

from __future__ import annotations

import time
from pathlib import Path

from lab import control
from lab.cgroups import cpu_file, cpu_seconds
from lab.controller import Controller
from lab.haproxy_log import Log
from lab.podman import PodmanError, podman
from lab.postgresql_client import Connection, DatabaseError
from lab.settings import SETTINGS, Settings

MINUTE_SECONDS = 60
GIB = 1 << 30
# All machines of the lab are t2.micro or db.t3.micro to whoever looks at them: percent of one processor.
PROCESSORS = 1


class CpuMeter:
    """CPU of one container between two looks, in percent."""

    def __init__(self, container: str) -> None:
        pid = int(podman("inspect", "--type", "container", "--format", "{{.State.Pid}}", container).stdout)
        self.file = cpu_file(pid)
        self.before = (time.monotonic(), cpu_seconds(self.file))

    def percent(self) -> float:
        """Raises OSError when the container has gone."""
        now = (time.monotonic(), cpu_seconds(self.file))
        (since, used), self.before = self.before, now
        return min(100.0, 100 * (now[1] - used) / max(now[0] - since, 0.001) / PROCESSORS)


class CloudWatch(Controller):
    name = "cloudwatch"

    def __init__(self, settings: Settings = SETTINGS) -> None:
        super().__init__(settings)
        self.interval_seconds = settings.scaled(MINUTE_SECONDS)
        self.meters: dict[str, CpuMeter] = {}
        self.logs: dict[str, Log] = {}

    def reconcile(self) -> None:
        machines = control.call("machines", settings=self.settings)["machines"]
        cpu = {found["id"]: self.cpu(f"espalier-instance-{found['id']}") for found in machines if found["state"] == "running"}
        databases = control.call("rds_instances", settings=self.settings)["instances"]
        load_balancers = control.call("elbv2_model", settings=self.settings)["load_balancers"]
        control.call(
            "cloudwatch_step",
            settings=self.settings,
            instances={name: percent for name, percent in cpu.items() if percent is not None},
            databases={found["identifier"]: self.database(found) for found in databases if found["status"] == "available"},
            load_balancers={found["arn"]: self.requests(found["name"]) for found in load_balancers if found["state"] == "active"},
        )

    def cpu(self, container: str) -> float | None:
        """Percent since the last look; None at the first one, and when there is no such container."""
        try:
            if container in self.meters:
                return self.meters[container].percent()
            self.meters[container] = CpuMeter(container)
        except (OSError, PodmanError, StopIteration):
            self.meters.pop(container, None)
        return None

    def database(self, found: dict) -> dict[str, float]:
        measured: dict[str, float] = {}
        percent = self.cpu(f"espalier-database-{found['identifier']}")
        if percent is not None:
            measured["CPUUtilization"] = percent
        folder = self.settings.state / "databases" / found["resource_id"] / "socket"
        try:
            with Connection(folder, found["port"], database="postgres") as connection:
                # As RDS counts: clients, not the server's own workers. This look is none.
                clients = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
                measured["DatabaseConnections"] = float(connection.query(clients)[0][0])
                used = connection.query("SELECT sum(pg_database_size(oid)) FROM pg_database")
                measured["FreeStorageSpace"] = found["allocated_gib"] * GIB - float(used[0][0])
        except (DatabaseError, OSError):
            self.log.warning("%s: cannot be asked", found["identifier"])
        return measured

    def requests(self, load_balancer: str) -> dict:
        """What went through since the last look; nothing at the first one."""
        try:
            if load_balancer in self.logs:
                return self.logs[load_balancer].read().body()
            container = f"espalier-load-balancer-{load_balancer}"
            path = podman("inspect", "--type", "container", "--format", "{{.HostConfig.LogConfig.Path}}", container).stdout.decode().strip()
            self.logs[load_balancer] = Log(Path(path))
        except (OSError, PodmanError):
            self.logs.pop(load_balancer, None)
        return {"counts": [], "seconds": {}}
