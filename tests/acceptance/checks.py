"""All checks of the built system by name, in the order of site.yml's tags: the one list that every kind of run uses."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from tests.acceptance import app, cluster, compute, data, edge, kubernetes, monitoring, network, secrets
from tests.acceptance.system import System

Check = Callable[[System], None]


def checks_of(*modules: ModuleType) -> dict[str, Check]:
    """Functions `check_*` of the modules that take the system alone, as `module.name`."""
    return {
        f"{module.__name__.rpartition('.')[2]}.{name.removeprefix('check_')}": function
        for module in modules
        for name, function in vars(module).items()
        if name.startswith("check_") and function.__module__ == module.__name__ and function.__code__.co_argcount == 1
    }


ACCOUNT = checks_of(network, data, edge, compute, monitoring)
APPLICATION = checks_of(app, secrets)
EVERYTHING = ACCOUNT | APPLICATION
# Of a system with a cluster, besides.
KUBERNETES = checks_of(cluster, kubernetes)
