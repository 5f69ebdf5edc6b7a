"""Seed: Load balancing."""

from __future__ import annotations

from tests.acceptance.system import System, only


def check_load_balancer(system: System) -> None:
    balancer = system.load_balancer()
    assert (balancer["Type"], balancer["Scheme"], balancer["State"]["Code"]) == ("application", "internet-facing", "active")
    zones = {zone["SubnetId"] for zone in balancer["AvailabilityZones"]}
    assert zones == {subnet["SubnetId"] for subnet in system.subnets("public")}
    assert balancer["SecurityGroups"] == [system.security_group("load_balancer")["GroupId"]]


def check_target_group(system: System) -> None:
    group = system.target_group()
    expected = {
        "Protocol": "HTTP",
        "Port": 80,
        "TargetType": "instance",
        "VpcId": system.vpc_id(),
        "HealthCheckProtocol": "HTTP",
        "HealthCheckPath": "/health",
        "HealthCheckIntervalSeconds": 30,
        "HealthCheckTimeoutSeconds": 5,
        "HealthyThresholdCount": 2,
        "UnhealthyThresholdCount": 2,
    }
    assert {key: group[key] for key in expected} == expected
    assert group["Matcher"]["HttpCode"] == "200"


def check_listeners(system: System) -> None:
    """HTTP forwards as long as no certificate is given; with one it redirects and HTTPS forwards."""
    arn = system.load_balancer()["LoadBalancerArn"]
    listeners = {entry["Port"]: entry for entry in system.client("elbv2").describe_listeners(LoadBalancerArn=arn)["Listeners"]}
    action = {port: only(entry["DefaultActions"], "action") for port, entry in listeners.items()}
    if 443 in listeners:
        assert listeners[443]["Protocol"] == "HTTPS" and listeners[443]["Certificates"]
        assert action[80]["Type"] == "redirect" and action[80]["RedirectConfig"]["Protocol"] == "HTTPS"
    assert set(listeners) in ({80}, {80, 443}) and listeners[80]["Protocol"] == "HTTP"
    serving = action[443] if 443 in listeners else action[80]
    assert serving["Type"] == "forward" and serving["TargetGroupArn"] == system.target_group()["TargetGroupArn"]


def check_targets_are_healthy(system: System) -> None:
    """As the load balancer's own checks found them."""
    states = system.target_states()
    assert states == {machine["InstanceId"]: "healthy" for machine in system.instances("app")}
    assert len(states) == 2
