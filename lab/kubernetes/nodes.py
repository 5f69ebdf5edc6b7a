"""The nodes of a cluster: one container with containerd, kubelet and kube-proxy for each of its instances."""

from __future__ import annotations

import ipaddress
import json
import shutil
from pathlib import Path

from lab import machine, network
from lab.kubernetes import image, pki, programs
from lab.kubernetes.api_client import ApiClient, ApiError
from lab.kubernetes.control_plane import FILES, PROGRAMS, ControlPlane, dns_address
from lab.podman import LABEL, podman
from lab.settings import Settings
from lab.tls import write_secret

KIND = "node"
# Pods that an instance type has addresses for; other types get what most have.
# https://github.com/aws/amazon-vpc-cni-k8s/blob/master/misc/eni-max-pods.txt
MAX_PODS = {"t3.micro": 4, "t3.small": 11, "t3.medium": 17, "t3.large": 35, "t3.xlarge": 58}
DEFAULT_MAX_PODS = 29


def container_name(node: dict, settings: Settings) -> str:
    return f"{settings.prefix}-node-{node['id']}"


def folder(plane: ControlPlane, node_id: str) -> Path:
    return plane.folder / "nodes" / node_id


def bring_up(plane: ControlPlane, node: dict) -> None:
    """From whatever there is to a running container: a new one, or the stopped one with what is on its disk."""
    settings, name = plane.settings, container_name(node, plane.settings)
    if podman("container", "exists", name, check=False).returncode == 0:
        podman("start", name)
        return
    etc = write_files(plane, node)
    pods = pod_range(plane, node["id"])
    environment = {
        "NODE": node["name"],
        "ADDRESS": node["address"],
        "PODS": pods,
        "VPC": settings.network_cidr,
        "GATEWAY": settings.gateway,
        "AGENT": str(settings.pod_identity_port),
        "LABELS": ",".join(f"{key}={value}" for key, value in labels(node, settings).items()),
        "PATH": f"{PROGRAMS}:/usr/sbin:/usr/bin:/sbin:/bin",
        # For images that are pulled from outside.
        **{key: value for key, value in machine.environment().items() if key in machine.PROXIES},
    }
    podman(
        "run", "--detach", "--name", name, "--hostname", node["hostname"], "--privileged", "--cgroupns", "private",
        "--label", f"{LABEL}={KIND}", "--label", f"espalier.id={node['id']}", "--label", f"espalier.cluster={plane.name}",
        *network.at(node["address"], settings), "--network-alias", node["name"],
        *(word for key, value in environment.items() for word in ("--env", f"{key}={value}")),
        "--log-opt", "max-size=20mb", "--pids-limit", "-1", "--tmpfs", "/run", "--tmpfs", "/tmp",
        "--volume", f"{programs.folder(settings)}:{PROGRAMS}:ro", "--volume", f"{etc}:/etc/lab:ro",
        "--volume", "/var/lib/containerd", "--volume", "/var/lib/kubelet", "--volume", "/var/log/pods",
        *(("--volume", f"{BUNDLE}:{BUNDLE}:ro") if BUNDLE.exists() else ()),
        image.IMAGE.tag, "/etc/lab/node",
    )  # fmt: skip


BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


def labels(node: dict, settings: Settings) -> dict[str, str]:
    """What EKS and the cloud's controller put on a node."""
    return {
        "eks.amazonaws.com/nodegroup": node["node_group"] or "",
        "eks.amazonaws.com/nodegroup-image": node["image_id"],
        "eks.amazonaws.com/capacityType": node["capacity_type"],
        "node.kubernetes.io/instance-type": node["instance_type"],
        "topology.kubernetes.io/region": settings.region,
        "topology.kubernetes.io/zone": node["zone"],
        **node["labels"],
    }


def pod_range(plane: ControlPlane, node_id: str) -> str:
    """The range of the node's pods: the first that no other node has."""
    own = folder(plane, node_id) / "pods"
    if not own.exists():
        taken = {path.read_text() for path in plane.settings.state.glob("kubernetes/*/nodes/*/pods")}
        free = (str(found) for found in ipaddress.ip_network(plane.settings.pod_cidr).subnets(new_prefix=24))
        own.parent.mkdir(parents=True, exist_ok=True)
        own.write_text(next(found for found in free if found not in taken))
    return own.read_text()


def write_files(plane: ControlPlane, node: dict) -> Path:
    """The folder that becomes the node's /etc/lab."""
    etc = folder(plane, node["id"]) / "etc"
    shutil.rmtree(etc, ignore_errors=True)
    shutil.copytree(FILES, etc)
    etc.chmod(0o700)
    names = (node["name"], node["hostname"], node["address"])
    pki.write(plane.authority.issue(f"system:node:{node['name']}", "system:nodes", names), etc, "kubelet")
    (etc / "ca.crt").write_bytes(plane.authority.certificate)
    for file, user, group in (
        ("kubelet-access", f"system:node:{node['name']}", "system:nodes"),
        ("proxy-access", "system:kube-proxy", ""),
    ):
        write_secret(etc / f"{file}.json", pki.kubeconfig(plane.endpoint, plane.authority, plane.authority.issue(user, group)))
    documents = {
        "kubelet.json": kubelet(plane, node),
        "proxy.json": proxy(plane.settings),
        "cni.conflist": pod_network(pod_range(plane, node["id"])),
    }
    for file, document in documents.items():
        (etc / file).write_text(json.dumps(document, indent=2))
    return etc


def kubelet(plane: ControlPlane, node: dict) -> dict:
    effects = {"NO_SCHEDULE": "NoSchedule", "NO_EXECUTE": "NoExecute", "PREFER_NO_SCHEDULE": "PreferNoSchedule"}
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True, "cacheTTL": "2m0s"},
            "x509": {"clientCAFile": "/etc/lab/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": "/etc/lab/kubelet.crt",
        "tlsPrivateKeyFile": "/etc/lab/kubelet.key",
        "clusterDNS": [dns_address(plane.cluster["service_cidr"])],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "providerID": f"aws:///{node['zone']}/{node['id']}",
        "maxPods": MAX_PODS.get(node["instance_type"], DEFAULT_MAX_PODS),
        "registerWithTaints": [
            {"key": taint["key"], "value": taint.get("value", ""), "effect": effects[taint["effect"]]} for taint in node["taints"]
        ],
        "resolvConf": "/etc/resolv.conf",
        "serializeImagePulls": False,
        # A container on a machine whose control groups and settings belong to others.
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": False,
        "failSwapOn": False,
        "featureGates": {"KubeletInUserNamespace": True},
    }


def proxy(settings: Settings) -> dict:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": "/etc/lab/proxy-access.json"},
        "mode": "iptables",
        "clusterCIDR": settings.pod_cidr,
        "metricsBindAddress": "0.0.0.0:10249",
        # Settings of the whole machine's kernel: 0 leaves them alone.
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def pod_network(pods: str) -> dict:
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": pods}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    return {"cniVersion": "1.0.0", "name": "lab", "plugins": [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]}


def is_ready(node: dict) -> bool:
    """Of a Node object."""
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in node["status"].get("conditions", []))


def drain(client: ApiClient, name: str) -> bool:
    """One look: no new pods, and every pod that is not the node's own is asked to go. True when all have gone."""
    place = f"/api/v1/nodes/{name}"
    node = client.get(place)
    if node is None:
        return True
    if not node["spec"].get("unschedulable"):
        client.request("PATCH", place, {"spec": {"unschedulable": True}}, "application/merge-patch+json")
    left = [pod for pod in client.items("/api/v1/pods", fieldSelector=f"spec.nodeName={name}") if moves(pod)]
    for pod in left:
        metadata = pod["metadata"]
        if not metadata.get("deletionTimestamp"):
            eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {key: metadata[key] for key in ("name", "namespace")}}
            try:
                client.request("POST", f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/eviction", eviction)
            except ApiError as error:
                # A disruption budget says not yet, or it has gone meanwhile.
                if error.status not in (404, 429):
                    raise
    return not left


def moves(pod: dict) -> bool:
    """Whether a drain is about this pod: not one of a DaemonSet, of the node itself, or one that has ended."""
    owners = {owner["kind"] for owner in pod["metadata"].get("ownerReferences", [])}
    return not owners & {"DaemonSet", "Node"} and pod["status"].get("phase") not in ("Succeeded", "Failed")


def remove(plane: ControlPlane, node_id: str) -> None:
    podman("rm", "--force", "--ignore", "--volumes", "--time", "3", f"{plane.settings.prefix}-node-{node_id}", timeout=180)
    shutil.rmtree(folder(plane, node_id), ignore_errors=True)
