"""k8s/: the manifests as the role fills them in, asked of Kubernetes' schemas and of promtool; dashboards and alert rules."""

from __future__ import annotations

import json
import os
import re
import subprocess
import urllib.parse

import pytest
import yaml

from tests.tree import ROOT, VENV_BIN, load_yaml
from tests.unit.manifests import NEWEST, OLDEST, careless, check_schema, pod_spec, unrestricted

FOLDER = ROOT / "k8s"
ROLE = ROOT / "roles" / "monitoring"
NAMES = sorted(path.name.removesuffix(".yml.j2") for path in FOLDER.glob("*.yml.j2"))
RULES = sorted((FOLDER / "alerts").glob("*.yml"))
ALERT_TESTS = sorted((ROOT / "tests" / "unit" / "alerts").glob("*.yml"))
DASHBOARDS = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((FOLDER / "dashboards").glob("*.json"))}

# What the role finds out at run time.
FOUND = {
    "__monitoring_deployment": {
        "metadata": {"labels": {"app.kubernetes.io/name": "django-app", "app.kubernetes.io/instance": "shop"}},
        "spec": {
            "template": {
                "spec": {
                    "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
                    "containers": [
                        {
                            "image": "registry.example.com/shop@sha256:0",
                            "env": [{"name": "RDS_HOSTNAME", "value": "db.example.com"}],
                            "envFrom": [{"secretRef": {"name": "django-app"}}],
                        }
                    ],
                }
            }
        },
    },
    "__monitoring_database_password": "cGFzc3dvcmQ=",
    "__monitoring_master": {"data": {"RDS_USERNAME": "cG9zdGdyZXM=", "RDS_PASSWORD": "bWFzdGVy", "DATABASE_URL": "dXJs"}},
    "monitoring_kubeconfig": "none",
    "monitoring_database": {"host": "db.example.com", "port": 5432, "name": "postgresDB"},
    "monitoring_manifests": str(FOLDER),
}
# The application's pods as its chart makes them where the database's authorities are known.
MOUNT = {"name": "database-ca", "mountPath": "/etc/database-ca", "readOnly": True}
VOLUME = {"name": "database-ca", "configMap": {"name": "shop-database-ca-1c2d3e4f"}}
CHECKED = json.loads(json.dumps(FOUND["__monitoring_deployment"]))
CHECKED["spec"]["template"]["spec"]["volumes"] = [{"name": "tmp", "emptyDir": {}}, VOLUME]
CHECKED["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = [{"name": "tmp", "mountPath": "/tmp"}, MOUNT]
SUITE = {
    "suite_monitoring_namespace": "monitoring", "suite_application_namespace": "django-app", "suite_environment": "staging",
    "suite_project": "django", "suite_region": "us-east-1", "suite_prometheus_url": "", "suite_grafana_url": "",
}  # fmt: skip
VARIANTS = {
    "defaults": {},
    "altered": {
        "monitoring_namespace": "watch",
        "monitoring_application_namespace": "shop",
        "monitoring_application": "shop",
        "monitoring_storage_gib": 20,
        "monitoring_storage_class": "fast",
        "monitoring_alertmanagers": ["alerts.example.com:9093"],
        "monitoring_prometheus_environment": {"AWS_REGION": "eu-central-1"},
        "monitoring_prometheus_url": "https://prometheus.example.com",
        "monitoring_grafana_url": "https://grafana.example.com",
        "monitoring_ec2_endpoint": "http://ec2.example.com",
        "monitoring_ec2_tags": {"Team": 'we "and" you'},
        "monitoring_kubelet_verify": False,
        "monitoring_scrape_interval_seconds": 5,
    },
    "without instances": {"monitoring_ec2": False},
    # One digest in forty is a number to YAML.
    "a digest of digits": {"__monitoring_database_revision": "82882369"},
    "on EBS": {"monitoring_storage_gib": 20},
    "authorities": {"__monitoring_deployment": CHECKED, "__monitoring_ca": {"resources": [{"data": {"ca.pem": "a\nb\n"}}]}},
}


# Of the session: what needs promtool comes at its end.
@pytest.fixture(scope="session")
def rendered(tmp_path_factory):
    """Manifests by variant and template."""
    folder = tmp_path_factory.mktemp("manifests")
    plays = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "vars_files": [str(ROLE / "defaults" / "main.yml"), str(ROLE / "vars" / "main.yml")],
            "vars": {"ansible_managed": "", **SUITE},
            "tasks": [
                {
                    "ansible.builtin.template": {
                        "src": str(FOLDER / f"{name}.yml.j2"),
                        "dest": f"{folder}/{variant}-{name}.yml",
                        "mode": "0600",
                    },
                    # Stronger than vars_files, as a play's own are.
                    "vars": {**FOUND, **values},
                }
                for name in NAMES
            ],
        }
        for variant, values in VARIANTS.items()
    ]
    (folder / "play.yml").write_text(yaml.safe_dump(plays))
    (folder / "hosts.yml").write_text("all: {hosts: {localhost: {ansible_connection: local}}}")
    done = subprocess.run(
        [VENV_BIN / "ansible-playbook", "-i", folder / "hosts.yml", folder / "play.yml"], cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    return lambda variant, name: [
        document for document in yaml.safe_load_all((folder / f"{variant}-{name}.yml").read_text("utf-8")) if document
    ]


def of_kind(documents: list[dict], kind: str) -> list[dict]:
    return [document for document in documents if document["kind"] == kind]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", NAMES)
def test_manifests_are_what_kubernetes_takes(rendered, name, variant, version):
    documents = rendered(variant, name)
    assert documents
    for document in documents:
        check_schema(document, version)
        spec = pod_spec(document)
        assert spec is None or unrestricted(spec) + careless(spec) == [], document["metadata"]["name"]
        selected = document.get("spec", {}).get("selector", {}).get("matchLabels") if document["kind"] == "Deployment" else None
        assert selected is None or selected.items() <= document["spec"]["template"]["metadata"]["labels"].items()


def test_the_exporter_checks_the_database_s_certificate_as_the_application_does(rendered):
    def exporter(variant: str) -> tuple[str, dict, list[dict]]:
        documents = rendered(variant, "postgres-exporter")
        (deployment,) = of_kind(documents, "Deployment")
        spec = deployment["spec"]["template"]["spec"]
        address = {one["name"]: one.get("value") for one in spec["containers"][0]["env"]}["DATA_SOURCE_URI"]
        return address, spec, of_kind(documents, "ConfigMap")

    address, spec, maps = exporter("authorities")
    options = urllib.parse.parse_qs(urllib.parse.urlsplit(f"//{address}").query)
    assert options == {"sslmode": ["verify-full"], "sslrootcert": [f"{MOUNT['mountPath']}/ca.pem"]}
    assert MOUNT in spec["containers"][0]["volumeMounts"]
    (volume,) = [one["configMap"]["name"] for one in spec["volumes"] if one["name"] == MOUNT["name"]]
    # Not the application's: that is in another namespace.
    assert {one["metadata"]["name"]: one["data"] for one in maps}[volume] == {"ca.pem": "a\nb\n"}
    assert {one["metadata"]["namespace"] for one in maps} == {"monitoring"}
    (job,) = of_kind(rendered("authorities", "database-user"), "Job")
    assert MOUNT in job["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert VOLUME in job["spec"]["template"]["spec"]["volumes"]
    address, spec, maps = exporter("defaults")
    assert address.endswith("?sslmode=require") and len(maps) == len(spec["volumes"]) == 1


def test_files_that_people_look_for():
    assert {"prometheus-config", "prometheus-deployment", "grafana-datasource-config", "grafana-deployment"} <= set(NAMES)


def test_prometheus_may_read_what_it_asks_for_and_no_more(rendered):
    documents = rendered("defaults", "prometheus-deployment")
    (cluster,) = of_kind(documents, "ClusterRole")
    assert [(rule["resources"], rule["verbs"]) for rule in cluster["rules"]] == [
        (["nodes"], ["list", "watch"]),
        (["nodes/metrics"], ["get"]),
    ]
    roles = of_kind(documents, "Role")
    assert {role["metadata"]["namespace"] for role in roles} == {"django-app", "monitoring"}
    assert all(rule["resources"] == ["pods"] and "get" not in rule["verbs"] for role in roles for rule in role["rules"])
    rules = [rule for role in of_kind(rendered("defaults", "kube-state-metrics"), "Role") for rule in role["rules"]]
    assert "secrets" not in {resource for rule in rules for resource in rule["resources"]}


def test_the_exporter_s_user_is_made_by_the_master(rendered):
    documents = rendered("defaults", "database-user")
    (secret,), (job,) = of_kind(documents, "Secret"), of_kind(documents, "Job")
    assert secret["data"] == {
        **FOUND["__monitoring_master"]["data"], "MONITORING_USERNAME": "bW9uaXRvcmluZw==", "MONITORING_PASSWORD": "cGFzc3dvcmQ=",
    }  # fmt: skip
    # Of two sources with the same variable Kubernetes takes the last, and one of `env` before both.
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert [source["secretRef"]["name"] for source in container["envFrom"]] == ["django-app", "database-monitoring"]
    assert not {entry["name"] for entry in container["env"]} & set(secret["data"])


def test_the_master_s_credentials_are_taken_back_whatever_happens():
    blocks = [task for task in load_yaml(ROLE / "tasks" / "database.yml") if "always" in task]
    (back,) = [task["kubernetes.core.k8s"] for block in blocks for task in block["always"]]
    assert (back["kind"], back["name"], back["state"]) == ("Secret", "database-monitoring", "absent")
    assert [task["ansible.builtin.include_tasks"] for block in blocks for task in block["block"]] == ["database_user.yml"]


def test_a_volume_where_one_is_asked_for(rendered):
    def data(variant):
        documents = rendered(variant, "prometheus-deployment")
        spec = of_kind(documents, "Deployment")[0]["spec"]["template"]["spec"]
        made = of_kind(documents, "PersistentVolumeClaim"), of_kind(documents, "StorageClass")
        return *made, spec["volumes"][1], spec["containers"][0]["args"]

    claims, classes, volume, arguments = data("defaults")
    assert not claims + classes and "emptyDir" in volume and not [word for word in arguments if "retention.size" in word]
    claims, classes, volume, arguments = data("altered")
    assert claims[0]["spec"]["resources"]["requests"]["storage"] == "20Gi" and claims[0]["spec"]["storageClassName"] == "fast"
    assert not classes, "the class has a name, so it is somebody else's"
    assert volume["persistentVolumeClaim"]["claimName"] == "prometheus" and "--storage.tsdb.retention.size=17408MB" in arguments


def test_a_volume_on_eks_is_encrypted_and_in_the_zone_of_its_pod(rendered):
    """EKS marks no storage class as the default one: a claim without a class would stay pending."""
    documents = rendered("on EBS", "prometheus-deployment")
    (claim,), (made,) = of_kind(documents, "PersistentVolumeClaim"), of_kind(documents, "StorageClass")
    assert claim["spec"]["storageClassName"] == made["metadata"]["name"] == "monitoring-prometheus"
    assert made["provisioner"] == "ebs.csi.aws.com" and made["parameters"] == {"type": "gp3", "encrypted": "true"}
    assert made["volumeBindingMode"] == "WaitForFirstConsumer"


def scrape_configs(rendered, variant: str) -> dict[str, dict]:
    (configuration,) = rendered(variant, "prometheus-config")
    return {job["job_name"]: job for job in yaml.safe_load(configuration["data"]["prometheus.yml"])["scrape_configs"]}


def test_pods_nodes_and_instances_are_found(rendered):
    jobs = scrape_configs(rendered, "defaults")
    assert set(jobs) == {"pods", "nodes", "containers", "instances"}
    assert jobs["pods"]["kubernetes_sd_configs"] == [{"role": "pod", "namespaces": {"names": ["django-app", "monitoring"]}}]
    assert jobs["nodes"]["tls_config"]["insecure_skip_verify"] is False
    (ec2,) = jobs["instances"]["ec2_sd_configs"]
    assert ec2["port"] == 8001 and "endpoint" not in ec2
    assert {entry["name"]: entry["values"] for entry in ec2["filters"]} == {
        "instance-state-name": ["running"], "tag:Project": ["django"], "tag:Environment": ["staging"], "tag:Role": ["app"],
    }  # fmt: skip
    assert set(scrape_configs(rendered, "without instances")) == {"pods", "nodes", "containers"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_prometheus_takes_its_configuration(promtool, rendered, variant, tmp_path):
    (configuration,) = rendered(variant, "prometheus-config")
    for name, text in configuration["data"].items():
        # Only Prometheus in a pod has these.
        text = text.replace("/etc/prometheus/", f"{tmp_path}/").replace("/var/run/secrets/kubernetes.io/serviceaccount", str(tmp_path))
        (tmp_path / name).write_text(text)
    for name in ("token", "ca.crt"):
        (tmp_path / name).touch()
    assert {f"alerts-{path.name}" for path in RULES} == set(configuration["data"]) - {"prometheus.yml"}
    promtool("check", "config", tmp_path / "prometheus.yml")


@pytest.mark.parametrize("path", ALERT_TESTS, ids=lambda path: path.stem)
def test_alert_rules(promtool, path):
    promtool("test", "rules", path)


def alerts() -> dict[str, dict]:
    groups = [group for path in RULES for group in load_yaml(path)["groups"]]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def test_every_alert_is_tried_both_ways():
    """With samples that make it fire, and with some that do not."""
    tried: dict[str, set[bool]] = {}
    for path in ALERT_TESTS:
        for one in load_yaml(path)["tests"]:
            for case in one.get("alert_rule_test", []):
                tried.setdefault(case["alertname"], set()).add(bool(case.get("exp_alerts")))
    assert alerts() and {name for name in alerts() if tried.get(name) != {True, False}} == set()


@pytest.mark.parametrize("name", alerts())
def test_an_alert_says_what_is_wrong_and_what_to_do(name):
    rule = alerts()[name]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"] and rule["annotations"]["action"]


def test_an_alert_names_variables_that_there_are():
    """What an operator is told to set."""
    files = [*ROOT.glob("roles/*/defaults/main.yml"), *ROOT.glob("group_vars/*.yml")]
    known = {name for path in files for name in load_yaml(path) or {}}
    words = " ".join(text for rule in alerts().values() for text in rule["annotations"].values())
    named = set(re.findall(rf"\b(?:{'|'.join(sorted({name.partition('_')[0] for name in known}))})_[a-z_]+", words))
    assert named and named <= known, named - known


# ---- dashboards

# What the specification names, and a word of the panel's title that shows it.
SPECIFIED = {
    "application": ["request rate", "response time", "error rate", "active connections"],
    "infrastructure": ["cpu", "memory", "network i/o", "pod scaling events"],
    "database": ["connections", "quer", "database size", "replication lag"],
}


def panels(board: str) -> list[dict]:
    return [panel for panel in DASHBOARDS[board]["panels"] if panel["type"] not in ("row", "text")]


def test_the_three_dashboards():
    assert set(DASHBOARDS) == set(SPECIFIED)
    assert len({board["uid"] for board in DASHBOARDS.values()}) == 3


@pytest.mark.parametrize("board", SPECIFIED)
def test_every_panel_of_the_specification_is_there(board):
    titles = [panel["title"].lower() for panel in panels(board)]
    assert not [words for words in SPECIFIED[board] if not any(words in title for title in titles)]


@pytest.mark.parametrize("board", SPECIFIED)
def test_dashboards_are_whole(board):
    content = DASHBOARDS[board]
    numbers = [panel["id"] for panel in content["panels"]]
    assert len(numbers) == len(set(numbers))
    assert all(target["expr"] and target["datasource"]["uid"] == "prometheus" for panel in panels(board) for target in panel["targets"])
    marker = content["annotations"]["list"][0]
    assert marker["name"] == "Releases" and "django_release_start_time_seconds" in marker["expr"]
    places = {(x, y) for panel in content["panels"] for x in span(panel, "x", "w") for y in span(panel, "y", "h")}
    assert len(places) == sum(panel["gridPos"]["w"] * panel["gridPos"]["h"] for panel in content["panels"]), "panels overlap"
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in content["panels"])


def span(panel: dict, start: str, length: str) -> range:
    return range(panel["gridPos"][start], panel["gridPos"][start] + panel["gridPos"][length])


def test_the_lag_of_multi_az_and_of_a_read_replica_is_explained():
    (text,) = [panel["options"]["content"] for panel in DASHBOARDS["database"]["panels"] if panel["type"] == "text"]
    assert "Multi-AZ" in text and "read replica" in text


def metrics(expression: str) -> set[str]:
    bare = re.sub(r'"(?:\\.|[^"\\])*"|\{[^}]*\}|\[[^\]]*\]|\b(?:by|on|without|ignoring)\s*\([^)]*\)', " ", expression)
    return {name for name in re.findall(r"\b[a-z_:][a-z0-9_:]*\b(?!\s*\()", bare) if "_" in name or ":" in name} - {
        "group_left",
        "group_right",
    }


def test_every_metric_of_a_dashboard_or_rule_comes_from_somewhere():
    """A misspelt metric is a panel that stays empty and an alert that never fires."""
    recorded = {rule["record"] for path in RULES for group in load_yaml(path)["groups"] for rule in group["rules"] if "record" in rule}
    asked = {
        f"{name}_{column}"
        for name, query in load_yaml(FOLDER / "postgres-queries.yml").items()
        for metric in query["metrics"]
        for column in metric
    }
    own = set(re.findall(r'"(django_[a-z_]+)"', (ROOT / "roles/django/files/runtime/espalier_metrics.py").read_text("utf-8")))
    own |= {f"{name}_bucket" for name in own}
    # Of cAdvisor, the kubelet, kube-state-metrics, PostgreSQL's exporter and Prometheus, as their documentation calls them.
    foreign = {
        "up", "pg_up", "machine_cpu_cores", "machine_memory_bytes", "prometheus_config_last_reload_successful",
        "container_cpu_usage_seconds_total", "container_memory_working_set_bytes", "container_network_receive_bytes_total",
        "container_network_transmit_bytes_total", "container_spec_cpu_quota", "container_spec_cpu_period",
        "container_spec_memory_limit_bytes", "container_start_time_seconds", "kubelet_volume_stats_available_bytes",
        "kubelet_volume_stats_capacity_bytes", "kube_horizontalpodautoscaler_status_desired_replicas",
        "kube_horizontalpodautoscaler_spec_max_replicas", "kube_deployment_spec_replicas", "kube_deployment_status_replicas_available",
    }  # fmt: skip
    used = {name for board in DASHBOARDS for panel in panels(board) for target in panel["targets"] for name in metrics(target["expr"])}
    used |= {name for path in RULES for group in load_yaml(path)["groups"] for rule in group["rules"] for name in metrics(rule["expr"])}
    assert used and used <= recorded | asked | own | foreign, used - (recorded | asked | own | foreign)
