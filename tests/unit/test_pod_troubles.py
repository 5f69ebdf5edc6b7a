"""What is said of pods that do not run."""

from __future__ import annotations

import pytest
from ansible_collections.espalier.aws.plugins.filter.pod_troubles import pod_troubles


def pod(ready: bool = False, name: str = "grafana", deleted: bool = False, scheduled: str = "", **states) -> dict:
    metadata = {"name": f"{name}-abc", "labels": {"app.kubernetes.io/name": name}, **({"deletionTimestamp": "now"} if deleted else {})}
    conditions = [{"type": "Ready", "status": str(ready), "reason": "ContainersNotReady", "message": "containers with unready status"}]
    if scheduled:
        conditions.append({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": scheduled})
    status = {"phase": "Pending", "conditions": conditions}
    if states:
        status["containerStatuses"] = [states]
    return {"metadata": metadata, "status": status}


def test_pods_that_are_ready_or_go_or_have_ended_are_none():
    ended = [pod(), pod()]
    ended[0]["status"]["phase"], ended[1]["status"]["phase"] = "Succeeded", "Failed"
    assert pod_troubles([pod(ready=True), pod(deleted=True), *ended]) == {}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}, "ErrImagePull: not found"),
        ({"state": {"waiting": {"reason": "ContainerCreating"}}}, "ContainersNotReady: containers with unready status"),
        ({"scheduled": "0/2 nodes are available"}, "Unschedulable: 0/2 nodes are available"),
        (
            {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 2, "reason": "Error"}}},
            "CrashLoopBackOff: the last one ended with 2 (Error)",
        ),
    ],
)
def test_the_reason_is_the_one_that_helps(given, words):
    assert pod_troubles([pod(ready=True, name="prometheus"), pod(**given)]) == {"grafana": words}
