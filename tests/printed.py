"""Commands that the suite prints for an operator, as calls: a rehearsal runs exactly what stands there, and a typing error is found."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from botocore import xform_name

COMMAND = re.compile(r"\baws ([a-z0-9-]+) ([a-z0-9-]+)((?: --[a-z-]+(?: (?!--)[^\s;]+)*)*)")

# Options that the CLI calls otherwise than the API: its own --endpoint-url would begin like this one.
CALLED_OTHERWISE = {"notification-endpoint": "endpoint"}


def commands(text: str) -> list[tuple[str, str, dict[str, list[str]]]]:
    """Service, operation and options of each command of the AWS CLI in a text; those of `aws s3`, which are no calls, left out."""
    found = []
    for service, operation, rest in COMMAND.findall(text):
        options = {name: values.split() for name, values in re.findall(r"--([a-z-]+)((?: (?!--)\S+)*)", rest)}
        if service != "s3":
            found.append((service, operation, options))
    return found


def call(client: Any, operation: str, options: dict[str, list[str]]) -> Callable[[], Any]:
    """The call that a command means, not made yet. Raises KeyError for an operation or an option that AWS does not have."""
    method = operation.replace("-", "_")
    shape = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method]).input_shape
    members = {xform_name(member).replace("_", "-"): member for member in shape.members}
    arguments: dict[str, Any] = {}
    for option, values in options.items():
        option = CALLED_OTHERWISE.get(option, option)
        kind = shape.members[members[option]].type_name
        assert len(values) == 1 or kind == "list", f"--{option} {values}"
        arguments[members[option]] = values if kind == "list" else {"integer": int, "double": float}.get(kind, str)(values[0])
    missing = set(shape.required_members) - set(arguments)
    assert not missing, f"aws ... {operation} lacks {missing}"
    return lambda: getattr(client, method)(**arguments)
