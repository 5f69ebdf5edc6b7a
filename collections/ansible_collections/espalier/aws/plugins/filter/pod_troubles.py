# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why pods do not run."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pod_troubles
short_description: Why pods of Kubernetes are not ready, by application
version_added: 0.3.0
description:
  - Of each application (label C(app.kubernetes.io/name)) with a pod that is not ready, the reason that the kubelet or the scheduler gives.
  - A pod that is being deleted or has ended does not count.
options:
  _input:
    description: Pods, as M(kubernetes.core.k8s_info) returns them.
    type: list
    elements: dict
    required: true
author:
  - The Espalier authors
"""

EXAMPLES = r"""
- ansible.builtin.debug:
    msg: "{{ pods.resources | espalier.aws.pod_troubles }}"
"""

RETURN = r"""
_value:
  description: Reasons by application; empty when all pods are ready.
  type: dict
"""

NAME = "app.kubernetes.io/name"


def condition(pod: dict, kind: str) -> dict:
    return next((one for one in pod["status"].get("conditions", []) if one["type"] == kind), {})


def words(state: dict) -> str:
    return ": ".join(part for part in (state.get("reason"), state.get("message")) if part)


def trouble(pod: dict) -> str:
    """One pod's reason; empty where it is ready, or is to be no more."""
    ended = pod["metadata"].get("deletionTimestamp") or pod["status"].get("phase") in ("Succeeded", "Failed")
    if ended or condition(pod, "Ready").get("status") == "True":
        return ""
    statuses = pod["status"].get("initContainerStatuses", []) + pod["status"].get("containerStatuses", [])
    for status in statuses:
        waiting = status.get("state", {}).get("waiting", {})
        # Of a container that crashed, the end of the last one says more than that the next one waits.
        last = status.get("lastState", {}).get("terminated", {})
        if waiting.get("reason") == "CrashLoopBackOff" and last:
            return f"CrashLoopBackOff: the last one ended with {last.get('exitCode')} ({words(last)})"
        if waiting and waiting.get("reason") not in ("ContainerCreating", "PodInitializing"):
            return words(waiting)
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return words(scheduled)
    return words(condition(pod, "Ready")) or f"phase {pod['status'].get('phase', 'unknown')}"


def pod_troubles(pods: list[dict]) -> dict[str, str]:
    found = {}
    for pod in pods:
        if reason := trouble(pod):
            found.setdefault(pod["metadata"].get("labels", {}).get(NAME, pod["metadata"]["name"]), reason)
    return found


class FilterModule:
    def filters(self):
        return {"pod_troubles": pod_troubles}
