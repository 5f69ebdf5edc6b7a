"""Seed: the chart and what watches it, as a visitor and an operator find them. A system without a cluster is skipped, and says so."""

from __future__ import annotations

import base64
import json
import re
import urllib.error
import urllib.request

from lab.settings import SETTINGS
from tests.acceptance import cluster
from tests.acceptance.app import LOOK_AT_DATABASE, refuses_strangers
from tests.acceptance.kubectl import APPLICATION, MONITORING, kubectl, objects, pods, prometheus, ready
from tests.acceptance.system import System, only

# Who is logged in, as whom it works, and whether it belongs to the role that owns everything.
USER = (
    "from django.db import connection as c; k = c.cursor(); "
    "k.execute(\"SELECT session_user, current_user, pg_has_role(session_user, 'django_owner', 'member')\"); print(*k.fetchone())"
)


def address(system: System) -> str:
    """Where a browser finds the application in the cluster."""
    cluster.expected(system)
    outputs = json.loads((SETTINGS.state / "outputs.json").read_text("utf-8"))
    assert outputs["kubernetes_app_url"], "the outputs do not say where the application is"
    return outputs["kubernetes_app_url"].rstrip("/")


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=15) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def check_pods_run_on_two_nodes(system: System) -> None:
    cluster.expected(system)
    running = pods()
    assert 2 <= len(running) <= 5 and all(ready(pod) for pod in running)
    assert len({pod["spec"]["nodeName"] for pod in running}) == 2


def check_page_answers_from_postgresql(system: System) -> None:
    status, page = get(address(system))
    assert status == 200 and "PostgreSQL" in page
    names = {pod["metadata"]["name"] for pod in pods()}
    assert any(name in page for name in names), "the page does not come from a pod"


def check_pods_check_the_database_s_certificate(system: System) -> None:
    """As the instances do; and the exporter is told to."""
    cluster.expected(system)
    for pod in pods():
        name = pod["metadata"]["name"]
        inside = ("--namespace", APPLICATION, "exec", name, "--container", "django", "--")
        refuses_strangers(kubectl(*inside, "/srv/app/manage", "shell", "-c", LOOK_AT_DATABASE))
    exporter = only([one for one in objects("deployment", MONITORING) if one["metadata"]["name"] == "postgres-exporter"], "exporter")
    (container,) = exporter["spec"]["template"]["spec"]["containers"]
    address = only([one["value"] for one in container["env"] if one["name"] == "DATA_SOURCE_URI"], "address")
    assert "sslmode=verify-full" in address, address
    with prometheus() as watcher:
        assert [one["value"][1] for one in watcher.query("pg_up")] == ["1"], "the exporter does not reach the database"


def check_the_release_is_that_of_the_instances(system: System) -> None:
    page = get(address(system))[1]
    release = system.client("ssm").get_parameter(Name="/DjangoApp/release")["Parameter"]["Value"]
    assert release in page, f"the pods do not serve {release}"


def check_static_files_are_served(system: System) -> None:
    base = address(system)
    style = re.search(r'href="(/static/[^"]+\.css)"', get(base)[1])
    assert style and get(f"{base}{style[1]}")[0] == 200


def check_metrics_are_not_public(system: System) -> None:
    for base in (address(system), system.app_url):
        status, text = get(f"{base}/metrics")
        assert status != 200 and "django_http_requests_total" not in text, f"{base}/metrics is public"


def check_namespaces_are_restricted(system: System) -> None:
    cluster.expected(system)
    for name in (APPLICATION, MONITORING):
        labels = json.loads(kubectl("get", "namespace", name, "--output", "json"))["metadata"]["labels"]
        assert labels.get("pod-security.kubernetes.io/enforce") == "restricted", name


def check_ingress_is_the_specification_s(system: System) -> None:
    cluster.expected(system)
    ingress = only(objects("ingress", APPLICATION), "ingress")
    assert ingress["spec"]["ingressClassName"] == "alb"
    assert ingress["metadata"]["annotations"]["alb.ingress.kubernetes.io/scheme"] == "internet-facing"


def database_users(system: System) -> set[str]:
    """Who the pods are in the database."""
    cluster.expected(system)
    users = set()
    for pod in pods():
        words = kubectl("--namespace", APPLICATION, "exec", pod["metadata"]["name"], "--", "/srv/app/manage", "shell", "-c", USER).split()
        assert words[-2:] == ["django_owner", "True"], f"{pod['metadata']['name']}: {words[-3:]}"
        users.add(words[-3])
    return users


def check_pods_are_not_the_database_s_master(system: System) -> None:
    assert database_users(system) == {json.loads(system.secret("django-app-db-credentials"))["username"]}
    assert json.loads(system.secret("django-db-credentials"))["username"] not in database_users(system)


def check_the_master_s_credentials_are_in_no_secret_of_the_cluster(system: System) -> None:
    cluster.expected(system)
    password = json.loads(system.secret("django-db-credentials"))["password"]
    found = [
        f"{secret['metadata']['namespace']}/{secret['metadata']['name']}"
        for secret in objects("secrets")
        if any(password in base64.b64decode(value).decode(errors="replace") for value in (secret.get("data") or {}).values())
    ]
    assert not found, found


def check_no_password_is_a_default(system: System) -> None:
    cluster.expected(system)
    # Its length alone: a failed comparison would print it.
    length = kubectl("--namespace", MONITORING, "get", "secret", "grafana-admin", "--output", "go-template={{len .data.password}}")
    assert int(length) > 20


def check_every_target_is_up(system: System) -> None:
    cluster.expected(system)
    with prometheus() as watcher:
        targets = watcher.targets()
    jobs = {target["labels"]["job"] for target in targets}
    assert {"pods", "nodes", "containers", "instances"} <= jobs, jobs
    down = [(target["scrapeUrl"], target["lastError"]) for target in targets if target["health"] != "up"]
    assert not down, down
    watched = {target["labels"].get("app") for target in targets}
    assert {"django-app", "prometheus", "postgres-exporter"} <= watched
