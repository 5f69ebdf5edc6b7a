"""What the lab's ingress controller makes of an ingress of class alb."""

from __future__ import annotations

import pytest

from lab.kubernetes import ingress_model
from lab.kubernetes.ingress_model import Backend, ModelError

ANNOTATIONS = {"scheme": "internet-facing", "target-type": "ip", "healthcheck-path": "/ready"}


def ingress(annotations: dict | None = None, **spec) -> dict:
    named = {f"{ingress_model.PREFIX}{name}": value for name, value in (ANNOTATIONS if annotations is None else annotations).items()}
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}
    return {
        "metadata": {"namespace": "django-app", "name": "django-app", "annotations": named},
        "spec": {"ingressClassName": "alb", "rules": [{"http": {"paths": [path]}}], **spec},
    }


def path(text: str, kind: str = "Prefix", service: str = "web", port: str | int = 80) -> dict:
    named = {"name": port} if isinstance(port, str) else {"number": port}
    return {"path": text, "pathType": kind, "backend": {"service": {"name": service, "port": named}}}


def test_the_seeds_ingress():
    stack = ingress_model.stack("one", ingress())
    assert stack.load_balancer.startswith("k8s-djangoap-djangoap-")
    assert len(stack.load_balancer) <= 32
    assert stack.scheme == "internet-facing"
    assert stack.listeners == [{"protocol": "HTTP", "port": 80, "redirect": None, "certificates": []}]
    assert stack.rules == [([{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/*"]}}], Backend("web", 80))]
    assert stack.tags["ingress.k8s.aws/stack"] == "django-app/django-app"
    assert stack.unknown == []


def test_names_differ_between_clusters_and_stay_between_calls():
    assert ingress_model.stack("one", ingress()).load_balancer == ingress_model.stack("one", ingress()).load_balancer
    assert ingress_model.stack("one", ingress()).load_balancer != ingress_model.stack("two", ingress()).load_balancer


@pytest.mark.parametrize(
    ("spec", "mine"),
    [({"ingressClassName": "alb"}, True), ({"ingressClassName": "nginx"}, False), ({"ingressClassName": None}, False)],
)
def test_only_its_own_class_is_served(spec, mine):
    assert ingress_model.is_ours(ingress(**spec)) is mine


def test_the_old_annotation_names_the_class_too():
    old = ingress(ingressClassName=None)
    old["metadata"]["annotations"]["kubernetes.io/ingress.class"] = "alb"
    assert ingress_model.is_ours(old)


def test_a_certificate_makes_it_https_and_plain_requests_are_redirected():
    annotations = {"listen-ports": '[{"HTTP": 80}, {"HTTPS": 443}]', "certificate-arn": "arn:one, arn:two", "ssl-redirect": "443"}
    plain, secure = ingress_model.stack("one", ingress(annotations)).listeners
    assert plain["redirect"] == "443"
    assert (secure["redirect"], secure["certificates"]) == (None, ["arn:one", "arn:two"])
    assert [found["port"] for found in ingress_model.listeners({"certificate-arn": "arn:one"})] == [443]


@pytest.mark.parametrize(
    ("annotations", "why"),
    [
        ({"scheme": "public"}, "unknown scheme"),
        ({"target-type": "pod"}, "unknown target-type"),
        ({"listen-ports": "80"}, "listen-ports"),
        ({"listen-ports": '[{"TCP": 80}]'}, "HTTP or HTTPS"),
        ({"listen-ports": '[{"HTTPS": 443}]'}, "no certificate"),
    ],
)
def test_what_cannot_be_served_says_why(annotations, why):
    with pytest.raises(ModelError, match=why):
        ingress_model.stack("one", ingress(annotations))


def test_annotations_that_nothing_is_done_about_are_named():
    assert ingress_model.stack("one", ingress({"shield-advanced-protection": "true"})).unknown == ["shield-advanced-protection"]


def test_exact_and_longer_paths_are_asked_first():
    rules = [{"host": "a.example", "http": {"paths": [path("/"), path("/api"), path("/api", "Exact", port="http"), path("/api/v1/")]}}]
    found = ingress_model.stack("one", ingress(rules=rules)).rules
    assert [conditions[1]["PathPatternConfig"]["Values"] for conditions, _ in found] == [
        ["/api"],
        ["/api/v1", "/api/v1/*"],
        ["/api", "/api/*"],
        ["/*"],
    ]
    assert found[0][1] == Backend("web", "http")
    assert all(conditions[0]["HostHeaderConfig"]["Values"] == ["a.example"] for conditions, _ in found)


def test_a_default_backend_gets_a_target_group_of_its_own():
    stack = ingress_model.stack("one", ingress(defaultBackend={"service": {"name": "other", "port": {"number": 81}}}))
    assert stack.backends == [Backend("web", 80), Backend("other", 81)]
    assert stack.target_group(stack.backends[0]) != stack.target_group(stack.backends[1])


def endpoint(address: str, **conditions) -> dict:
    return {"addresses": [address], "conditions": conditions, "targetRef": {"name": f"pod-{address}"}}


def test_pods_are_targets_while_they_are_ready_or_wait_for_the_load_balancer():
    port = {"name": "http", "port": 80}
    slices = [
        {
            "ports": [{"name": "http", "port": 8000}, {"name": "metrics", "port": 8001}],
            "endpoints": [
                endpoint("1", ready=True),
                endpoint("2", ready=False),
                endpoint("3", ready=False),
                endpoint("4", ready=True, terminating=True),
            ],
        }
    ]
    assert ingress_model.pod_targets(slices, port, {"pod-3"}) == {"1": 8000, "3": 8000}
    assert ingress_model.pod_targets([{"ports": None, "endpoints": None}], port, set()) == {}


@pytest.mark.parametrize("wanted", ["http", 80])
def test_a_service_port_is_found_by_name_and_number(wanted):
    service = {"spec": {"ports": [{"name": "http", "port": 80, "nodePort": 30080}]}}
    assert ingress_model.service_port(service, Backend("web", wanted))["nodePort"] == 30080
    with pytest.raises(ModelError, match="unable to find port 81"):
        ingress_model.service_port(service, Backend("web", 81))


def test_the_health_check_is_what_the_annotations_say():
    check = ingress_model.health_check({"healthcheck-path": "/ready", "healthcheck-interval-seconds": "10", "success-codes": "200-299"})
    assert (check["HealthCheckPath"], check["HealthCheckIntervalSeconds"], check["Matcher"]) == ("/ready", 10, {"HttpCode": "200-299"})


def test_pairs():
    assert ingress_model.pairs("a=b, c=d=e,") == {"a": "b", "c": "d=e"}
