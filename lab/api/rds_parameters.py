"""RDS's parameter groups: the parameters of PostgreSQL that there are, where moto knows only those that somebody has set.

Of some 400 the ones that people set. https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Appendix.PostgreSQL.CommonDBATasks.Parameters.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from moto.core.responses import ActionResult
from moto.rds.exceptions import DBParameterGroupNotFoundError, InvalidParameterCombination, InvalidParameterValue
from moto.rds.models import DBParameterGroup, RDSBackend
from moto.rds.responses import RDSResponse

# Name: type, when it takes effect, value of the family postgres16 (None: the engine's own), whether it can be set.
CATALOGUE: dict[str, tuple[str, str, str | None, bool]] = {
    "idle_in_transaction_session_timeout": ("integer", "dynamic", "86400000", True),
    "lock_timeout": ("integer", "dynamic", None, True),
    "log_connections": ("boolean", "dynamic", None, True),
    "log_disconnections": ("boolean", "dynamic", None, True),
    "log_lock_waits": ("boolean", "dynamic", None, True),
    "log_min_duration_statement": ("integer", "dynamic", None, True),
    "log_statement": ("string", "dynamic", None, True),
    "max_connections": ("integer", "static", "LEAST({DBInstanceClassMemory/9531392},5000)", True),
    "pg_stat_statements.track": ("string", "dynamic", "TOP", True),
    "port": ("integer", "static", "{EndPointPort}", False),
    "rds.force_ssl": ("boolean", "dynamic", "1", True),
    "rds.logical_replication": ("boolean", "static", "0", True),
    "shared_buffers": ("integer", "static", "{DBInstanceClassMemory/32768}", True),
    "shared_preload_libraries": ("list", "static", "pg_stat_statements", True),
    "ssl_min_protocol_version": ("string", "dynamic", "TLSv1.2", True),
    "statement_timeout": ("integer", "dynamic", None, True),
    "timezone": ("string", "dynamic", "UTC", True),
    "work_mem": ("integer", "dynamic", None, True),
}


def record(name: str, own: dict[str, Any]) -> dict[str, Any]:
    """A parameter as DescribeDBParameters tells it; `own` is what somebody has set."""
    kind, apply_type, default, modifiable = CATALOGUE[name]
    found = {"ParameterName": name, "DataType": kind, "ApplyType": apply_type, "IsModifiable": modifiable, "Source": "engine-default"}
    if default is not None:
        found |= {"ParameterValue": default, "Source": "system"}
    if own:
        found |= {key: own[key] for key in ("ParameterValue", "ApplyMethod") if key in own} | {"Source": "user"}
    return found


def check(parameters: Iterable[dict[str, Any]]) -> None:
    """Refuse what RDS would refuse, in RDS's words."""
    for parameter in parameters:
        name = parameter["ParameterName"]
        if name not in CATALOGUE:
            raise InvalidParameterValue(f"Could not find parameter with name: {name}")
        _kind, apply_type, _default, modifiable = CATALOGUE[name]
        if not modifiable:
            raise InvalidParameterValue(f"The parameter {name} cannot be modified.")
        if apply_type == "static" and parameter.get("ApplyMethod") == "immediate":
            raise InvalidParameterCombination(f"cannot use immediate apply method for static parameter {name}")


def describe_db_parameters(self: RDSResponse) -> ActionResult:
    name, source = self.params.get("DBParameterGroupName"), self.params.get("Source")
    group = self.backend.db_parameter_groups.get((name or "").lower())
    if group is None:
        raise DBParameterGroupNotFoundError(name)
    found = [record(parameter, group.parameters.get(parameter, {})) for parameter in CATALOGUE]
    return ActionResult({"Parameters": [one for one in found if source in (None, one["Source"])]})


def reset_db_parameter_group(self: RDSResponse) -> ActionResult:
    name = self.params.get("DBParameterGroupName")
    group: DBParameterGroup | None = self.backend.db_parameter_groups.get((name or "").lower())
    if group is None:
        raise DBParameterGroupNotFoundError(name)
    parameters = [one.original_dict() for one in self.params.get("Parameters") or []]
    check(parameters)
    for key in list(group.parameters) if self.params.get("ResetAllParameters", True) else [one["ParameterName"] for one in parameters]:
        group.parameters.pop(key, None)
    return ActionResult({"DBParameterGroupName": name})


def install() -> None:
    original: Callable = RDSBackend.modify_db_parameter_group
    describe: Callable = RDSBackend.describe_db_parameter_groups

    def describe_db_parameter_groups(self: RDSBackend, kwargs: dict[str, Any]) -> list[DBParameterGroup]:
        found = describe(self, kwargs)
        name = kwargs.get("db_parameter_group_name")
        if name and not found:
            raise DBParameterGroupNotFoundError(name)
        return found

    def modify_db_parameter_group(self: RDSBackend, name: str, parameters: Iterable[dict[str, Any]]) -> DBParameterGroup:
        parameters = list(parameters)
        check(parameters)
        return original(self, name, parameters)

    RDSBackend.describe_db_parameter_groups = describe_db_parameter_groups
    RDSBackend.modify_db_parameter_group = modify_db_parameter_group
    RDSResponse.describe_db_parameters = describe_db_parameters
    RDSResponse.reset_db_parameter_group = reset_db_parameter_group
