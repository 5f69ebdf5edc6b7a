"""Asked of the Kubernetes API: what watches, what it may read, and what is left when it is removed."""

from __future__ import annotations

import base64
import json

import pytest
import yaml

from tests.molecule.fixtures import kubernetes

EXPECTED = {"defaults": ("monitoring", "django-app"), "altered": ("watch", "shops")}


@pytest.fixture
def namespaces(account) -> tuple[str, str]:
    """Its own, and the application's."""
    return EXPECTED[account.environment]


def get(*arguments: str) -> dict:
    return json.loads(kubernetes("kubectl", "get", *arguments, "--output", "json"))


def may(verb: str, what: str, namespace: str, account_name: str, of: str) -> bool:
    user = f"system:serviceaccount:{of}:{account_name}"
    where = ["--namespace", namespace] if namespace else ["--all-namespaces"]
    # kubectl takes what follows a slash for a name.
    resource, _, subresource = what.partition("/")
    where += [f"--subresource={subresource}"] if subresource else []
    return kubernetes("kubectl", "auth", "can-i", verb, resource, *where, f"--as={user}", check=False).strip() == "yes"


def test_workloads(account, namespaces):
    found = {one["metadata"]["name"]: one for one in get("deployments", "--namespace", namespaces[0])["items"]}
    assert set(found) == {"prometheus", "kube-state-metrics", "grafana"}
    container = found["prometheus"]["spec"]["template"]["spec"]["containers"][0]
    altered = account.environment == "altered"
    assert ("registry.example.com" in container["image"]) is altered
    assert f"--storage.tsdb.retention.time={3 if altered else 15}d" in container["args"]
    assert container["resources"]["limits"]["memory"] == ("512Mi" if altered else "1Gi")


def test_a_volume_where_one_is_asked_for(account, namespaces):
    claims = get("persistentvolumeclaims", "--namespace", namespaces[0])["items"]
    found = [(claim["spec"]["resources"]["requests"]["storage"], claim["spec"]["storageClassName"]) for claim in claims]
    assert found == ([("20Gi", "watch-prometheus")] if account.environment == "altered" else [])
    classes = {one["metadata"]["name"]: one["parameters"] for one in get("storageclasses")["items"]}
    assert classes == {"watch-prometheus": {"type": "gp3", "encrypted": "true"}}


def test_the_namespace_is_restricted(namespaces):
    assert get("namespace", namespaces[0])["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_prometheus_reads_what_it_watches_and_nothing_else(namespaces):
    own, application = namespaces
    assert may("list", "pods", application, "prometheus", own) and may("list", "nodes", "", "prometheus", own)
    assert may("get", "nodes/metrics", "", "prometheus", own)
    for verb, what, where in (("list", "secrets", application), ("list", "pods", "kube-system"), ("delete", "pods", application)):
        assert not may(verb, what, where, "prometheus", own), f"it may {verb} {what} in {where}"
    assert may("list", "deployments.apps", application, "kube-state-metrics", own)
    assert not may("list", "secrets", application, "kube-state-metrics", own)
    assert not may("list", "pods", own, "default", own)


def test_what_is_scraped(account, namespaces):
    own, application = namespaces
    data = get("configmap", "prometheus-config", "--namespace", own)["data"]
    configuration = yaml.safe_load(data["prometheus.yml"])
    jobs = {job["job_name"]: job for job in configuration["scrape_configs"]}
    assert jobs["pods"]["kubernetes_sd_configs"][0]["namespaces"]["names"] == [application, own]
    assert ("instances" in jobs) is (account.environment == "defaults")
    assert configuration["global"]["external_labels"] == {"environment": account.environment}
    assert {name for name in data if name.startswith("alerts-")} == {
        f"alerts-{name}.yml" for name in ("application", "database", "infrastructure")
    }


def test_dashboards_are_provisioned(namespaces):
    data = get("configmap", "grafana-dashboards", "--namespace", namespaces[0])["data"]
    assert {name: json.loads(text)["title"] for name, text in data.items()} == {
        "application.json": "Application performance", "infrastructure.json": "Infrastructure", "database.json": "Database",
    }  # fmt: skip


def test_grafana_s_password_is_nobody_s_guess(account, namespaces):
    # Lengths and equality: a failed comparison would print them.
    password = base64.b64decode(get("secret", "grafana-admin", "--namespace", namespaces[0])["data"]["password"])
    assert len(password) == 32
    other = next(pair[0] for name, pair in EXPECTED.items() if name != account.environment)
    same = base64.b64decode(get("secret", "grafana-admin", "--namespace", other)["data"]["password"]) == password
    assert not same


def test_gone(namespaces):
    own, application = namespaces
    assert own not in {one["metadata"]["name"] for one in get("namespaces")["items"]}
    for kind in ("roles", "rolebindings", "jobs"):
        assert get(kind, "--namespace", application, "--selector", "app.kubernetes.io/part-of=monitoring")["items"] == [], kind
    for kind in ("clusterroles", "clusterrolebindings", "storageclasses"):
        assert f"{own}-prometheus" not in {one["metadata"]["name"] for one in get(kind)["items"]}
