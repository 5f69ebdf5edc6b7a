"""EKS's data plane: a control plane for every cluster, a node for every instance of a node group, add-ons and access entries."""

from __future__ import annotations

import json
import threading
import time

from lab import control
from lab.controller import Controller
from lab.go import BuildError
from lab.kubernetes import access, control_plane, foreign, kernel, nodes, pki, programs
from lab.kubernetes.addons import Addons
from lab.kubernetes.api_client import ApiError
from lab.kubernetes.control_plane import KIND, ControlPlane
from lab.podman import containers, podman
from lab.processes import Process
from lab.settings import SETTINGS, Settings

# How often a cluster at rest is looked at.
REST_SECONDS = 5


class Clusters(Controller):
    name = "clusters"

    def __init__(self, settings: Settings = SETTINGS) -> None:
        super().__init__(settings)
        self.running: dict[str, Process] = {}
        self.planes: dict[str, ControlPlane] = {}
        self.addons: dict[str, Addons] = {}
        # Of each cluster: what was bound last, and when it was looked at last.
        self.bound: dict[str, str] = {}
        self.looked: dict[str, float] = {}
        self.known: set[str] | None = None
        self.failure = ""
        self.foreign = foreign.Foreign(settings, self.report) if foreign.given(settings) else None

    def run(self) -> None:
        """The programs are built beside the first passes."""
        if self.foreign:
            self.log.warning("%s", foreign.words(self.settings))
        else:
            threading.Thread(target=self.build, daemon=True).start()
        super().run()

    def build(self) -> None:
        try:
            programs.build(self.settings, tell=self.tell)
            link = self.settings.state / "bin" / programs.PROMTOOL.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(programs.path(programs.PROMTOOL, self.settings))
            self.tell("Kubernetes: all programs are there")
        except (BuildError, OSError) as error:
            self.failure = str(error)
            self.log.error("%s", error)
            self.tell(f"Kubernetes: cannot be built; see: python -m lab logs {self.name}")

    def tell(self, text: str) -> None:
        """A line of progress: into the log, and where `lab status` finds it."""
        self.log.info("%s", text)
        file = progress_file(self.settings)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    # --- one pass

    def reconcile(self) -> None:
        clusters = control.call("eks_model", settings=self.settings)["clusters"]
        names = {cluster["name"] for cluster in clusters}
        if names != self.known and not self.foreign:
            self.remove_orphans(names)
            self.known = names
        for cluster in clusters:
            try:
                self.converge(cluster)
            except (ApiError, OSError) as error:
                self.log.warning("%s: %s; tried again", cluster["name"], error)
            except Exception:
                self.log.exception("%s: failed, tried again", cluster["name"])

    def converge(self, cluster: dict) -> None:
        if self.foreign:
            self.foreign.converge(cluster)
            return
        plane = control_plane.known(self.planes, cluster, self.settings)
        if cluster["status"] == "DELETING":
            self.remove(plane, cluster)
        elif cluster["status"] == "CREATING":
            self.create(plane)
        elif cluster["status"] == "ACTIVE":
            self.keep(plane, cluster)

    def create(self, plane: ControlPlane) -> None:
        if programs.missing(self.settings, programs.CONTROL_PLANE):
            if self.failure:
                self.report(plane.name, was="CREATING", status="FAILED")
            return
        if not self.alive(plane.container):
            self.log.info("%s: starting the control plane", plane.name)
            plane.ensure()
            self.learn(plane.container)
        if plane.client.ready():
            authority = plane.authority.encoded
            self.report(plane.name, was="CREATING", status="ACTIVE", endpoint=plane.endpoint, certificate_authority=authority)
            self.log.info("%s: CREATING -> ACTIVE, %s", plane.name, plane.endpoint)

    def keep(self, plane: ControlPlane, cluster: dict) -> None:
        if not self.alive(plane.container):
            plane.ensure()
            self.learn(plane.container)
        self.keep_nodes(plane, cluster)
        restless = (
            any(addon["status"] in ("CREATING", "UPDATING", "DELETING") for addon in cluster["addons"])
            or json.dumps(cluster["policies"]) != self.bound.get(plane.name)
            or {node["id"] for node in cluster["nodes"] if node["state"] != "shutting-down"} != set(cluster["ready_nodes"])
        )
        now = time.monotonic()
        if not restless and now - self.looked.get(plane.name, 0) < REST_SECONDS:
            return
        self.looked[plane.name] = now
        client = plane.client
        self.keep_access(plane, cluster, client)
        self.report_nodes(cluster, client)
        news = self.addons.setdefault(plane.name, Addons(self.settings)).converge(cluster, client)
        if news:
            self.report(plane.name, addons=news)
            for name, found in news.items():
                self.log.info("%s: add-on %s is %s", plane.name, name, found["status"])

    def keep_access(self, plane: ControlPlane, cluster: dict, client) -> None:
        wanted = json.dumps(cluster["policies"])
        if self.bound.get(plane.name) == wanted:
            return
        if plane.name not in self.bound:
            client.apply(webhooks(plane, self.settings))
        if access.converge(cluster["policies"], client):
            self.bound[plane.name] = wanted

    # --- nodes

    def keep_nodes(self, plane: ControlPlane, cluster: dict) -> None:
        for node in cluster["nodes"]:
            container = nodes.container_name(node, self.settings)
            if node["leaving"] and self.alive(container):
                if nodes.drain(plane.client, node["name"]):
                    self.report(plane.name, drained=[node["id"]])
                    self.log.info("%s: the node %s is drained", plane.name, node["name"])
            elif node["state"] in ("pending", "running"):
                if programs.missing(self.settings, programs.NODE):
                    continue
                if not self.alive(container):
                    self.log.info("%s: bringing up the node %s", plane.name, node["name"])
                    if trouble := kernel.trouble():
                        self.log.warning("%s", trouble)
                    nodes.bring_up(plane, node)
                    self.learn(container)
                if node["state"] == "pending":
                    control.call("machine_state", settings=self.settings, id=node["id"], state="running")
            elif node["state"] == "stopping":
                podman("stop", "--time", "3", "--ignore", container)
                self.running.pop(container, None)
                control.call("machine_state", settings=self.settings, id=node["id"], state="stopped")
            elif node["state"] == "shutting-down":
                self.remove_node(plane, node)

    def remove_node(self, plane: ControlPlane, node: dict) -> None:
        nodes.remove(plane, node["id"])
        self.running.pop(nodes.container_name(node, self.settings), None)
        # As AWS's cloud controller does it for an instance that is gone.
        plane.client.delete(f"/api/v1/nodes/{node['name']}")
        control.call("machine_state", settings=self.settings, id=node["id"], state="terminated")
        self.log.info("%s: the node %s is gone", plane.name, node["name"])

    def report_nodes(self, cluster: dict, client) -> None:
        ids = {node["name"]: node["id"] for node in cluster["nodes"]}
        found = client.items("/api/v1/nodes")
        ready = sorted(ids[node["metadata"]["name"]] for node in found if node["metadata"]["name"] in ids and nodes.is_ready(node))
        if ready != sorted(cluster["ready_nodes"]):
            self.report(cluster["name"], ready_nodes=ready)
            self.log.info("%s: %d of %d nodes are Ready", cluster["name"], len(ready), len(ids))
        for node in found:
            if node["metadata"]["name"] not in ids:
                client.delete(f"/api/v1/nodes/{node['metadata']['name']}")

    # --- removal

    def remove(self, plane: ControlPlane, cluster: dict) -> None:
        for node in cluster["nodes"]:
            nodes.remove(plane, node["id"])
        plane.remove()
        self.running.pop(plane.container, None)
        for memory in (self.planes, self.addons, self.bound, self.looked):
            memory.pop(plane.name, None)
        self.report(plane.name, was="DELETING", status="deleted")
        self.log.info("%s: deleted", plane.name)

    def remove_orphans(self, names: set[str]) -> None:
        """Containers whose cluster is gone, nodes with their cluster."""
        for kind, label in ((nodes.KIND, "espalier.cluster"), (KIND, "espalier.id")):
            for container in containers(kind):
                if self.settings.network in container["Networks"] and container["Labels"][label] not in names:
                    self.log.info("%s: removing the orphan", container["Names"][0])
                    podman("rm", "--force", "--volumes", "--time", "2", container["Id"], timeout=180)

    # --- helpers

    def report(self, name: str, **news) -> None:
        control.call("eks_report", settings=self.settings, name=name, **news)

    def alive(self, container: str) -> bool:
        process = self.running.get(container)
        if process is None and podman("container", "exists", container, check=False).returncode == 0:
            self.learn(container)
            process = self.running.get(container)
        return process is not None and process.alive()

    def learn(self, container: str) -> None:
        found = podman("inspect", "--type", "container", "--format", "{{.State.Pid}}", container, check=False)
        pid = int(found.stdout or 0)
        if pid:
            self.running[container] = Process.of(pid)


def progress_file(settings: Settings):
    return settings.state / "kubernetes" / "progress"


def webhooks(plane: ControlPlane, settings: Settings) -> dict:
    """EKS's own, by which pods learn of their identity, and the load balancer controller's, which adds readiness gates."""
    authority = pki.Authority(settings.state / "kubernetes", "gateway")
    place = f"https://{settings.gateway}:{settings.cluster_port}/clusters/{plane.name}"

    def webhook(name: str, path: str, **more) -> dict:
        return {
            "name": name,
            "clientConfig": {"url": f"{place}/{path}", "caBundle": authority.encoded},
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "scope": "Namespaced"}],
            "failurePolicy": "Ignore",
            "sideEffects": "None",
            "timeoutSeconds": 5,
            "admissionReviewVersions": ["v1"],
            **more,
        }

    gated = {"matchLabels": {"elbv2.k8s.aws/pod-readiness-gate-inject": "enabled"}}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "espalier-lab"},
        "webhooks": [
            webhook("pod-identity.amazonaws.com", "pods"),
            webhook("mpod.elbv2.k8s.aws", "targets", namespaceSelector=gated),
        ],
    }
