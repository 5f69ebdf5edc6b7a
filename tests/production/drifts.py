"""What somebody does by hand to what the switches of inventories/production have made; tests/rehearse/drifts.py has the other drifts."""

from __future__ import annotations

from collections.abc import Callable

from lab import tls
from tests.acceptance.production import listeners, parameters, web_acl
from tests.acceptance.system import System
from tests.rehearse.drifts import Drift

OWN = System(environment="production").prefix


def protect_no_more(system: System) -> Callable[[], bool]:
    found = web_acl(system)
    client, name = system.client("wafv2"), {"Name": found["Name"], "Scope": "REGIONAL", "Id": found["Id"]}
    client.update_web_acl(
        **name,
        DefaultAction=found["DefaultAction"],
        VisibilityConfig=found["VisibilityConfig"],
        Rules=found["Rules"][:-1],
        LockToken=client.get_web_acl(**name)["LockToken"],
    )
    return lambda: len(web_acl(system)["Rules"]) == len(found["Rules"])


def log_no_connections(system: System) -> Callable[[], bool]:
    client = system.client("ec2")
    ids = [one["FlowLogId"] for one in client.describe_flow_logs(Filters=system.filters)["FlowLogs"]]
    client.delete_flow_logs(FlowLogIds=ids)
    return lambda: bool(client.describe_flow_logs(Filters=system.filters)["FlowLogs"])


def log_every_statement(system: System) -> Callable[[], bool]:
    was, name = parameters(system)["log_statement"], system.database()["DBParameterGroups"][0]["DBParameterGroupName"]
    changed = {"ParameterName": "log_statement", "ParameterValue": "all", "ApplyMethod": "immediate"}
    system.client("rds").modify_db_parameter_group(DBParameterGroupName=name, Parameters=[changed])
    return lambda: parameters(system)["log_statement"] == was


def serve_another_certificate(system: System) -> Callable[[], bool]:
    found = listeners(system)[443]
    pem, key = tls.issue(["www.example.org"])
    other = system.client("acm").import_certificate(Certificate=pem, PrivateKey=key)["CertificateArn"]
    system.client("elbv2").modify_listener(ListenerArn=found["ListenerArn"], Certificates=[{"CertificateArn": other}])
    return lambda: listeners(system)[443]["Certificates"] == found["Certificates"]


def remove_an_add_on(system: System) -> Callable[[], bool]:
    client, cluster = system.client("eks"), {"clusterName": "django-app"}
    client.delete_addon(**cluster, addonName="kube-proxy")
    return lambda: "kube-proxy" in client.list_addons(**cluster)["addons"]


# `resource` is how the name begins.
DRIFTS = [
    Drift("a rule of the web ACL removed", "web ACL", f"{OWN}-waf", protect_no_more),
    Drift("flow logs deleted", "flow logs of", "vpc-", log_no_connections, action="create"),
    Drift("every statement logged", "DB parameter group", f"{OWN}-postgres-", log_every_statement, words=("{'log_statement': 'all'}",)),
    Drift("another certificate served", "load balancer", f"{OWN}-alb", serve_another_certificate),
    Drift("an add-on removed", "add-on", "kube-proxy", remove_an_add_on, action="create"),
]
