"""The lab's load balancer: HAProxy's configuration for AWS's rules, and AWS's words for what HAProxy finds."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from botocore.exceptions import ClientError
from moto.elbv2.models import ELBv2Backend, FakeLoadBalancer, FakeTargetGroup

from lab import haproxy_config as config
from lab import load_balancers
from lab.api import elbv2 as addition
from tests.unit.moto_patches import client, patched

PUBLISHED = {80: 8080, 443: 8443}
CHECK = {
    "protocol": "HTTP",
    "port": "traffic-port",
    "path": "/health",
    "interval": 30,
    "timeout": 5,
    "healthy": 2,
    "unhealthy": 2,
    "matcher": "200",
}


def target_group(name="tg", **changes):
    return {
        "arn": f"arn:{name}",
        "name": name,
        "protocol": "HTTP",
        "algorithm": "round_robin",
        "health_check": CHECK,
        "targets": [],
        **changes,
    }


def target(target_id="i-1", address="10.0.10.5", port=80, stopped=False):
    return {
        "id": target_id,
        "address": address,
        "port": port,
        "stopped": stopped,
        "draining": False,
        "busy": False,
        "health": load_balancers.INITIAL,
    }


def forward(*groups):
    return {"Type": "forward", "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": f"arn:{name}", "Weight": w} for name, w in groups]}}


def load_balancer(*rules, protocol="HTTP", port=80, attributes=None):
    listener = {"port": port, "protocol": protocol, "ssl_policy": "ELBSecurityPolicy-TLS13-1-2-2021-06", "certificates": [], "rules": []}
    listener["rules"] = list(rules) or [{"conditions": [], "actions": [forward(("tg", 1))]}]
    return {"name": "alb", "attributes": attributes or {}, "listeners": [listener]}


def render(balancer, *groups):
    return config.render(balancer, {group["arn"]: group for group in groups or (target_group(),)}, PUBLISHED, scale=10)


# --- health checks


def test_waits_are_scaled_thresholds_and_timeouts_are_not():
    text = render(load_balancer())
    options = config.server_options(target_group(), scale=10)
    assert options == "check inter 3000ms rise 2 fall 2"
    assert "timeout check 5s" in text
    assert "http-check expect status 200" in text
    assert "uri '/health'" in text


def test_a_check_port_of_its_own_and_https():
    checked = target_group(protocol="HTTPS", health_check={**CHECK, "port": "8443", "protocol": "HTTPS"})
    assert config.server_options(checked, 1) == "check inter 30000ms rise 2 fall 2 port 8443 check-ssl ssl verify none"


@pytest.mark.parametrize(("port", "host"), [(80, "10.0.10.5"), (8000, "10.0.10.5:8000")])
def test_a_servers_name_holds_the_host_that_checks_send(port, host):
    assert config.Server("i-1", "10.0.10.5", port).name.split("_")[1] == host


def test_a_reload_keeps_the_servers_that_haproxy_has_and_no_others():
    group = target_group(targets=[target("i-1"), target("i-2", "10.0.11.5"), target("i-3", "10.0.11.6", stopped=True)])
    present = {"tg_tg": {"i-1_10.0.10.5", "i-1_10.0.10.5_spare", "i-2_10.0.11.5", "i-3_10.0.11.6"}}
    text = config.with_servers(render(load_balancer(), group), present, {group["arn"]: group}, scale=10)
    servers = re.findall(r"^  server (\S+)", text, re.MULTILINE)
    assert servers == ["i-1_10.0.10.5", "i-1_10.0.10.5_spare", "i-2_10.0.11.5"]


# --- rules


def test_the_first_rule_that_matches_decides_whatever_its_action():
    fixed = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}
    first = {"conditions": [{"Field": "path-pattern", "Values": ["/keep*"]}], "actions": [forward(("tg", 1))]}
    text = render(load_balancer(first, {"conditions": [], "actions": [fixed]}))
    assert "set-var(txn.rule) int(0) if !{ var(txn.rule) -m found } { path -m reg '^/keep.*$' }" in text
    assert "return status 404 hdr Server awselb/2.0 if { var(txn.rule) -m int eq 1 }" in text
    assert "use_backend tg_tg if { var(txn.rule) -m int eq 0 }" in text


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"Field": "path-pattern", "PathPatternConfig": {"Values": ["/a.b/?", "/c*"]}}, r"{ path -m reg '^/a\.b/.$' '^/c.*$' }"),
        ({"Field": "host-header", "Values": ["*.example.com"]}, r"{ req.hdr(Host),field(1,:) -m reg -i '^.*\.example\.com$' }"),
        ({"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["GET", "HEAD"]}}, "{ method -m str GET HEAD }"),
        ({"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8"]}}, "{ src 10.0.0.0/8 }"),
        (
            {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-A", "Values": ["it's"]}},
            r"{ req.fhdr(X-A) -m reg -i '^it'\''s$' }",
        ),
        (
            {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "v", "Value": "1*"}]}},
            "{ query -m reg -i '(?:^|&)v=1.*(?:&|$)' }",
        ),
    ],
)
def test_conditions(condition, expected):
    assert config.condition(condition) == expected


def test_weights_are_thrown_among_those_that_are_left():
    groups = {f"arn:{name}": target_group(name) for name in "abc"}
    lines = config.forward(forward(("a", 20), ("b", 30), ("c", 50)), groups, "{ chosen }")
    assert lines == [
        "  use_backend tg_a if { chosen } { rand(100) lt 20 }",
        "  use_backend tg_b if { chosen } { rand(80) lt 30 }",
        "  use_backend tg_c if { chosen }",
    ]


def test_a_weight_of_zero_gets_nothing():
    groups = {f"arn:{name}": target_group(name) for name in "ab"}
    assert config.forward(forward(("a", 0), ("b", 1)), groups, "{ chosen }") == ["  use_backend tg_b if { chosen }"]


def test_a_redirect_names_the_port_and_the_published_one_to_who_came_by_it():
    listener = {"port": 80, "protocol": "HTTP"}
    by_published, other = config.redirect({"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}, listener, "{ chosen }", PUBLISHED)
    assert 'location "https://%[req.hdr(Host),field(1,:)]:8443/%[path,regsub(^/,,)]?%[query]"' in by_published
    assert by_published.endswith("if { chosen } { req.hdr(Host) -m end :8080 }")
    assert 'location "https://%[req.hdr(Host),field(1,:)]:443/%[path,regsub(^/,,)]?%[query]"' in other


def test_what_the_client_says_of_protocol_and_port_is_replaced():
    text = render(load_balancer(protocol="HTTPS", port=443))
    assert "set-header X-Forwarded-Proto https" in text
    assert "set-header X-Forwarded-Port 443" in text


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("ELBSecurityPolicy-TLS13-1-2-2021-06", "ssl-min-ver TLSv1.2"),
        ("ELBSecurityPolicy-TLS13-1-3-2021-06", "ssl-min-ver TLSv1.3"),
        ("ELBSecurityPolicy-TLS-1-2-Ext-2018-06", "ssl-min-ver TLSv1.2 ssl-max-ver TLSv1.2"),
        ("ELBSecurityPolicy-2016-08", "ssl-min-ver TLSv1.0 ssl-max-ver TLSv1.2"),
    ],
)
def test_tls_versions_of_a_policy(policy, expected):
    balancer = load_balancer(protocol="HTTPS", port=443)
    balancer["listeners"][0].update(ssl_policy=policy, certificates=[{"arn": "arn:aws:acm:x:certificate/abc", "digest": "d1"}])
    bind = next(line for line in render(balancer).splitlines() if line.startswith("  bind"))
    assert bind == f"  bind :443 ssl crt /etc/haproxy/certificates/abc-d1.pem alpn h2,http/1.1 {expected}"


def test_timeouts_are_awss():
    assert "timeout server 60s" in render(load_balancer())
    assert "timeout server 120s" in render(load_balancer(attributes={"idle_timeout.timeout_seconds": "120"}))
    assert "timeout connect 10s" in render(load_balancer())


def test_an_error_page_is_a_whole_response_of_the_stated_length():
    head, body = config.error_page(503).split("\r\n\r\n", 1)
    assert head.startswith("HTTP/1.1 503 Service Temporarily Unavailable\r\nServer: awselb/2.0")
    assert f"Content-Length: {len(body)}" in head


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="no haproxy on this machine to read the configuration")
def test_haproxy_accepts_it_all(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "FOLDER", str(tmp_path))
    (tmp_path / "errors").mkdir()
    for status in config.ERRORS:
        (tmp_path / "errors" / f"{status}.http").write_bytes(config.error_page(status).encode())
    redirect = {"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}}
    fixed = {
        "Type": "fixed-response",
        "FixedResponseConfig": {"StatusCode": "200", "ContentType": "text/plain", "MessageBody": "it's 100 % {ok}"},
    }
    conditions = [
        {"Field": "path-pattern", "Values": ["/a b/'*"]},
        {"Field": "host-header", "Values": ["*.example.com"]},
        {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["GET"]}},
        {"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8"]}},
        {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-A", "Values": ["b"]}},
        {"Field": "query-string", "QueryStringConfig": {"Values": [{"Value": "1"}]}},
    ]
    group, other = target_group(targets=[target()]), target_group("other", health_check={**CHECK, "matcher": "200-299,301"})
    balancer = load_balancer(
        {"conditions": conditions, "actions": [redirect]},
        {"conditions": [], "actions": [fixed]},
        {"conditions": [], "actions": [forward(("tg", 3), ("other", 1))]},
    )
    groups = {one["arn"]: one for one in (group, other)}
    present = {"tg_tg": {"i-1_10.0.10.5", "i-1_10.0.10.5_spare"}}
    text = config.with_servers(config.render(balancer, groups, PUBLISHED, 10), present, groups, 10)
    (tmp_path / "haproxy.cfg").write_text(text.replace("bind :80", "bind 127.0.0.1:1"))
    checked = subprocess.run(["haproxy", "-c", "-f", str(tmp_path / "haproxy.cfg")], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


# --- health


HEALTHY = ("healthy", None, None)
SICK = ("unhealthy", "Target.ResponseCodeMismatch", "Health checks failed with these codes: [503]")


def row(status, check_status="", check_code="", lastchg="0"):
    return {"status": status, "check_status": check_status, "check_code": check_code, "lastchg": lastchg}


@pytest.mark.parametrize(
    ("found", "before", "expected"),
    [
        (row("DOWN", "INI"), load_balancers.INITIAL, load_balancers.INITIAL),
        (row("DOWN 1/2", "L7OK"), load_balancers.INITIAL, HEALTHY),
        (row("DOWN 1/2", "* L7OK"), load_balancers.INITIAL, HEALTHY),
        (row("UP", "L7OK"), load_balancers.INITIAL, HEALTHY),
        # Two failures at 3 s each (30 s at scale 10), and a time-out of 5 s.
        (row("DOWN", "L4CON", lastchg="10"), load_balancers.INITIAL, load_balancers.INITIAL),
        (row("DOWN", "L4CON", lastchg="11"), load_balancers.INITIAL, ("unhealthy", "Target.FailedHealthChecks", "Health checks failed")),
        (row("UP 1/2", "L7STS", "503"), HEALTHY, HEALTHY),
        (row("DOWN", "L7STS", "503"), HEALTHY, SICK),
        (row("DOWN", "* L7STS", "503"), HEALTHY, SICK),
        (row("DOWN", "L7TOUT"), HEALTHY, ("unhealthy", "Target.Timeout", "Request timed out")),
        (row("DOWN 1/2", "L7OK", "200"), SICK, SICK),
        (row("UP", "L7OK", "200"), SICK, HEALTHY),
    ],
)
def test_health_in_awss_words(found, before, expected):
    assert load_balancers.health_of(found, before, CHECK, scale=10) == expected


# --- the API


@pytest.fixture
def elb():
    """A client of an account with a load balancer `alb` that forwards to the target group `tg`, which has the target 10.0.10.5."""
    with patched(addition, ELBv2Backend, FakeTargetGroup, FakeLoadBalancer):
        ec2, elb = client("ec2"), client("elbv2")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        elb.subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"]["SubnetId"]
            for number, zone in ((1, "a"), (2, "b"))
        ]
        elb.group = ec2.create_security_group(GroupName="lb", Description="d", VpcId=vpc)["GroupId"]
        elb.create_target_group(Name="tg", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip", HealthCheckPath="/health")
        elb.create_load_balancer(Name="alb", Subnets=elb.subnets, SecurityGroups=[elb.group])
        elb.tg = elb.describe_target_groups()["TargetGroups"][0]["TargetGroupArn"]
        elb.lb = elb.describe_load_balancers()["LoadBalancers"][0]["LoadBalancerArn"]
        elb.register_targets(TargetGroupArn=elb.tg, Targets=[{"Id": "10.0.10.5"}])
        yield elb


def listen(elb):
    return elb.create_listener(
        LoadBalancerArn=elb.lb, Protocol="HTTP", Port=80, DefaultActions=[{"Type": "forward", "TargetGroupArn": elb.tg}]
    )["Listeners"][0]["ListenerArn"]


def health(elb, **options):
    (found,) = elb.describe_target_health(TargetGroupArn=elb.tg, **options)["TargetHealthDescriptions"]
    return (found["TargetHealth"]["State"], found["TargetHealth"].get("Reason"))


def test_a_load_balancer_is_provisioning_until_the_controller_says_otherwise(elb):
    def state():
        return elb.describe_load_balancers()["LoadBalancers"][0]["State"]["Code"]

    assert (state(), state()) == ("provisioning", "provisioning")
    addition.report({"states": {elb.lb: "active"}})
    assert state() == "active"


def test_target_health_follows_listener_and_controller(elb):
    assert health(elb) == ("unused", "Target.NotInUse")
    listener = listen(elb)
    assert health(elb) == ("initial", "Elb.RegistrationInProgress")
    addition.report({"health": {elb.tg: {"10.0.10.5": list(HEALTHY)}}})
    assert health(elb) == ("healthy", None)
    assert elb.describe_target_groups()["TargetGroups"][0]["LoadBalancerArns"] == [elb.lb]
    elb.delete_listener(ListenerArn=listener)
    assert elb.describe_target_groups()["TargetGroups"][0]["LoadBalancerArns"] == []


def test_a_deregistered_target_drains_and_is_then_unknown(elb, monkeypatch):
    listen(elb)
    now = [1000.0]
    monkeypatch.setattr(addition.time, "monotonic", lambda: now[0])
    elb.modify_target_group_attributes(TargetGroupArn=elb.tg, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "30"}])
    elb.deregister_targets(TargetGroupArn=elb.tg, Targets=[{"Id": "10.0.10.5"}])
    assert health(elb) == ("draining", "Target.DeregistrationInProgress")
    (seen,) = addition.model({})["target_groups"][elb.tg]["targets"]
    assert seen["draining"]
    now[0] += addition.SETTINGS.scaled(30) + 0.1
    assert elb.describe_target_health(TargetGroupArn=elb.tg)["TargetHealthDescriptions"] == []
    assert health(elb, Targets=[{"Id": "10.0.10.5"}]) == ("unused", "Target.NotRegistered")
    elb.deregister_targets(TargetGroupArn=elb.tg, Targets=[{"Id": "10.0.10.5"}])


def test_a_draining_target_with_requests_has_the_whole_delay(elb, monkeypatch):
    listen(elb)
    now = [1000.0]
    monkeypatch.setattr(addition.time, "monotonic", lambda: now[0])
    elb.modify_target_group_attributes(TargetGroupArn=elb.tg, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "30"}])
    elb.deregister_targets(TargetGroupArn=elb.tg, Targets=[{"Id": "10.0.10.5"}])
    addition.report({"busy": {elb.tg: {"10.0.10.5": True}}})
    now[0] += 29
    assert health(elb) == ("draining", "Target.DeregistrationInProgress")
    now[0] += 2
    assert elb.describe_target_health(TargetGroupArn=elb.tg)["TargetHealthDescriptions"] == []


def test_a_target_that_comes_back_begins_anew(elb):
    listen(elb)
    addition.report({"health": {elb.tg: {"10.0.10.5": list(HEALTHY)}}})
    elb.deregister_targets(TargetGroupArn=elb.tg, Targets=[{"Id": "10.0.10.5"}])
    elb.register_targets(TargetGroupArn=elb.tg, Targets=[{"Id": "10.0.10.5"}])
    assert health(elb) == ("initial", "Elb.RegistrationInProgress")


def test_the_interface_outlives_the_load_balancer_until_its_container_is_gone(elb):
    interfaces = client("ec2").describe_network_interfaces
    elb.delete_load_balancer(LoadBalancerArn=elb.lb)
    assert addition.model({})["leaving"] == [elb.lb]
    assert len(interfaces()["NetworkInterfaces"]) == 1
    addition.report({"removed": [elb.lb]})
    assert interfaces()["NetworkInterfaces"] == []


def test_what_aws_refuses_is_refused(elb):
    with pytest.raises(ClientError, match="two different Availability Zones"):
        elb.create_load_balancer(Name="small", Subnets=elb.subnets[:1])
    with pytest.raises(ClientError, match="DuplicateLoadBalancerName"):
        elb.create_load_balancer(Name="alb", Subnets=elb.subnets)
    listen(elb)
    with pytest.raises(ClientError, match="DuplicateListener"):
        listen(elb)
    with pytest.raises(ClientError, match="certificate must be specified"):
        elb.create_listener(
            LoadBalancerArn=elb.lb, Protocol="HTTPS", Port=443, DefaultActions=[{"Type": "forward", "TargetGroupArn": elb.tg}]
        )
    elb.modify_load_balancer_attributes(LoadBalancerArn=elb.lb, Attributes=[{"Key": "deletion_protection.enabled", "Value": "true"}])
    with pytest.raises(ClientError, match="deletion protection"):
        elb.delete_load_balancer(LoadBalancerArn=elb.lb)
    assert len(elb.describe_load_balancers()["LoadBalancers"]) == 1


def test_the_model_names_rules_in_their_order(elb):
    listener = listen(elb)
    for priority, path in ((20, "/b"), (3, "/a")):
        elb.create_rule(
            ListenerArn=listener,
            Priority=priority,
            Conditions=[{"Field": "path-pattern", "Values": [path]}],
            Actions=[{"Type": "forward", "TargetGroupArn": elb.tg}],
        )
    (balancer,) = addition.model({})["load_balancers"]
    conditions = [rule["conditions"] for rule in balancer["listeners"][0]["rules"]]
    assert [one[0]["Values"] if one else [] for one in conditions] == [["/a"], ["/b"], []]
    assert balancer["private_address"].startswith("10.0.1.")
