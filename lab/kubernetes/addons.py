"""EKS's add-ons in a cluster: what they install, and how they fare."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

import yaml

from lab.kubernetes import images, programs
from lab.kubernetes.api_client import ApiClient, place
from lab.kubernetes.control_plane import dns_address
from lab.settings import Settings

MANIFESTS = Path(__file__).parent / "manifests"
ECR = "602401143452.dkr.ecr.us-east-1.amazonaws.com"
# Processes of every node of the lab, where EKS has DaemonSets; and the agent, which is the lab's own server.
BUILT_IN = ("vpc-cni", "kube-proxy", "eks-pod-identity-agent")
# By add-on: the program, and the name of the number of replicas among its configuration values.
INSTALLED = {"coredns": (programs.COREDNS, "replicaCount"), "metrics-server": (programs.METRICS_SERVER, "replicas")}
REPLICAS = 2
# EKS gives an add-on this long to become ready.
PATIENCE_SECONDS = 15 * 60


class Addons:
    """The add-ons of one cluster."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.applied: dict[str, str] = {}
        self.since: dict[str, float] = {}

    def converge(self, cluster: dict, client: ApiClient) -> dict[str, dict]:
        """Install and remove; returns what is new as EKS words it: status and issues by add-on."""
        news = {}
        for addon in cluster["addons"]:
            status, issues = self._step(addon, cluster, client)
            if status != addon["status"] or issues:
                news[addon["name"]] = {"status": status, "issues": issues}
        return news

    def _step(self, addon: dict, cluster: dict, client: ApiClient) -> tuple[str, list[dict]]:
        name = addon["name"]
        if addon["status"] == "DELETING":
            if name in INSTALLED and not addon["preserve"]:
                for wanted in reversed(manifest(name, cluster, {})):
                    client.delete(place(wanted))
            self.applied.pop(name, None)
            self.since.pop(name, None)
            return "deleted", []
        if name in BUILT_IN:
            return "ACTIVE", []
        if name not in INSTALLED:
            return "CREATE_FAILED", [issue("AdmissionRequestDenied", f"The lab has nothing that {name} could manage.")]
        wanted = manifest(name, cluster, addon["configuration"])
        text = yaml.safe_dump(wanted)
        if self.applied.get(name) != text:
            if programs.missing(self.settings, (INSTALLED[name][0],)):
                # It is being built.
                return addon["status"], []
            for entry in wanted:
                client.apply(entry)
            self.applied[name], self.since[name] = text, time.monotonic()
        return self._status(name, addon["status"], client)

    def _status(self, name: str, known: str, client: ApiClient) -> tuple[str, list[dict]]:
        deployment = client.get(f"/apis/apps/v1/namespaces/kube-system/deployments/{name}") or {"spec": {}, "status": {}}
        wanted, status = deployment["spec"].get("replicas", 1), deployment["status"]
        if status.get("availableReplicas", 0) >= wanted and status.get("updatedReplicas", 0) >= wanted:
            return "ACTIVE", []
        waited = time.monotonic() - self.since.get(name, time.monotonic())
        if known == "CREATING" and waited < self.settings.scaled(PATIENCE_SECONDS):
            return "CREATING", []
        if known == "ACTIVE" and status.get("availableReplicas", 0) >= 1:
            # One of several is being moved: EKS says nothing of that.
            return "ACTIVE", []
        return "DEGRADED", [issue("InsufficientNumberOfReplicas", f"The add-on is unhealthy because it doesn't have {wanted} replicas.")]


def issue(code: str, message: str) -> dict:
    return {"code": code, "message": message, "resourceIds": []}


def manifest(name: str, cluster: dict, configuration: dict) -> list[dict]:
    """The add-on's objects. Of the configuration only the number of replicas is looked at."""
    program, replicas = INSTALLED[name]
    image = next(image for image in images.PROGRAM_IMAGES if image.program is program)
    text = _text(name)
    for word, value in {
        "REPLICAS": str(int(configuration.get(replicas, REPLICAS))),
        "IMAGE": f"{ECR}/{image.repository}:{image.tag}",
        "ADDRESS": dns_address(cluster["service_cidr"]),
    }.items():
        text = text.replace(f": {word}\n", f": {value}\n")
    return list(yaml.safe_load_all(text))


@cache
def _text(name: str) -> str:
    return (MANIFESTS / f"{name}.yml").read_text()
