"""playbooks/vars/chart.yml: the application's variables of every inventory, as the chart takes them."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
import yaml

from tests.tree import ROOT, VENV_BIN
from tests.unit.test_chart import environment, pod, render

STACK = {
    "database": {"address": "db.example.com", "port": 5432, "name": "postgresDB"},
    "load_balancer": {"drop_invalid_headers": True, "access_logs": None},
    "listeners": [{"port": 80, "protocol": "HTTP", "certificate_arn": None, "ssl_policy": None}],
    "web_acl": None,
    "subnets": {"database": [{"cidr_block": "10.0.20.0/24"}, {"cidr_block": "10.0.21.0/24"}]},
}
WANTED = """{{ {'values': django_chart_values, 'secrets': django_chart_secrets, 'arguments': ecr_image_build_args,
                 'authorities': [django_chart_database_ca, django_chart_database_ca_url]} | to_json }}"""
PLAY = [
    {
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": [str(ROOT / "playbooks" / "vars" / "chart.yml")],
        "vars": {"stack": STACK, "app_releases": {"current": "v7"}, "ecr_image": {"repository": "r", "digest": f"sha256:{'0' * 64}"}},
        "tasks": [{"ansible.builtin.copy": {"content": WANTED, "dest": "{{ target }}", "mode": "0600"}}],
    }
]


@pytest.fixture
def variables(tmp_path):
    def run(environment: str, **extra: object) -> dict:
        # Beside the playbooks, as `playbook_dir` is part of defaults.
        (tmp_path / "play.yml").write_text(yaml.safe_dump(PLAY))
        target = tmp_path / "out.json"
        command = [VENV_BIN / "ansible-playbook", "-i", ROOT / "inventories" / environment / "hosts.yml", tmp_path / "play.yml"]
        given = {"target": str(target), "suite_account_id": "123456789012", **extra}
        done = subprocess.run(
            [*map(str, command), "-e", json.dumps(given)], cwd=ROOT, env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:]
        return json.loads(target.read_text())

    return run


def rendered(found: dict, tmp_path) -> dict[str, dict]:
    (tmp_path / "values.yaml").write_text(json.dumps(found["values"]))
    return render("--values", tmp_path / "values.yaml")


@pytest.mark.parametrize("inventory", ["lab", "staging", "production"])
def test_every_inventory_gives_values_that_the_chart_takes(variables, tmp_path, inventory):
    found = variables(inventory)
    manifests = rendered(found, tmp_path)
    assert manifests["ServiceAccount"]["metadata"]["name"] == "django-app", "AWS gives its rights to this one"
    assert environment(pod(manifests))["RDS_HOSTNAME"] == "db.example.com"
    assert environment(pod(manifests))["RDS_SSLMODE"] == "verify-full"
    # A second environment in one account has names of its own.
    prefix = "staging-" if inventory == "staging" else ""
    assert found["secrets"] == {
        "DJANGO_SECRET_KEY": f"{prefix}django-secret-key",
        "SECRET_KEY": f"{prefix}django-secret-key",
        # Those of the application, which the instances have, too; never the master's.
        "RDS_USERNAME": f"{prefix}django-app-db-credentials#username",
        "RDS_PASSWORD": f"{prefix}django-app-db-credentials#password",
    }
    assert all(isinstance(value, str) for value in found["arguments"].values())


def test_a_project_of_one_s_own(variables, tmp_path):
    found = variables(
        "production",
        app_name="shop",
        app_wsgi="shop.wsgi:app",
        app_settings_module="shop.settings.live",
        app_settings_overlay=False,
        app_settings={"EMAIL_PORT": 587},
        app_environment={"WORKERS": 3, "DEBUG": False},
        app_secrets={"STRIPE_KEY": "shop#stripe"},
        app_domains=[".example.com"],
        app_health_path="/alive",
        app_metrics_path="",
        app_chart_values={"autoscaling": {"maxReplicas": 8}, "ingress": {"certificateArn": "arn:aws:acm:us-east-1:1:certificate/x"}},
    )
    manifests = rendered(found, tmp_path)
    told = environment(pod(manifests))
    assert (told["DJANGO_SETTINGS_MODULE"], told["ESPALIER_APPLICATION"]) == ("shop.settings.live", "shop.wsgi:app")
    assert (told["WORKERS"], told["DEBUG"], told["ESPALIER_METRICS_PATH"]) == ("3", "False", "")
    assert (told["DJANGO_ALLOWED_HOSTS"], told["DJANGO_CSRF_TRUSTED_ORIGINS"]) == (".example.com", "https://*.example.com")
    assert told["DJANGO_HTTPS"] == "true"
    assert manifests["Deployment"]["metadata"]["name"] == manifests["ServiceAccount"]["metadata"]["name"] == "shop"
    assert manifests["HorizontalPodAutoscaler"]["spec"]["maxReplicas"] == 8
    assert found["secrets"]["STRIPE_KEY"] == "shop#stripe"
    assert json.loads(found["arguments"]["SETTINGS"]) == {"EMAIL_PORT": 587}


CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b2c3d"
PROTECTED = {
    **STACK,
    "load_balancer": {"drop_invalid_headers": True, "access_logs": {"bucket": "files", "prefix": "logs/load-balancer"}},
    "listeners": [
        STACK["listeners"][0],
        {"port": 443, "protocol": "HTTPS", "certificate_arn": CERTIFICATE, "ssl_policy": "ELBSecurityPolicy-TLS13-1-3-2021-06"},
    ],
    "web_acl": {"arn": "arn:aws:wafv2:us-east-1:123456789012:regional/webacl/production-django-waf/0a1b", "name": "production-django-waf"},
}


def annotations(manifests: dict[str, dict]) -> dict[str, str]:
    prefix = "alb.ingress.kubernetes.io/"
    return {name.removeprefix(prefix): value for name, value in manifests["Ingress"]["metadata"]["annotations"].items()}


def attributes(manifests: dict[str, dict]) -> dict[str, str]:
    return dict(pair.split("=") for pair in annotations(manifests)["load-balancer-attributes"].split(","))


def test_the_ingress_is_protected_as_the_instances_are(variables, tmp_path):
    manifests = rendered(variables("production", stack=PROTECTED, app_domains=["www.example.com"]), tmp_path)
    found = annotations(manifests)
    assert (found["certificate-arn"], found["ssl-redirect"], found["ssl-policy"]) == (
        CERTIFICATE,
        "443",
        "ELBSecurityPolicy-TLS13-1-3-2021-06",
    )
    assert found["wafv2-acl-arn"] == PROTECTED["web_acl"]["arn"]
    assert attributes(manifests) == {
        "access_logs.s3.enabled": "true", "access_logs.s3.bucket": "files", "access_logs.s3.prefix": "logs/load-balancer",
        "routing.http.drop_invalid_header_fields.enabled": "true",
    }  # fmt: skip
    # The controller has to be able to remove it.
    assert not any(name.startswith("deletion_protection") for name in attributes(manifests))
    assert found["scheme"] == "internet-facing", "the chart's own annotations are gone"
    told = environment(pod(manifests))
    assert (told["DJANGO_HTTPS"], told["DJANGO_CSRF_TRUSTED_ORIGINS"]) == ("true", "https://www.example.com")


def test_and_as_bare_where_they_are(variables, tmp_path):
    manifests = rendered(variables("staging"), tmp_path)
    assert not {"certificate-arn", "ssl-redirect", "ssl-policy", "wafv2-acl-arn"} & set(annotations(manifests))
    # Said, since the controller leaves alone what is not.
    assert attributes(manifests) == {"access_logs.s3.enabled": "false", "routing.http.drop_invalid_header_fields.enabled": "true"}
    assert environment(pod(manifests))["DJANGO_HTTPS"] == "false"


def test_a_value_of_the_operator_s_wins(variables, tmp_path):
    own = {"certificateArn": "", "annotations": {"alb.ingress.kubernetes.io/wafv2-acl-arn": "none"}}
    manifests = rendered(variables("production", stack=PROTECTED, app_chart_values={"ingress": own}), tmp_path)
    found = annotations(manifests)
    assert found["wafv2-acl-arn"] == "none" and not {"certificate-arn", "ssl-policy"} & set(found)
    assert environment(pod(manifests))["DJANGO_HTTPS"] == "false" and "load-balancer-attributes" in found


def media(manifests: dict[str, dict]) -> dict[str, str]:
    return {name: value for name, value in environment(pod(manifests)).items() if name.startswith("DJANGO_MEDIA_")}


def test_uploads_go_where_those_of_the_instances_go(variables, tmp_path):
    assert media(rendered(variables("production"), tmp_path)) == {
        "DJANGO_MEDIA_BUCKET": "production-django-static-123456789012", "DJANGO_MEDIA_PREFIX": "media",
        "DJANGO_MEDIA_REGION": "us-east-1", "DJANGO_MEDIA_DOMAIN": "",
    }  # fmt: skip
    given = {"cdn_domain": "d1.cloudfront.net", "app_cdn_media": True, "app_environment": {"DJANGO_MEDIA_PREFIX": "uploads"}}
    found = media(rendered(variables("production", **given), tmp_path))
    assert (found["DJANGO_MEDIA_DOMAIN"], found["DJANGO_MEDIA_PREFIX"]) == ("d1.cloudfront.net", "uploads")
    assert media(rendered(variables("production", app_media_in_s3=False), tmp_path)) == {}


def test_prometheus_is_let_in_from_its_own_namespace(variables, tmp_path):
    policy = rendered(variables("production", suite_monitoring_namespace="watch"), tmp_path)["NetworkPolicy"]["spec"]
    peers = {rule["ports"][0]["port"]: rule["from"] for rule in policy["ingress"]}[8001]
    assert [peer["namespaceSelector"]["matchLabels"] for peer in peers] == [{"kubernetes.io/metadata.name": "watch"}]


def test_a_rollout_may_take_as_long_as_the_upgrade(variables, tmp_path):
    """Else Kubernetes would call it failed while AWS still makes the load balancer."""
    manifests = rendered(variables("production", app_chart_timeout_seconds="1200"), tmp_path)
    assert manifests["Deployment"]["spec"]["progressDeadlineSeconds"] == 1200


def test_the_cluster_believes_what_the_instances_do(variables):
    assert variables("production")["authorities"] == ["", ""], "RDS's own"
    found = variables(
        "production", django_database_ca="pem", django_database_ca_url="https://example.com/ca.pem", django_database_sslmode="require"
    )
    assert found["authorities"] == ["pem", "https://example.com/ca.pem"] and found["values"]["database"]["sslmode"] == "require"


def test_without_a_database(variables, tmp_path):
    found = variables("production", app_database=False)
    assert "RDS_PASSWORD" not in found["secrets"] and "Job" not in rendered(found, tmp_path)
