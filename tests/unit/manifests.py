"""What Kubernetes would say of a manifest, asked offline: its schema, and the restricted pod security standard."""

from __future__ import annotations

from collections.abc import Iterator

import kubernetes_validate

# The oldest version in EKS's extended support: https://docs.aws.amazon.com/eks/latest/userguide/kubernetes-versions.html
OLDEST = "1.32"
NEWEST = "1.35"

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def check_schema(document: dict, version: str) -> None:
    """Raises what kubernetes-validate raises: a wrong type, a missing field, a name that the API does not know."""
    kubernetes_validate.validate(document, version, strict=True)


def pod_spec(document: dict) -> dict | None:
    if document["kind"] == "Pod":
        return document["spec"]
    template = document.get("spec", {}).get("template", {})
    return template.get("spec") if document["kind"] in ("Deployment", "Job", "StatefulSet", "DaemonSet") else None


def containers(spec: dict) -> Iterator[dict]:
    yield from spec["containers"]
    yield from spec.get("initContainers", [])


def unrestricted(spec: dict) -> list[str]:
    """What the restricted standard refuses: https://kubernetes.io/docs/concepts/security/pod-security-standards/"""
    pod = spec.get("securityContext", {})
    found = [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    found += [f"volume {volume['name']}" for volume in spec.get("volumes", []) if not VOLUMES & set(volume)]
    found += [f"sysctl {sysctl['name']}" for sysctl in pod.get("sysctls", [])]
    for container in containers(spec):
        own = {**pod, **container.get("securityContext", {})}
        capabilities = own.get("capabilities", {})
        reasons = {
            "runs as root": own.get("runAsNonRoot") is not True or own.get("runAsUser") == 0,
            "no seccomp profile": own.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"),
            "escalates": own.get("allowPrivilegeEscalation") is not False,
            "privileged": bool(own.get("privileged")),
            "capabilities": capabilities.get("drop") != ["ALL"] or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"},
            "procMount": own.get("procMount", "Default") != "Default",
            "host port": any(port.get("hostPort") for port in container.get("ports", [])),
        }
        found += [f"{container['name']}: {reason}" for reason, wrong in reasons.items() if wrong]
    return found


def careless(spec: dict) -> list[str]:
    """What this project asks for on top: limits, a read-only root file system, no token where Kubernetes is not asked."""
    found = []
    for container in containers(spec):
        limits = container.get("resources", {})
        if not all(limits.get(part, {}).get("memory") and limits.get(part, {}).get("cpu") for part in ("requests", "limits")):
            found.append(f"{container['name']}: no requests or limits")
        if not container.get("securityContext", {}).get("readOnlyRootFilesystem"):
            found.append(f"{container['name']}: root file system can be written")
        if container["image"].endswith(":") or ("@" not in container["image"] and ":" not in container["image"].rpartition("/")[2]):
            found.append(f"{container['name']}: image without a tag")
    if "automountServiceAccountToken" not in spec:
        found.append("does not say whether it needs a token")
    return found
