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
    "subnets": {"database": [{"cidr_block": "10.0.20.0/24"}, {"cidr_block": "10.0.21.0/24"}]},
}
WANTED = "{{ {'values': django_chart_values, 'secrets': django_chart_secrets, 'arguments': ecr_image_build_args} | to_json }}"
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


def test_without_a_database(variables, tmp_path):
    found = variables("production", app_database=False)
    assert "RDS_PASSWORD" not in found["secrets"] and "Job" not in rendered(found, tmp_path)
