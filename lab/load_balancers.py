"""Elastic Load Balancing's data plane: an HAProxy in a container for every application load balancer."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import time
from pathlib import Path

from lab import control, haproxy, network, tls
from lab.controller import Controller
from lab.haproxy_config import (
    ERRORS,
    as_server,
    backend_name,
    certificate_file,
    error_page,
    render,
    server_options,
    spare_options,
    with_servers,
)
from lab.haproxy_socket import RuntimeSocket
from lab.podman import LABEL, containers, podman
from lab.settings import SETTINGS, Settings

START_TIMEOUT_SECONDS = 15
# State, reason code, description.
Health = tuple[str, str | None, str | None]
HEALTHY: Health = ("healthy", None, None)
INITIAL: Health = ("initial", "Elb.InitialHealthChecking", None)
# Of HAProxy's checks.
PASSED = ("L4OK", "L6OK", "L7OK", "L7OKC")


def urls(settings: Settings = SETTINGS) -> dict[str, dict[int, str]]:
    """Where this machine reaches each load balancer: by its DNS name, the listener's port and the URL on loopback."""
    return {
        found["Labels"]["espalier.dns_name"]: {
            int(port): f"{'https' if port == '443' else 'http'}://127.0.0.1:{local}"
            for port, local in json.loads(found["Labels"]["espalier.ports"]).items()
        }
        for found in containers("load_balancer")
        if settings.network in found["Networks"]
    }


class LoadBalancers(Controller):
    name = "load_balancers"

    def __init__(self, settings: Settings = SETTINGS) -> None:
        super().__init__(settings)
        self.known: set[str] | None = None
        # Ports of this machine by load balancer, as its container's label tells.
        self.ports: dict[str, dict[int, int]] = {}

    def reconcile(self) -> None:
        model = control.call("elbv2_model", settings=self.settings)
        for load_balancer in model["load_balancers"]:
            # A group that is forwarded to belongs to one load balancer only, as on AWS.
            wanted = {action_arn for action_arn in target_group_arns(load_balancer)}
            groups = {arn: group for arn, group in model["target_groups"].items() if arn in wanted}
            try:
                self._converge(load_balancer, groups)
            except Exception:
                self.log.exception("%s: failed, tried again in %s s", load_balancer["name"], self.interval_seconds)
        arns = {load_balancer["arn"] for load_balancer in model["load_balancers"]}
        if arns != self.known or model["leaving"]:
            self._remove_orphans(arns)
            control.call("elbv2_report", settings=self.settings, removed=model["leaving"])
            self.known = arns

    def _converge(self, load_balancer: dict, groups: dict[str, dict]) -> None:
        folder = self._folder(load_balancer)
        runtime = RuntimeSocket(folder / "run")
        fresh = not self._serves(load_balancer, runtime)
        if fresh:
            self._report(load_balancer, "provisioning")
            self._start(load_balancer, groups, runtime)
        else:
            self._reload(load_balancer, groups, runtime)
        self._report_health(groups, self._sync_servers(groups, runtime, fresh))
        self._report(load_balancer, "active")

    def _report(self, load_balancer: dict, state: str) -> None:
        if load_balancer["state"] != state:
            control.call("elbv2_report", settings=self.settings, states={load_balancer["arn"]: state})
            self.log.info("%s: %s -> %s", load_balancer["name"], load_balancer["state"], state)
            load_balancer["state"] = state

    def _report_health(self, groups: dict[str, dict], found: dict[str, dict[str, Health]]) -> None:
        """Tell the API what is new in what the checks found."""
        news: dict[str, dict[str, Health]] = {}
        for arn, group in groups.items():
            for target in group["targets"]:
                health = found[arn].get(target["id"])
                if health and health != tuple(target["health"]):
                    news.setdefault(arn, {})[target["id"]] = health
                    self.log.info("%s: %s is %s", group["name"], target["id"], ", ".join(word for word in health if word))
        if news:
            control.call("elbv2_report", settings=self.settings, health=news)

    # --- the process

    def _serves(self, load_balancer: dict, runtime: RuntimeSocket) -> bool:
        """Whether this very load balancer's HAProxy answers; its ports are learnt at the first look."""
        if load_balancer["arn"] not in self.ports:
            for found in containers("load_balancer"):
                labels = found["Labels"]
                if labels.get("espalier.arn") == load_balancer["arn"] and labels.get("espalier.wanted") == wanted(load_balancer):
                    self.ports[load_balancer["arn"]] = {int(port): local for port, local in json.loads(labels["espalier.ports"]).items()}
        try:
            runtime.process()
        except OSError:
            return False
        return load_balancer["arn"] in self.ports

    def _start(self, load_balancer: dict, groups: dict[str, dict], runtime: RuntimeSocket) -> None:
        """A new container or a dead one's successor. It begins without servers: each has to pass its checks again."""
        name, folder = f"espalier-load-balancer-{load_balancer['name']}", self._folder(load_balancer)
        podman("rm", "--force", "--time", "1", "--ignore", name)
        shutil.rmtree(folder, ignore_errors=True)
        for path in (folder / "etc" / "errors", folder / "etc" / "certificates", folder / "run"):
            path.mkdir(parents=True, mode=0o755)
        os.chown(folder / "run", haproxy.UID, haproxy.UID)
        for status in ERRORS:
            (folder / "etc" / "errors" / f"{status}.http").write_bytes(error_page(status).encode())
        self.ports.pop(load_balancer["arn"], None)
        ports = self.ports[load_balancer["arn"]] = self._free_ports()
        self._write_configuration(load_balancer, groups, {})
        podman(
            "run", "--detach", "--name", name, "--hostname", load_balancer["name"], "--user", str(haproxy.UID), "--cap-drop", "all",
            "--label", f"{LABEL}=load_balancer", "--label", f"espalier.id={load_balancer['name']}",
            "--label", f"espalier.arn={load_balancer['arn']}", "--label", f"espalier.dns_name={load_balancer['dns_name']}",
            "--label", f"espalier.wanted={wanted(load_balancer)}", "--label", f"espalier.ports={json.dumps(ports)}",
            *network.at(load_balancer["private_address"], self.settings), "--network-alias", load_balancer["dns_name"],
            # HAProxy needs no capability when low ports are free to all.
            "--sysctl", "net.ipv4.ip_unprivileged_port_start=0", "--stop-signal", "SIGUSR1",
            *(f"--publish=127.0.0.1:{local}:{port}" for port, local in ports.items()),
            "--volume", f"{folder / 'etc'}:/etc/haproxy:ro", "--volume", f"{folder / 'run'}:/run/haproxy",
            haproxy.IMAGE.tag, "haproxy", "-W", "-db", "-f", "/etc/haproxy/haproxy.cfg",
        )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._serves(load_balancer, runtime):
            if time.monotonic() > deadline:
                logs = podman("logs", "--tail", "10", name, check=False)
                raise RuntimeError(f"HAProxy does not start: {(logs.stdout + logs.stderr).decode(errors='replace').strip()}")
            time.sleep(0.2)
        (folder / "applied").write_text(digest(self._render(load_balancer, groups)))
        self.log.info("%s: serves, port 80 is 127.0.0.1:%s and 443 is 127.0.0.1:%s", load_balancer["name"], ports[80], ports[443])

    def _reload(self, load_balancer: dict, groups: dict[str, dict], runtime: RuntimeSocket) -> None:
        """Take over new listeners, rules and check settings, when there are any. Connections and what the checks found are kept."""
        folder, name = self._folder(load_balancer), f"espalier-load-balancer-{load_balancer['name']}"
        text = self._render(load_balancer, groups)
        applied = folder / "applied"
        if applied.exists() and applied.read_text() == digest(text):
            return
        present = {backend: set(rows) for backend, rows in runtime.servers().items()}
        (folder / "etc" / "servers.state").write_text(runtime.command("show servers state"))
        self._write_configuration(load_balancer, groups, present)
        podman("exec", name, "haproxy", "-c", "-q", "-f", "/etc/haproxy/haproxy.cfg")
        before = runtime.process()
        podman("kill", "--signal", "USR2", name)
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not changed(runtime, before):
            if time.monotonic() > deadline:
                raise RuntimeError("HAProxy does not take the new configuration")
            time.sleep(0.1)
        applied.write_text(digest(text))
        self.log.info("%s: reloaded", load_balancer["name"])

    def _render(self, load_balancer: dict, groups: dict[str, dict]) -> str:
        return render(load_balancer, groups, self.ports[load_balancer["arn"]], self.settings.time_scale)

    def _write_configuration(self, load_balancer: dict, groups: dict[str, dict], present: dict[str, set[str]]) -> None:
        folder = self._folder(load_balancer)
        for listener in load_balancer["listeners"]:
            for certificate in listener["certificates"]:
                self._ensure_certificate(certificate, folder / "etc" / "certificates" / certificate_file(certificate))
        text = self._render(load_balancer, groups)
        (folder / "etc" / "servers.state").touch()
        (folder / "etc" / "haproxy.cfg").write_text(with_servers(text, present, groups, self.settings.time_scale))

    def _ensure_certificate(self, certificate: dict, path: Path) -> None:
        """An imported certificate as it is; in place of one that ACM issued, one of the lab's authority for the same names."""
        if path.exists():
            return
        answer = control.call("elbv2_certificate", settings=self.settings, arn=certificate["arn"])
        pem = answer["pem"].encode() if "pem" in answer else b"".join(tls.issue(answer["names"], self.settings))
        tls.write_secret(path, pem, haproxy.UID)

    def _free_ports(self) -> dict[int, int]:
        """The first pair of loopback ports that nothing listens on."""
        taken = {port for ports in self.ports.values() for port in ports.values()}
        for offset in range(100):
            ports = {80: self.settings.http_port + offset, 443: self.settings.https_port + offset}
            if not taken & set(ports.values()) and all(is_free(port) for port in ports.values()):
                return ports
        raise RuntimeError(f"no free port on 127.0.0.1 from {self.settings.http_port} on")

    # --- the targets

    def _sync_servers(self, groups: dict[str, dict], runtime: RuntimeSocket, fresh: bool) -> dict[str, dict[str, Health]]:
        """Make HAProxy's servers those of the target groups; returns each target's health as it is now."""
        rows, found = runtime.servers(), {}
        for arn, group in groups.items():
            backend, present = backend_name(group), dict(rows.get(backend_name(group), {}))
            found[arn] = {}
            for target in group["targets"]:
                server = as_server(target)
                if server is None:
                    continue
                row, spare = present.pop(server.name, None), present.pop(server.spare_name, None)
                if target["draining"]:
                    self._drain(arn, target, runtime, backend, [drained for drained in (row, spare) if drained])
                    continue
                if row is None:
                    runtime.add(backend, server, server_options(group, self.settings.time_scale))
                    health = INITIAL
                elif row["status"].startswith(("MAINT", "DRAIN")):
                    # Registered again before it was gone: as new, at the next pass.
                    runtime.remove(backend, server.name)
                    health = ("initial", "Elb.RegistrationInProgress", None)
                else:
                    before = INITIAL if fresh else tuple(target["health"])
                    health = health_of(row, before, group["health_check"], self.settings.time_scale)
                    if health == HEALTHY and not row["status"].startswith("UP"):
                        runtime.take_into_service(backend, server.name)
                found[arn][target["id"]] = health
                if spare is None and health[0] in ("healthy", "unhealthy"):
                    runtime.add_spare(backend, server, spare_options(group))
                elif spare is not None and (health[0] == "initial" or spare["status"].startswith(("MAINT", "DRAIN"))):
                    runtime.remove(backend, server.spare_name)
            for name in present:
                runtime.remove(backend, name)
        return found

    def _drain(self, arn: str, target: dict, runtime: RuntimeSocket, backend: str, rows: list[dict[str, str]]) -> None:
        """No new requests; the API hears whether some are under way."""
        for row in rows:
            if "DRAIN" not in row["status"]:
                runtime.drain(backend, row["svname"])
        busy = any(int(row["scur"] or 0) + int(row["qcur"] or 0) for row in rows)
        if busy != target["busy"]:
            control.call("elbv2_report", settings=self.settings, busy={arn: {target["id"]: busy}})

    def _remove_orphans(self, arns: set[str]) -> None:
        """Containers whose load balancer is gone."""
        for found in containers("load_balancer"):
            if self.settings.network in found["Networks"] and found["Labels"]["espalier.arn"] not in arns:
                podman("rm", "--force", "--time", "1", found["Id"])
                shutil.rmtree(self.settings.state / "load_balancers" / found["Labels"]["espalier.id"], ignore_errors=True)
                self.log.info("%s: removed", found["Labels"]["espalier.id"])
        self.ports = {arn: ports for arn, ports in self.ports.items() if arn in arns}

    def _folder(self, load_balancer: dict) -> Path:
        return self.settings.state / "load_balancers" / load_balancer["name"]


def target_group_arns(load_balancer: dict) -> set[str]:
    """The target groups that the load balancer's rules forward to."""
    actions = (action for listener in load_balancer["listeners"] for rule in listener["rules"] for action in rule["actions"])
    found = set()
    for action in actions:
        found |= {group["TargetGroupArn"] for group in (action.get("ForwardConfig") or {}).get("TargetGroups") or []}
        found |= {action["TargetGroupArn"]} if action.get("TargetGroupArn") else set()
    return found


def health_of(row: dict[str, str], before: Health, check: dict, scale: float) -> Health:
    """A target's health in AWS's words.

    `row` is HAProxy's (`show stat`), `before` what the API holds. A new target is `initial` until it passed one check, whatever the
    threshold, or failed as long as makes a healthy one unhealthy:
    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html
    """
    if row["status"].startswith("UP"):
        return HEALTHY
    check_status = row["check_status"].lstrip("* ")
    failing = check_status not in ("", "INI", *PASSED)
    if before[0] == "initial":
        if check_status in PASSED:
            return HEALTHY
        patience = check["unhealthy"] * check["interval"] / scale + check["timeout"]
        return ("unhealthy", *failure(row)) if failing and int(row["lastchg"] or 0) >= patience else INITIAL
    # On its way up again: still unhealthy, for the reason that it was.
    return ("unhealthy", *failure(row)) if failing or before[0] == "healthy" else before


def failure(row: dict[str, str]) -> tuple[str, str]:
    """AWS's reason code and description for what a check of HAProxy found."""
    status = row["check_status"].lstrip("* ")
    if status == "L7STS":
        return ("Target.ResponseCodeMismatch", f"Health checks failed with these codes: [{row['check_code']}]")
    if status.endswith("TOUT"):
        return ("Target.Timeout", "Request timed out")
    return ("Target.FailedHealthChecks", "Health checks failed")


def wanted(load_balancer: dict) -> str:
    """What a container is made for; another answer needs another container."""
    return digest(json.dumps([haproxy.IMAGE.tag, load_balancer["dns_name"], load_balancer["private_address"]]))


def changed(runtime: RuntimeSocket, before: str) -> bool:
    try:
        return runtime.process() != before
    except OSError:
        return False


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_free(port: int) -> bool:
    """Whether nothing listens there. podman's published ports are the kernel's: only a connection shows them."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) != 0
