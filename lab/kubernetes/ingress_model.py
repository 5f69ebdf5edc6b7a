"""What an ingress of class alb asks of AWS: pure functions from Kubernetes' objects to load balancer, listeners, rules and target groups.

After the AWS Load Balancer Controller's documentation:
https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/ingress/annotations/
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field

CLASS = "alb"
PREFIX = "alb.ingress.kubernetes.io/"
# What the lab's controller does something about; another annotation is named in an event.
KNOWN = {
    "scheme", "target-type", "listen-ports", "certificate-arn", "ssl-redirect", "ssl-policy", "load-balancer-name", "subnets",
    "security-groups", "inbound-cidrs", "tags", "load-balancer-attributes", "target-group-attributes", "backend-protocol",
    "ip-address-type", "healthcheck-path", "healthcheck-port", "healthcheck-protocol", "healthcheck-interval-seconds",
    "healthcheck-timeout-seconds", "healthy-threshold-count", "unhealthy-threshold-count", "success-codes",
    "manage-backend-security-group-rules", "wafv2-acl-arn",
}  # fmt: skip
NOT_FOUND = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404", "ContentType": "text/plain", "MessageBody": ""}}


class ModelError(ValueError):
    """The ingress cannot be served as it is; the message says why."""


@dataclass(frozen=True)
class Backend:
    """A port of a service, by name or number."""

    service: str
    port: str | int


@dataclass
class Stack:
    """Everything that one ingress needs."""

    cluster: str
    namespace: str
    name: str
    load_balancer: str
    scheme: str
    target_type: str
    listeners: list[dict]
    rules: list[tuple[list[dict], Backend]]
    default: Backend | None
    annotations: dict[str, str]
    tags: dict[str, str]
    unknown: list[str] = field(default_factory=list)

    @property
    def backends(self) -> list[Backend]:
        return list(dict.fromkeys([*(backend for _, backend in self.rules), *([self.default] if self.default else [])]))

    def target_group(self, backend: Backend) -> str:
        """Name of the backend's target group."""
        parts = (self.cluster, self.namespace, self.name, backend.service, str(backend.port), self.target_type)
        return short_name(self.namespace, backend.service, *parts)


def is_ours(ingress: dict) -> bool:
    old = ingress["metadata"].get("annotations", {}).get("kubernetes.io/ingress.class")
    return (ingress["spec"].get("ingressClassName") or old) == CLASS


def stack(cluster: str, ingress: dict) -> Stack:
    """Raises ModelError."""
    metadata, spec = ingress["metadata"], ingress["spec"]
    annotations = {name.removeprefix(PREFIX): value for name, value in metadata.get("annotations", {}).items() if name.startswith(PREFIX)}
    namespace, name = metadata["namespace"], metadata["name"]
    scheme, target_type = annotations.get("scheme", "internal"), annotations.get("target-type", "instance")
    if scheme not in ("internal", "internet-facing"):
        raise ModelError(f"unknown scheme: {scheme}")
    if target_type not in ("ip", "instance"):
        raise ModelError(f"unknown target-type: {target_type}")
    default = spec.get("defaultBackend", {}).get("service")
    return Stack(
        cluster=cluster,
        namespace=namespace,
        name=name,
        load_balancer=annotations.get("load-balancer-name") or short_name(namespace, name, cluster, namespace, name),
        scheme=scheme,
        target_type=target_type,
        listeners=listeners(annotations),
        rules=rules(spec),
        default=backend_of(default) if default else None,
        annotations=annotations,
        tags={
            **pairs(annotations.get("tags", "")),
            "elbv2.k8s.aws/cluster": cluster,
            "ingress.k8s.aws/stack": f"{namespace}/{name}",
        },
        unknown=sorted(set(annotations) - KNOWN),
    )


def short_name(namespace: str, name: str, *parts: str) -> str:
    """As the controller names things: 32 characters at most, the same every time."""
    letters = [re.sub(r"[^A-Za-z0-9]", "", text)[:8] for text in (namespace, name)]
    return f"k8s-{letters[0]}-{letters[1]}-{hashlib.sha256('/'.join(parts).encode()).hexdigest()[:10]}"


def pairs(text: str) -> dict[str, str]:
    """`a=b,c=d`."""
    found = (entry.partition("=") for entry in text.split(",") if entry.strip())
    return {name.strip(): value.strip() for name, _, value in found}


def listeners(annotations: dict[str, str]) -> list[dict]:
    """Protocol and port of each, with what it does by default."""
    certificates = [arn.strip() for arn in annotations.get("certificate-arn", "").split(",") if arn.strip()]
    text = annotations.get("listen-ports") or ('[{"HTTPS": 443}]' if certificates else '[{"HTTP": 80}]')
    try:
        ports = [(protocol, int(port)) for entry in json.loads(text) for protocol, port in entry.items()]
    except (ValueError, AttributeError, TypeError):
        raise ModelError(f"failed to parse listen-ports configuration: `{text}`") from None
    redirect, found = annotations.get("ssl-redirect"), []
    for protocol, port in ports:
        if protocol not in ("HTTP", "HTTPS"):
            raise ModelError(f"listen protocol must be HTTP or HTTPS: {protocol}")
        if protocol == "HTTPS" and not certificates:
            raise ModelError("no certificate found for the HTTPS listener: the lab looks for none by host name, name it in certificate-arn")
        listener: dict = {"protocol": protocol, "port": port, "redirect": None, "certificates": []}
        if protocol == "HTTPS":
            listener |= {"certificates": certificates, "ssl_policy": annotations.get("ssl-policy", "ELBSecurityPolicy-2016-08")}
        elif redirect and port != int(redirect):
            listener["redirect"] = redirect
        found.append(listener)
    return found


def rules(spec: dict) -> list[tuple[list[dict], Backend]]:
    """Conditions and backend of every path, in the controller's order: exact ones and longer ones first."""
    found = []
    for rule in spec.get("rules") or []:
        host = rule.get("host")
        paths = rule.get("http", {}).get("paths", [])
        for path in sorted(paths, key=lambda entry: (entry["pathType"] != "Exact", -len(entry.get("path") or "/"))):
            conditions = [{"Field": "host-header", "HostHeaderConfig": {"Values": [host]}}] if host else []
            conditions.append({"Field": "path-pattern", "PathPatternConfig": {"Values": patterns(path)}})
            service = path["backend"].get("service")
            if service is None:
                raise ModelError("only services can be backends")
            found.append((conditions, backend_of(service)))
    return found


def patterns(path: dict) -> list[str]:
    text = path.get("path") or "/"
    if path["pathType"] == "Prefix":
        bare = text.rstrip("/")
        return [bare, f"{bare}/*"] if bare else ["/*"]
    return [text if text != "/" or path["pathType"] == "Exact" else "/*"]


def backend_of(service: dict) -> Backend:
    port = service["port"]
    return Backend(service["name"], port.get("name") or port["number"])


# --- targets


def service_port(service: dict, backend: Backend) -> dict:
    """The entry of the service's ports that the backend means. Raises ModelError."""
    for port in service["spec"]["ports"]:
        if backend.port in (port.get("name"), port["port"]):
            return port
    raise ModelError(f"unable to find port {backend.port} on service {backend.service}")


def pod_targets(slices: list[dict], port: dict, containers_ready: set[str]) -> dict[str, int]:
    """Ports by address of the pods behind a service: those that are ready, and those that only wait for their readiness gate."""
    found = {}
    for entry in slices:
        numbers = [known["port"] for known in entry.get("ports") or [] if known.get("name", "") == port.get("name", "")]
        for endpoint in entry.get("endpoints") or []:
            conditions = endpoint.get("conditions", {})
            ready = conditions.get("ready") or endpoint.get("targetRef", {}).get("name") in containers_ready
            if ready and not conditions.get("terminating") and numbers:
                found |= {address: numbers[0] for address in endpoint["addresses"]}
    return found


def health_check(annotations: dict[str, str]) -> dict:
    """Of CreateTargetGroup. Numbers are the controller's defaults."""
    return {
        "HealthCheckProtocol": annotations.get("healthcheck-protocol", "HTTP"),
        "HealthCheckPort": annotations.get("healthcheck-port", "traffic-port"),
        "HealthCheckPath": annotations.get("healthcheck-path", "/"),
        "HealthCheckIntervalSeconds": int(annotations.get("healthcheck-interval-seconds", 15)),
        "HealthCheckTimeoutSeconds": int(annotations.get("healthcheck-timeout-seconds", 5)),
        "HealthyThresholdCount": int(annotations.get("healthy-threshold-count", 2)),
        "UnhealthyThresholdCount": int(annotations.get("unhealthy-threshold-count", 2)),
        "Matcher": {"HttpCode": annotations.get("success-codes", "200")},
    }


def gate(target_group: str) -> str:
    """The condition of a pod that says whether the load balancer finds it healthy."""
    return f"target-health.elbv2.k8s.aws/{target_group}"
