"""Elastic Load Balancing where moto answers at once: load balancers that are `provisioning` until something serves, target health as the
load balancer's checks find it, draining, and the checks that AWS makes before it accepts a request.

moto keeps the records; `lab.load_balancers` runs the load balancers and reports here.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from moto.acm.models import AWS_ROOT_CA, CertBundle, acm_backends
from moto.ec2.models import ec2_backends
from moto.elbv2.exceptions import DuplicateLoadBalancerName, ELBClientError, TargetGroupNotFoundError
from moto.elbv2.models import ELBv2Backend, FakeHealthStatus, FakeListener, FakeLoadBalancer, FakeTargetGroup, elbv2_backends

from lab.api import interfaces
from lab.settings import SETTINGS

# What AWS gives a new application load balancer; moto leaves most of it out.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_LoadBalancerAttribute.html
APPLICATION_ATTRIBUTES = {
    "access_logs.s3.enabled": "false",
    "client_keep_alive.seconds": "3600",
    "connection_logs.s3.bucket": "",
    "connection_logs.s3.enabled": "false",
    "connection_logs.s3.prefix": "",
    "idle_timeout.timeout_seconds": "60",
    "ipv6.deny_all_igw_traffic": "false",
    "load_balancing.cross_zone.enabled": "true",
    "routing.http.desync_mitigation_mode": "defensive",
    "routing.http.drop_invalid_header_fields.enabled": "false",
    "routing.http.preserve_host_header.enabled": "false",
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "false",
    "routing.http.xff_client_port.enabled": "false",
    "routing.http.xff_header_processing.mode": "append",
    "routing.http2.enabled": "true",
    "waf.fail_open.enabled": "false",
    "zonal_shift.config.enabled": "false",
}
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html#target-health-reason-codes
DESCRIPTIONS = {
    "Elb.RegistrationInProgress": "Target registration is in progress",
    "Elb.InitialHealthChecking": "Initial health checks in progress",
    "Target.DeregistrationInProgress": "Target deregistration is in progress",
    "Target.NotRegistered": "Target is not registered to the target group",
    "Target.NotInUse": "Target group is not configured to receive traffic from the load balancer",
    "Target.InvalidState": "Target is in the stopped state",
}


def backend() -> ELBv2Backend:
    return elbv2_backends[SETTINGS.account_id][SETTINGS.region]


# --- load balancers


def create_load_balancer(original: Callable, self: ELBv2Backend, name: str, *arguments: Any, **kwargs: Any) -> FakeLoadBalancer:
    if any(known.name == name for known in self.load_balancers.values()):
        raise DuplicateLoadBalancerName()
    load_balancer: FakeLoadBalancer = original(self, name, *arguments, **kwargs)
    if load_balancer.type == "application" and len({subnet.availability_zone for subnet in load_balancer.subnets}) < 2:
        del self.load_balancers[load_balancer.arn]
        raise ELBClientError("ValidationError", "At least two subnets in two different Availability Zones must be specified")
    if load_balancer.type == "application":
        load_balancer.attrs.update(APPLICATION_ATTRIBUTES)
    # AWS puts one into every subnet; the lab's load balancer is one container with one address.
    load_balancer.lab_interface = interfaces.create(
        self.ec2_backend,
        load_balancer.subnets[0].id,
        load_balancer.security_groups,
        f"ELB {load_balancer.arn.partition('loadbalancer/')[2]}",
    )
    return load_balancer


def delete_load_balancer(original: Callable, self: ELBv2Backend, arn: str) -> None:
    load_balancer = self.load_balancers.get(arn)
    if load_balancer is not None:
        if load_balancer.attrs.get("deletion_protection.enabled") == "true":
            raise ELBClientError("OperationNotPermitted", f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled")
        # As on AWS, the interface outlives the load balancer until its node is gone: `removed`.
        _leaving(self)[arn] = load_balancer.lab_interface
    original(self, arn)


def set_security_groups(original: Callable, self: ELBv2Backend, arn: str, sec_groups: list[str]) -> None:
    original(self, arn, sec_groups)
    interfaces.set_groups(self.ec2_backend, self.load_balancers[arn].lab_interface, sec_groups)


def _leaving(elb: ELBv2Backend) -> dict[str, Any]:
    return elb.__dict__.setdefault("lab_leaving", {})


def create_listener(original: Callable, self: ELBv2Backend, *arguments: Any, **kwargs: Any) -> FakeListener:
    names = ("load_balancer_arn", "protocol", "port", "ssl_policy", "certificate")
    given = {**dict(zip(names, arguments, strict=False)), **kwargs}
    if given.get("protocol") == "HTTPS" and not given.get("certificate"):
        raise ELBClientError("ValidationError", "A certificate must be specified for HTTPS listeners")
    load_balancer = self.load_balancers.get(given["load_balancer_arn"])
    if load_balancer is not None and any(str(known.port) == str(given["port"]) for known in load_balancer.listeners.values()):
        raise ELBClientError("DuplicateListener", "A listener already exists on this port for this load balancer")
    return original(self, *arguments, **kwargs)


def users(target_group: FakeTargetGroup) -> list[str]:
    """ARNs of the load balancers of which a listener forwards to the group now. moto only ever adds to its list."""
    elb = elbv2_backends[target_group.account_id][target_group.region_name]
    return [load_balancer.arn for load_balancer in elb.load_balancers.values() if target_group.arn in forwarded(load_balancer)]


def forwarded(load_balancer: FakeLoadBalancer) -> set[str]:
    """ARNs of the target groups that the load balancer's rules forward to."""
    rules = (rule for listener in load_balancer.listeners.values() for rule in listener.rules.values())
    return {arn for rule in rules for action in rule.actions for arn, _ in forward_weights(action.data)}


def forward_weights(action: dict[str, Any]) -> list[tuple[str, int]]:
    """Target groups and weights of a forward action, in either of its two forms."""
    if action.get("Type") != "forward":
        return []
    groups = (action.get("ForwardConfig") or {}).get("TargetGroups") or []
    if groups:
        return [(group["TargetGroupArn"], int(group.get("Weight", 1))) for group in groups]
    return [(action["TargetGroupArn"], 1)]


# --- targets


@dataclass
class Leaving:
    """A target that drains, with monotonic seconds. Requests are slow at any time scale: only the wait of one that has none is divided."""

    target: dict[str, Any]
    soonest: float
    latest: float
    busy: bool = False

    def gone(self, now: float) -> bool:
        return now > self.latest or (now > self.soonest and not self.busy)


def init_target_group(original: Callable, self: FakeTargetGroup, *arguments: Any, **kwargs: Any) -> None:
    original(self, *arguments, **kwargs)
    # Of registered targets by id: (state, reason, description).
    self.lab_health: dict[str, tuple[str, str | None, str | None]] = {}
    self.lab_draining: dict[str, Leaving] = {}


def register(original: Callable, self: FakeTargetGroup, targets: list[dict[str, Any]]) -> None:
    original(self, targets)
    for target in targets:
        self.lab_draining.pop(target["Id"], None)
        self.lab_health.setdefault(target["Id"], ("initial", "Elb.RegistrationInProgress", None))


def deregister(self: FakeTargetGroup, targets: list[dict[str, Any]]) -> None:
    """A target that is not registered is no error, says AWS's reference of DeregisterTargets."""
    delay, now = float(self.attributes["deregistration_delay.timeout_seconds"]), time.monotonic()
    for target in targets:
        known = self.targets.pop(target["Id"], None)
        health = self.lab_health.pop(target["Id"], None)
        if known and health and health[0] != "unused" and users(self):
            self.lab_draining[target["Id"]] = Leaving(known, now + SETTINGS.scaled(delay), now + delay)


def deregister_terminated(self: FakeTargetGroup, instance_ids: list[str]) -> None:
    deregister(self, [{"Id": target_id} for target_id in instance_ids if target_id in self.targets])


def draining(target_group: FakeTargetGroup) -> dict[str, dict[str, Any]]:
    """Targets by id whose time to drain is not over."""
    now = time.monotonic()
    target_group.lab_draining = {key: entry for key, entry in target_group.lab_draining.items() if not entry.gone(now)}
    return {key: entry.target for key, entry in target_group.lab_draining.items()}


def describe_target_health(self: ELBv2Backend, target_group_arn: str, targets: list[dict[str, Any]]) -> list[FakeHealthStatus]:
    target_group = self.target_groups.get(target_group_arn)
    if target_group is None:
        raise TargetGroupNotFoundError()
    return [health_of(target_group, target) for target in targets or [*target_group.targets.values(), *draining(target_group).values()]]


def health_of(target_group: FakeTargetGroup, target: dict[str, Any]) -> FakeHealthStatus:
    """State, reason and description of one target, registered or not."""
    key = target["Id"]
    known = target_group.targets.get(key)
    if known is None:
        leaving = draining(target_group).get(key)
        known = leaving or {"Id": key, "Port": target.get("Port", target_group.port)}
        state, reason = ("draining", "Target.DeregistrationInProgress") if leaving else ("unused", "Target.NotRegistered")
        description = None
    elif not users(target_group):
        state, reason, description = "unused", "Target.NotInUse", None
    elif _instance_state(target_group, key) in ("stopping", "stopped"):
        state, reason, description = "unused", "Target.InvalidState", None
    else:
        state, reason, description = target_group.lab_health[key]
    check_port = target_group.health_check_port
    port = str(known["Port"]) if check_port in (None, "traffic-port") else str(check_port)
    return FakeHealthStatus(key, known["Port"], port, state, reason, description or DESCRIPTIONS.get(reason or ""))


def _instance_state(target_group: FakeTargetGroup, target_id: str) -> str | None:
    instance = target_group.ec2_backend.get_instance_by_id(target_id) if target_id.startswith("i-") else None
    return instance.state if instance else None


# --- for the controller


def model(body: dict) -> dict:
    """Everything that a load balancer is made of, and the interfaces that wait for a container's end."""
    elb = backend()
    active = [load_balancer for load_balancer in elb.load_balancers.values() if load_balancer.type == "application"]
    return {
        "load_balancers": [_load_balancer(load_balancer) for load_balancer in active],
        "target_groups": {
            arn: _target_group(elb.target_groups[arn]) for arn in set().union(*map(forwarded, active)) & set(elb.target_groups)
        },
        "leaving": list(_leaving(elb)),
    }


def _load_balancer(load_balancer: FakeLoadBalancer) -> dict:
    return {
        "arn": load_balancer.arn,
        "name": load_balancer.name,
        "dns_name": load_balancer.dns_name,
        "state": load_balancer.state,
        "private_address": load_balancer.lab_interface.private_ip_address,
        "attributes": load_balancer.attrs,
        "listeners": [_listener(listener) for listener in load_balancer.listeners.values()],
    }


def _listener(listener: FakeListener) -> dict:
    def order(rule: Any) -> int:
        return 1 << 30 if rule.priority == "default" else int(rule.priority)

    return {
        "port": int(listener.port),
        "protocol": listener.protocol,
        "ssl_policy": listener.ssl_policy,
        "certificates": [{"arn": arn, "digest": _digest(arn)} for arn in listener.certificates],
        "rules": [
            {"conditions": rule.conditions, "actions": [action.data for action in rule.actions]}
            for rule in sorted(listener.rules.values(), key=order)
        ],
    }


def _target_group(target_group: FakeTargetGroup) -> dict:
    targets = [(target, False) for target in target_group.targets.values()]
    targets += [(target, True) for target in draining(target_group).values()]
    return {
        "arn": target_group.arn,
        "name": target_group.name,
        "protocol": target_group.protocol,
        "algorithm": target_group.attributes["load_balancing.algorithm.type"],
        "health_check": {
            "protocol": target_group.health_check_protocol,
            "port": target_group.health_check_port,
            "path": target_group.health_check_path,
            "interval": int(target_group.health_check_interval_seconds),
            "timeout": int(target_group.health_check_timeout_seconds),
            "healthy": int(target_group.healthy_threshold_count),
            "unhealthy": int(target_group.unhealthy_threshold_count),
            "matcher": target_group.matcher["HttpCode"],
        },
        "targets": [_target(target_group, target, leaving) for target, leaving in targets],
    }


def _target(target_group: FakeTargetGroup, target: dict[str, Any], leaving: bool) -> dict:
    key = target["Id"]
    instance = target_group.ec2_backend.get_instance_by_id(key) if key.startswith("i-") else None
    return {
        "id": key,
        "address": instance.private_ip if instance else (None if key.startswith("i-") else key),
        "port": int(target["Port"]),
        "draining": leaving,
        "busy": leaving and target_group.lab_draining[key].busy,
        "stopped": bool(instance and instance.state in ("stopping", "stopped")),
        "health": None if leaving else target_group.lab_health[key],
    }


def _certificate(arn: str) -> CertBundle:
    return acm_backends[SETTINGS.account_id][SETTINGS.region].get_certificate(arn)


def _digest(arn: str) -> str:
    return hashlib.sha256(_certificate(arn).cert).hexdigest()[:16]


def certificate(body: dict) -> dict:
    """A certificate of ACM by `arn`: an imported one with its key (PEM), one that ACM issued by the names that it is for."""
    bundle = _certificate(body["arn"])
    if bundle.type == "IMPORTED":
        chain = bundle.chain.replace(AWS_ROOT_CA, b"").strip()
        return {"pem": b"\n".join((bundle.cert.strip(), chain, bundle.key.strip(), b"")).decode()}
    return {"names": list(dict.fromkeys([bundle.common_name, *bundle.sans]))}


def report(body: dict) -> dict:
    """The controller's word: `states` of load balancers by ARN, `health` by target group ARN and target id as [state, reason, description],
    `busy` draining targets by target group ARN and target id, `removed` ARNs of load balancers of which nothing runs any more."""
    elb = backend()
    for arn, state in body.get("states", {}).items():
        if arn in elb.load_balancers:
            elb.load_balancers[arn].state = state
    for arn, targets in body.get("health", {}).items():
        for target_id, found in targets.items():
            if arn in elb.target_groups and target_id in elb.target_groups[arn].targets:
                elb.target_groups[arn].lab_health[target_id] = tuple(found)
    for arn, targets in body.get("busy", {}).items():
        for target_id, busy in targets.items():
            if arn in elb.target_groups and target_id in elb.target_groups[arn].lab_draining:
                elb.target_groups[arn].lab_draining[target_id].busy = busy
    for arn in body.get("removed", []):
        interfaces.delete(ec2_backends[SETTINGS.account_id][SETTINGS.region], _leaving(elb).pop(arn, None))
    return {}


ROUTES: dict[str, Callable[[dict], dict]] = {"elbv2_model": model, "elbv2_certificate": certificate, "elbv2_report": report}


def _wrap(owner: type, name: str, replacement: Callable) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapper(self: Any, *arguments: Any, **kwargs: Any) -> Any:
        return replacement(original, self, *arguments, **kwargs)

    setattr(owner, name, wrapper)


def install() -> None:
    """Patch moto's Elastic Load Balancing."""
    _wrap(ELBv2Backend, "create_load_balancer", create_load_balancer)
    _wrap(ELBv2Backend, "delete_load_balancer", delete_load_balancer)
    _wrap(ELBv2Backend, "set_security_groups", set_security_groups)
    _wrap(ELBv2Backend, "create_listener", create_listener)
    _wrap(FakeTargetGroup, "__init__", init_target_group)
    _wrap(FakeTargetGroup, "register", register)
    FakeTargetGroup.deregister = deregister
    FakeTargetGroup.deregister_terminated_instances = deregister_terminated
    FakeTargetGroup.load_balancer_arns = property(users, lambda self, value: None)
    # moto makes a load balancer active at its first description.
    FakeLoadBalancer.activate = lambda self: None
    ELBv2Backend.describe_target_health = describe_target_health
