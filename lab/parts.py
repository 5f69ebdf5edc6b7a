"""The lab's parts: what `lab run <part>` starts, and in what order `lab up` does."""

from __future__ import annotations

import importlib
import inspect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.controller import Controller
    from lab.settings import Settings

# The API first: all others read it.
PARTS: dict[str, str] = {
    "api": "lab.api.server",
    "metadata": "lab.metadata",
    "session_manager": "lab.session_manager",
    "instances": "lab.instances",
    "databases": "lab.databases",
    "load_balancers": "lab.load_balancers",
    "security_groups": "lab.security_groups",
    "cloudwatch": "lab.cloudwatch",
    "registry": "lab.kubernetes.registry",
    "cluster_gateway": "lab.kubernetes.gateway",
    "clusters": "lab.kubernetes.clusters",
    "ingresses": "lab.kubernetes.ingresses",
}
# Of Kubernetes, and only there where it is wanted.
KUBERNETES = ("registry", "cluster_gateway", "clusters", "ingresses")


def wanted(settings: Settings) -> list[str]:
    """The parts that `lab up` starts."""
    return [part for part in PARTS if settings.kubernetes or part not in KUBERNETES]


def controller_class(part: str) -> type[Controller]:
    """The Controller that the part's module defines."""
    from lab.controller import Controller

    module = importlib.import_module(PARTS[part])
    found = [
        member
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, Controller) and member.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise RuntimeError(f"{module.__name__} must define one Controller, it defines {len(found)}")
    return found[0]
