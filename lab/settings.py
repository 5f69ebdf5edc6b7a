"""Where the lab's parts are and how fast its clocks run: the one place for every address, port and folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def kubernetes_is_wanted(environment: Mapping[str, str]) -> bool:
    """Unless `make lab SKIP=cluster,monitoring` leaves it out."""
    return "cluster" not in environment.get("SKIP", "").replace(",", " ").split()


@dataclass(frozen=True)
class Settings:
    """All addresses are IPv4; all times are seconds."""

    root: Path = ROOT
    # Of this clone: logs, process ids, outputs.json. Removed by `lab down`.
    state: Path = ROOT / ".lab"
    # Shared by all clones, keyed by what an entry is built from. Survives `lab down`. bin/lib.sh has the same rule.
    cache: Path = field(default_factory=lambda: Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "espalier")

    account_id: str = "123456789012"
    region: str = "us-east-1"

    # The VPC's range is the podman network's: an instance's private address is its container's.
    network: str = "espalier"
    network_cidr: str = "10.0.0.0/16"
    gateway: str = "10.0.0.1"

    api_port: int = 4566  # loopback and gateway
    metadata_port: int = 4567  # gateway only; instances reach it as 169.254.169.254:80
    session_port: int = 4568  # loopback only
    http_port: int = 8080  # the load balancer's listener 80, on loopback
    https_port: int = 8443  # the load balancer's listener 443, on loopback
    cluster_port: int = 4569  # gateway only; who the bearer of a token is, asked by the clusters' API servers
    pod_identity_port: int = 4570  # gateway only; pods reach it as 169.254.170.23:80
    registry_port: int = 4571  # loopback; on the lab's network the registry is registry.espalier.internal:5000

    # Of the VPC, outside of its subnets: addresses of pods, of which each node has a /24.
    pod_cidr: str = "10.0.192.0/18"
    # Names of what podman makes for clusters begin with it.
    prefix: str = "espalier"

    # Without it the lab has no clusters and no registry of images.
    kubernetes: bool = field(default_factory=lambda: kubernetes_is_wanted(os.environ))

    # Of a cluster that is to serve instead of one that the lab builds: a kubeconfig, read when the lab starts (lab.kubernetes.foreign).
    kubeconfig: str = field(default_factory=lambda: os.environ.get("ESPALIER_KUBECONFIG", ""))

    # Waiting times of the data plane (health check intervals, drain, grace) are divided by this; 1 is true time.
    time_scale: float = field(default_factory=lambda: float(os.environ.get("ESPALIER_TIME_SCALE", "10")))

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def logs(self) -> Path:
        return self.state / "log"

    def scaled(self, seconds: float) -> float:
        """The lab's duration of an AWS duration."""
        return seconds / self.time_scale


SETTINGS = Settings()
