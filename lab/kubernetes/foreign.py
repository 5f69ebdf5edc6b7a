"""A cluster that was given to the lab (of kind, or any other), in place of the control planes and nodes that it builds.

`lab up` takes the current context of ESPALIER_KUBECONFIG into .lab/foreign. The parts, and inventories/lab, go by what is there.
"""

from __future__ import annotations

import base64
import json
import shutil
import time
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from lab import control
from lab.kubernetes import nodes
from lab.kubernetes.addons import BUILT_IN, PATIENCE_SECONDS, Addons, issue, manifest
from lab.kubernetes.api_client import ApiClient, ApiError
from lab.settings import Settings
from lab.tls import write_secret

METRICS = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io"
NAME_SERVICE = "/apis/apps/v1/namespaces/kube-system/deployments"
# A cluster that is somebody's is not asked every second.
REST_SECONDS = 5
NOT_SHOWN = "EKS's tokens and access entries, node groups (records), pod identities, readiness gates, the add-ons but metrics-server"


class ForeignError(ValueError):
    """The kubeconfig cannot be used; the message says why and what to do."""


def folder(settings: Settings) -> Path:
    return settings.state / "foreign"


def kubeconfig(settings: Settings) -> Path:
    """The copy of what was given: one context, everything inside."""
    return folder(settings) / "kubeconfig"


def given(settings: Settings) -> bool:
    return kubeconfig(settings).exists()


# --- what is given


def read(path: Path) -> dict:
    """The current context of a kubeconfig, with its certificates inside. Raises ForeignError."""
    try:
        content = yaml.safe_load(path.read_text())
        name = content["current-context"]
        context = entry(content, "context", name)
        cluster, user = entry(content, "cluster", context["cluster"]), entry(content, "user", context["user"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "no kubeconfig with a current context"
        raise ForeignError(f"ESPALIER_KUBECONFIG={path}: {why}") from None
    try:
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "clusters": [{"name": name, "cluster": cluster_of(cluster, path.parent)}],
            "users": [{"name": name, "user": user_of(user, path.parent)}],
        }
    except ForeignError as error:
        raise ForeignError(f"ESPALIER_KUBECONFIG={path}, context {name}: {error}") from None


def entry(content: dict, kind: str, name: str) -> dict:
    """KeyError when there is none."""
    for found in content[f"{kind}s"]:
        if found["name"] == name:
            return found[kind]
    raise KeyError(name)


def cluster_of(cluster: dict, place: Path) -> dict:
    server = urlsplit(cluster.get("server", ""))
    if server.scheme != "https" or not server.hostname or server.path.strip("/"):
        raise ForeignError(f"the server must be https://host:port, it is {cluster.get('server')!r}")
    if wrong := {"insecure-skip-tls-verify", "proxy-url", "tls-server-name"} & {key for key, value in cluster.items() if value}:
        raise ForeignError(f"{', '.join(sorted(wrong))} cannot be used: EKS's answer has room for an endpoint and its authority only")
    authority = inline(cluster, "certificate-authority", place)
    if not authority:
        raise ForeignError("there is no certificate-authority-data, which describe_cluster has to answer")
    return {"server": cluster["server"].rstrip("/"), "certificate-authority-data": authority}


def user_of(user: dict, place: Path) -> dict:
    certificate, key = (inline(user, name, place) for name in ("client-certificate", "client-key"))
    if certificate and key:
        return {"client-certificate-data": certificate, "client-key-data": key}
    if user.get("token"):
        return {"token": user["token"]}
    if "exec" in user or "auth-provider" in user:
        raise ForeignError("its user runs a program for credentials, which the lab does not: give a client certificate or a token")
    raise ForeignError("its user has neither a client certificate nor a token")


def inline(owner: dict, name: str, place: Path) -> str:
    """What stands in the kubeconfig or in the file that it names. Base64, empty when it is neither."""
    if owner.get(f"{name}-data"):
        return owner[f"{name}-data"]
    if not owner.get(name):
        return ""
    try:
        return base64.b64encode((place / owner[name]).read_bytes()).decode()
    except OSError as error:
        raise ForeignError(f"{name} {owner[name]}: {error.strerror}") from None


def adopt(config: dict, settings: Settings) -> None:
    """Keep it for the parts, and ask it once. Raises ForeignError when it does not answer."""
    target = folder(settings)
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    user = config["users"][0]["user"]
    (target / "ca.crt").write_bytes(base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]))
    for name in ("client-certificate", "client-key"):
        if f"{name}-data" in user:
            write_secret(target / name, base64.b64decode(user[f"{name}-data"]))
    write_secret(kubeconfig(settings), json.dumps(config, indent=2).encode())
    try:
        client(settings).request("GET", "/api/v1/nodes", limit="1")
    except (ApiError, OSError) as error:
        shutil.rmtree(target)
        raise ForeignError(f"the cluster of ESPALIER_KUBECONFIG cannot be used: {error}") from None


def known(settings: Settings) -> dict | None:
    return json.loads(kubeconfig(settings).read_text()) if given(settings) else None


def client(settings: Settings) -> ApiClient:
    config, place = json.loads(kubeconfig(settings).read_text()), folder(settings)
    server, user = urlsplit(config["clusters"][0]["cluster"]["server"]), config["users"][0]["user"]
    pair = () if "token" in user else (place / "client-certificate", place / "client-key")
    return ApiClient(server.hostname, place / "ca.crt", *pair, port=server.port or 443, token=user.get("token", ""))


def words(settings: Settings) -> str:
    """For everybody who looks: whose cluster it is, and what it does not show."""
    config = json.loads(kubeconfig(settings).read_text())
    server = config["clusters"][0]["cluster"]["server"]
    return (
        f"GIVEN CLUSTER: Kubernetes is context {config['current-context']} at {server} (ESPALIER_KUBECONFIG), not the lab's own.\n"
        f"Not shown with it: {NOT_SHOWN}. See docs/lab.md."
    )


# --- what the account says of it


class Foreign:
    """What the part `clusters` does where a given cluster serves: it tells the account, and starts, changes and deletes next to nothing."""

    def __init__(self, settings: Settings, report: Callable[..., None]) -> None:
        self.settings, self.report = settings, report
        self.client, self.addons = client(settings), ForeignAddons(settings)
        # Of each cluster: what was told last, and when it was looked at last.
        self.told: dict[str, tuple] = {}
        self.looked: dict[str, float] = {}

    def converge(self, cluster: dict) -> None:
        name = cluster["name"]
        self.keep_machines(cluster)
        if cluster["status"] == "CREATING" and self.client.ready():
            config = json.loads(kubeconfig(self.settings).read_text())["clusters"][0]["cluster"]
            authority = config["certificate-authority-data"]
            self.report(name, was="CREATING", status="ACTIVE", endpoint=config["server"], certificate_authority=authority)
        elif cluster["status"] == "ACTIVE" and time.monotonic() - self.looked.get(name, -REST_SECONDS) >= REST_SECONDS:
            self.looked[name] = time.monotonic()
            self.keep(cluster)
        elif cluster["status"] == "DELETING":
            self.told.pop(name, None)
            self.addons = ForeignAddons(self.settings)
            self.report(name, was="DELETING", status="deleted")

    def keep_machines(self, cluster: dict) -> None:
        """Instances of node groups, which are nowhere."""
        arrived = {"pending": "running", "stopping": "stopped", "shutting-down": "terminated"}
        for node in cluster["nodes"]:
            if node["state"] in arrived:
                control.call("machine_state", settings=self.settings, id=node["id"], state=arrived[node["state"]])
        leaving = [node["id"] for node in cluster["nodes"] if node["leaving"]]
        if leaving:
            self.report(cluster["name"], drained=leaving)

    def keep(self, cluster: dict) -> None:
        found = self.client.items("/api/v1/nodes")
        running = [node["id"] for node in cluster["nodes"] if node["state"] == "running" and any(map(nodes.is_ready, found))]
        news = (sorted(running), admitted(found, self.settings))
        if news != self.told.get(cluster["name"]):
            self.report(cluster["name"], ready_nodes=news[0], addresses=news[1])
            self.told[cluster["name"]] = news
        addons = self.addons.converge(cluster, self.client)
        if addons:
            self.report(cluster["name"], addons=addons)


def addresses(found: list[dict]) -> list[str]:
    """IPv4 addresses of Node objects inside of their cluster's network."""
    listed = (entry["address"] for node in found for entry in node["status"].get("addresses", []) if entry["type"] == "InternalIP")
    return sorted({address for address in listed if ip_address(address).version == 4})


def admitted(found: list[dict], settings: Settings) -> list[str]:
    """Where its pods' connections come from: their node, or the gateway where the node is none of the lab's network."""
    own = addresses(found)
    outside = [address for address in own if ip_address(address) not in ip_network(settings.network_cidr)]
    return [*own, settings.gateway] if outside else own


def node_targets(client: ApiClient, port: int) -> dict[str, int]:
    """A port of every node that is Ready, by address: a load balancer's targets, since its pods' addresses lead nowhere from here."""
    return dict.fromkeys(addresses([node for node in client.items("/api/v1/nodes") if nodes.is_ready(node)]), port)


class ForeignAddons(Addons):
    """Add-ons are what the cluster has; only metrics-server is installed where nobody else has done it. Nothing is removed."""

    def _step(self, addon: dict, cluster: dict, client: ApiClient) -> tuple[str, list[dict]]:
        name = addon["name"]
        if addon["status"] == "DELETING":
            self.since.pop(name, None)
            return "deleted", []
        if name in BUILT_IN:
            return "ACTIVE", []
        if name == "coredns":
            found = client.items(NAME_SERVICE, labelSelector="k8s-app=kube-dns")
            there = any(deployment["status"].get("availableReplicas") for deployment in found)
        elif name == "metrics-server":
            there = self._metrics(addon, cluster, client)
        else:
            return "CREATE_FAILED", [issue("AdmissionRequestDenied", f"A given cluster has nothing that {name} could manage.")]
        if there:
            return "ACTIVE", []
        waited = time.monotonic() - self.since.setdefault(name, time.monotonic())
        if addon["status"] == "CREATING" and waited < self.settings.scaled(PATIENCE_SECONDS):
            return "CREATING", []
        return "DEGRADED", [issue("InsufficientNumberOfReplicas", f"The given cluster has no {name} that is available.")]

    def _metrics(self, addon: dict, cluster: dict, client: ApiClient) -> bool:
        service = client.get(METRICS)
        if service is None:
            for wanted in metrics_server(cluster, addon["configuration"]):
                client.apply(wanted)
            return False
        return any(one["type"] == "Available" and one["status"] == "True" for one in service.get("status", {}).get("conditions", []))


def metrics_server(cluster: dict, configuration: dict) -> list[dict]:
    """The add-on's objects with the image of its publisher, and for kubelets that have signed their certificates themselves."""
    found = manifest("metrics-server", cluster, configuration)
    (deployment,) = [wanted for wanted in found if wanted["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    version = container["image"].rpartition(":")[2].partition("-")[0]
    container["image"] = f"registry.k8s.io/metrics-server/metrics-server:{version}"
    container["args"] = [
        "--kubelet-insecure-tls" if argument.startswith("--kubelet-certificate-authority=") else argument for argument in container["args"]
    ]
    return found
