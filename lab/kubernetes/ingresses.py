"""In place of the AWS Load Balancer Controller: serves ingresses of class alb by load balancers of the lab's AWS."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from lab import control
from lab.controller import Controller
from lab.kubernetes import control_plane, foreign, ingress_model
from lab.kubernetes.api_client import ApiClient, ApiError
from lab.kubernetes.control_plane import ControlPlane
from lab.kubernetes.ingress_aws import Aws
from lab.kubernetes.ingress_model import Backend, ModelError, Stack
from lab.settings import SETTINGS, Settings

FINALIZER = "ingress.k8s.aws/resources"
INGRESSES = "/apis/networking.k8s.io/v1"
# A pass without ingresses costs little; one with some has to see new pods soon.
REST_SECONDS = 3


class Ingresses(Controller):
    name = "ingresses"

    def __init__(self, settings: Settings = SETTINGS) -> None:
        super().__init__(settings)
        self.planes: dict[str, ControlPlane] = {}
        self.foreign = foreign.client(settings) if foreign.given(settings) else None
        self.clients: dict[str, Any] = {}
        self.served: dict[tuple[str, str, str], Served] = {}
        self.rest_until: dict[str, float] = {}
        self.classed: set[str] = set()
        self.troubles: dict[tuple[str, str, str], str] = {}

    def client(self, service: str):
        """One for each service: making one costs more than what is asked of it in a pass."""
        if service not in self.clients:
            self.clients[service] = super().client(service)
        return self.clients[service]

    def reconcile(self) -> None:
        clusters = control.call("eks_model", settings=self.settings)["clusters"]
        for cluster in clusters:
            if cluster["status"] == "ACTIVE" and time.monotonic() >= self.rest_until.get(cluster["name"], 0):
                try:
                    self.converge(cluster)
                except (ApiError, OSError) as error:
                    self.log.warning("%s: %s; tried again", cluster["name"], error)
        names = {cluster["name"] for cluster in clusters}
        self.served = {key: served for key, served in self.served.items() if key[0] in names}
        self.classed &= names

    def converge(self, cluster: dict) -> None:
        name = cluster["name"]
        client = self.foreign or control_plane.known(self.planes, cluster, self.settings).client
        if name not in self.classed:
            client.apply(ingress_class())
            self.classed.add(name)
        found = [ingress for ingress in client.items(f"{INGRESSES}/ingresses") if ours(ingress)]
        for ingress in found:
            key = (name, ingress["metadata"]["namespace"], ingress["metadata"]["name"])
            try:
                if ingress["metadata"].get("deletionTimestamp"):
                    self.remove(cluster, client, ingress, key)
                else:
                    self.serve(cluster, client, ingress, key)
                self.troubles.pop(key, None)
            except (ModelError, ClientError) as error:
                self.complain(client, ingress, key, str(error))
        gates = self.settings.state / "kubernetes" / name / "gates.json"
        write_gates(gates, [served for key, served in self.served.items() if key[0] == name])
        if not found:
            self.rest_until[name] = time.monotonic() + REST_SECONDS

    def complain(self, client: ApiClient, ingress: dict, key: tuple[str, str, str], why: str) -> None:
        """Once for each trouble: into the log, and as an event where people look for it."""
        if self.troubles.get(key) != why:
            self.troubles[key] = why
            self.log.error("%s: %s", "/".join(key), why)
            event(client, ingress, "Warning", "FailedDeployModel", why)

    # --- one ingress

    def serve(self, cluster: dict, client: ApiClient, ingress: dict, key: tuple[str, str, str]) -> None:
        version = (ingress["metadata"]["uid"], ingress["metadata"]["generation"], json.dumps(ingress["metadata"].get("annotations", {})))
        served = self.served.get(key)
        if served is None or served.version != version:
            served = self.deploy(cluster, client, ingress, version)
            self.served[key] = served
        for backend, arn in served.groups.items():
            self.sync_targets(client, cluster, served.stack, backend, arn)
        known = ingress.get("status", {}).get("loadBalancer", {}).get("ingress") or []
        if [entry.get("hostname") for entry in known] != [served.dns_name]:
            place = f"{INGRESSES}/namespaces/{key[1]}/ingresses/{key[2]}/status"
            patch = {"status": {"loadBalancer": {"ingress": [{"hostname": served.dns_name}]}}}
            client.request("PATCH", place, patch, "application/merge-patch+json")
            self.log.info("%s: served as %s", "/".join(key), served.dns_name)

    def deploy(self, cluster: dict, client: ApiClient, ingress: dict, version: tuple) -> Served:
        """What AWS has to know of the ingress."""
        stack = ingress_model.stack(cluster["name"], ingress)
        if self.foreign and stack.target_type == "ip":
            raise ModelError("pods of a given cluster cannot be reached from the lab: target-type must be instance")
        if stack.unknown:
            event(client, ingress, "Warning", "Ignored", f"the lab's controller does nothing about: {', '.join(stack.unknown)}")
        if FINALIZER not in ingress["metadata"].get("finalizers", []):
            finalizers = [*ingress["metadata"].get("finalizers", []), FINALIZER]
            patch_finalizers(client, ingress, finalizers)
        aws = Aws(self.client, stack, cluster["vpc_id"])
        load_balancer = aws.load_balancer()
        groups = {}
        for backend in stack.backends:
            port, node_port = self.ports(client, stack, backend)
            # Nodes of a given cluster are no instances of the account.
            by_address = self.foreign or stack.target_type == "ip"
            groups[backend] = aws.target_group(
                backend, node_port if stack.target_type == "instance" else port, "ip" if by_address else "instance"
            )
        aws.listeners(load_balancer["LoadBalancerArn"], groups)
        aws.forget_other_groups(set(groups.values()))
        event(client, ingress, "Normal", "SuccessfullyReconciled", "Successfully reconciled")
        selectors = {backend: self.service(client, stack, backend)["spec"].get("selector") or {} for backend in stack.backends}
        return Served(version, stack, load_balancer["DNSName"], groups, selectors)

    def service(self, client: ApiClient, stack: Stack, backend: Backend) -> dict:
        found = client.get(f"/api/v1/namespaces/{stack.namespace}/services/{backend.service}")
        if found is None:
            raise ModelError(f"service not found: {stack.namespace}/{backend.service}")
        return found

    def ports(self, client: ApiClient, stack: Stack, backend: Backend) -> tuple[int, int]:
        """Port of the service and of the nodes."""
        port = ingress_model.service_port(self.service(client, stack, backend), backend)
        if stack.target_type == "instance" and not port.get("nodePort"):
            raise ModelError(f"service type must be either 'NodePort' or 'LoadBalancer': {stack.namespace}/{backend.service}")
        return port["port"], port.get("nodePort", 0)

    def sync_targets(self, client: ApiClient, cluster: dict, stack: Stack, backend: Backend, arn: str) -> None:
        port = ingress_model.service_port(self.service(client, stack, backend), backend)
        gated: dict[str, dict] = {}
        if self.foreign:
            wanted = foreign.node_targets(client, port["nodePort"])
        elif stack.target_type == "instance":
            wanted = {node["id"]: port["nodePort"] for node in cluster["nodes"] if node["id"] in cluster["ready_nodes"]}
        else:
            gated = self.gated_pods(client, stack, backend)
            selector = {"labelSelector": f"kubernetes.io/service-name={backend.service}"}
            slices = client.items(f"/apis/discovery.k8s.io/v1/namespaces/{stack.namespace}/endpointslices", **selector)
            wanted = ingress_model.pod_targets(slices, port, {name for name, pod in gated.items() if containers_ready(pod)})
        aws = Aws(self.client, stack, cluster["vpc_id"])
        health = aws.sync_targets(arn, wanted)
        for pod in gated.values():
            self.tell_gate(client, pod, ingress_model.gate(stack.target_group(backend)), health)

    # --- readiness gates

    def gated_pods(self, client: ApiClient, stack: Stack, backend: Backend) -> dict[str, dict]:
        """Pods by name that wait for the load balancer's word."""
        condition = ingress_model.gate(stack.target_group(backend))
        selector = self.service(client, stack, backend)["spec"].get("selector") or {}
        query = {"labelSelector": ",".join(f"{name}={value}" for name, value in selector.items())}
        return {
            pod["metadata"]["name"]: pod
            for pod in client.items(f"/api/v1/namespaces/{stack.namespace}/pods", **query)
            if any(entry["conditionType"] == condition for entry in pod["spec"].get("readinessGates") or [])
        }

    def tell_gate(self, client: ApiClient, pod: dict, condition: str, health: dict[str, str]) -> None:
        state = health.get(pod["status"].get("podIP", ""), "unused")
        status = "True" if state == "healthy" else "False"
        known = next((entry for entry in pod["status"].get("conditions", []) if entry["type"] == condition), {})
        if known.get("status") == status or (known.get("status") == "True" and state == "draining"):
            return
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        entry = {"type": condition, "status": status, "lastTransitionTime": moment, "reason": state, "message": f"target is {state}"}
        place = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}/status"
        try:
            client.request("PATCH", place, {"status": {"conditions": [entry]}}, "application/strategic-merge-patch+json")
        except ApiError as error:
            # It has gone meanwhile.
            if error.status != 404:
                raise

    # --- removal

    def remove(self, cluster: dict, client: ApiClient, ingress: dict, key: tuple[str, str, str]) -> None:
        if FINALIZER not in ingress["metadata"].get("finalizers", []):
            return
        tags = {"elbv2.k8s.aws/cluster": key[0], "ingress.k8s.aws/stack": f"{key[1]}/{key[2]}"}
        if Aws.remove(self.client, tags):
            self.served.pop(key, None)
            patch_finalizers(client, ingress, [name for name in ingress["metadata"]["finalizers"] if name != FINALIZER])
            self.log.info("%s: removed", "/".join(key))


class Served:
    """An ingress that AWS knows: target groups by backend, and the labels of the pods behind each."""

    def __init__(self, version: tuple, stack: Stack, dns_name: str, groups: dict[Backend, str], selectors: dict[Backend, dict]) -> None:
        self.version, self.stack, self.dns_name, self.groups, self.selectors = version, stack, dns_name, groups, selectors

    def gates(self) -> list[dict]:
        """For the webhook that puts readiness gates into pods."""
        if self.stack.target_type != "ip":
            return []
        return [
            {"namespace": self.stack.namespace, "selector": selector, "condition": ingress_model.gate(self.stack.target_group(backend))}
            for backend, selector in self.selectors.items()
            if selector
        ]


def ours(ingress: dict) -> bool:
    """Also one that was ours, until what was made for it is gone."""
    return ingress_model.is_ours(ingress) or FINALIZER in ingress["metadata"].get("finalizers", [])


def containers_ready(pod: dict) -> bool:
    conditions = {entry["type"]: entry["status"] for entry in pod["status"].get("conditions", [])}
    return conditions.get("ContainersReady") == "True" and not pod["metadata"].get("deletionTimestamp")


def write_gates(file: Path, served: list[Served]) -> None:
    text = json.dumps([gate for entry in served for gate in entry.gates()])
    if file.parent.exists() and (not file.exists() or file.read_text() != text):
        fresh = file.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(file)


def patch_finalizers(client: ApiClient, ingress: dict, finalizers: list[str]) -> None:
    metadata = ingress["metadata"]
    place = f"{INGRESSES}/namespaces/{metadata['namespace']}/ingresses/{metadata['name']}"
    patch = {"metadata": {"finalizers": finalizers, "resourceVersion": metadata["resourceVersion"]}}
    client.request("PATCH", place, patch, "application/merge-patch+json")


def ingress_class() -> dict:
    """As the controller's chart brings it."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": ingress_model.CLASS},
        "spec": {"controller": "ingress.k8s.aws/alb"},
    }


def event(client: ApiClient, ingress: dict, kind: str, reason: str, message: str) -> None:
    metadata, moment = ingress["metadata"], datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "type": kind,
        "reason": reason,
        "message": message[:1024],
        "source": {"component": "espalier-lab"},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }
    client.request("POST", f"/api/v1/namespaces/{metadata['namespace']}/events", body)
