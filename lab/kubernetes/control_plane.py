"""The control plane of a cluster: one container with etcd, API server, controller manager and scheduler, its data in a volume."""

from __future__ import annotations

import ipaddress
import json
import shutil
from functools import cached_property
from pathlib import Path

from lab import network
from lab.kubernetes import image, pki, programs
from lab.kubernetes.api_client import ApiClient
from lab.podman import LABEL, podman
from lab.settings import SETTINGS, Settings
from lab.tls import write_secret

KIND = "cluster"
FILES = Path(__file__).parent / "files"
# Where the containers have the programs.
PROGRAMS = "/usr/local/bin"


class ControlPlane:
    """Of one cluster, as the account describes it (`lab.api.eks.clusters.model`)."""

    def __init__(self, cluster: dict, settings: Settings = SETTINGS) -> None:
        self.cluster, self.settings = cluster, settings
        self.name, self.address = cluster["name"], cluster["address"]
        self.folder = settings.state / "kubernetes" / self.name
        self.container = f"{settings.prefix}-cluster-{self.name}"
        self.volume = f"{settings.prefix}-cluster-{self.name}"
        self.authority = pki.Authority(self.folder / "etc", "ca")

    @property
    def endpoint(self) -> str:
        return f"https://{self.address}"

    @cached_property
    def client(self) -> ApiClient:
        etc = self.folder / "etc"
        return ApiClient(self.address, etc / "ca.crt", etc / "admin.crt", etc / "admin.key")

    def ensure(self) -> None:
        """The container runs, the one that there was or a new one around the same data."""
        found = podman("container", "inspect", "--format", "{{.State.Running}}", self.container, check=False)
        if found.stdout.strip() == b"true":
            return
        if found.returncode == 0:
            podman("start", self.container)
            return
        self._write_files()
        address = network.at(self.address, self.settings)
        if podman("volume", "exists", self.volume, check=False).returncode:
            podman("volume", "create", "--label", f"espalier.network={self.settings.network}", self.volume)
        podman(
            "run", "--detach", "--name", self.container, "--hostname", self.container,
            "--label", f"{LABEL}={KIND}", "--label", f"espalier.id={self.name}", *address,
            "--env", f"ADDRESS={self.address}", "--env", f"SERVICE_CIDR={self.cluster['service_cidr']}",
            "--env", f"ISSUER={self.cluster['issuer']}", "--env", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "--log-opt", "max-size=20mb", "--pids-limit", "-1",
            "--volume", f"{programs.folder(self.settings)}:{PROGRAMS}:ro", "--volume", f"{FILES}:/etc/lab:ro",
            "--volume", f"{self.folder / 'etc'}:/etc/kubernetes:ro", "--volume", f"{self.volume}:/var/lib/etcd",
            image.IMAGE.tag, "/etc/lab/control-plane",
        )  # fmt: skip

    def _write_files(self) -> None:
        etc = self.folder / "etc"
        first_service = first_address(self.cluster["service_cidr"])
        names = (
            "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
            "localhost", self.address, first_service, "127.0.0.1",
        )  # fmt: skip
        pki.write(self.authority.issue("kube-apiserver", names=names), etc, "apiserver")
        pki.write(self.authority.issue("kube-apiserver-kubelet-client", "system:masters"), etc, "apiserver-kubelet")
        pki.write(self.authority.issue("espalier-lab", "system:masters"), etc, "admin")
        pki.write(pki.Authority(etc, "front-proxy-ca").issue("front-proxy"), etc, "front-proxy")
        pki.signing_key(etc / "service-accounts")
        for component in ("controller-manager", "scheduler"):
            identity = self.authority.issue(f"system:kube-{component}")
            write_secret(etc / f"{component}.json", pki.kubeconfig("https://localhost", self.authority, identity))
        write_secret(etc / "webhook.json", self._webhook())

    def _webhook(self) -> bytes:
        """Where the API server asks who the bearer of a token is."""
        gateway = pki.Authority(self.settings.state / "kubernetes", "gateway")
        server = f"https://{self.settings.gateway}:{self.settings.cluster_port}/clusters/{self.name}/token"
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "lab", "cluster": {"server": server, "certificate-authority-data": gateway.encoded}}],
                "users": [{"name": "lab", "user": {}}],
                "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
                "current-context": "lab",
            }
        ).encode()

    def remove(self) -> None:
        podman("rm", "--force", "--ignore", "--time", "2", self.container)
        podman("volume", "rm", "--force", self.volume, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def known(planes: dict[str, ControlPlane], cluster: dict, settings: Settings) -> ControlPlane:
    """The control plane out of a controller's memory, brought up to date, or a new one."""
    plane = planes.get(cluster["name"])
    if plane is None or (plane.address, plane.cluster["issuer"]) != (cluster["address"], cluster["issuer"]):
        # A cluster of that name was deleted and made again.
        plane = planes[cluster["name"]] = ControlPlane(cluster, settings)
    plane.cluster = cluster
    return plane


def first_address(cidr: str) -> str:
    """Of a range of services: the API server's own."""
    return str(next(ipaddress.ip_network(cidr).hosts()))


def dns_address(cidr: str) -> str:
    """Of a range of services: the name service's, as EKS chooses it."""
    return str(ipaddress.ip_network(cidr).network_address + 10)
