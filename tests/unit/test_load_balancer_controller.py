"""The values that role load_balancer_controller gives to AWS's chart, held against what that chart takes: it cannot be had everywhere."""

from __future__ import annotations

import json
import subprocess

import jsonschema
import pytest

from tests.tree import ROOT, VENV_BIN, load_yaml

ROLE = ROOT / "roles" / "load_balancer_controller"
# The part of the chart's values that the role sets: https://github.com/kubernetes-sigs/aws-load-balancer-controller, v3.5.0.
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["clusterName"],
    "properties": {
        "clusterName": {"type": "string", "minLength": 1},
        "region": {"type": "string", "minLength": 1},
        "vpcId": {"type": "string", "pattern": "^vpc-"},
        "replicaCount": {"type": "integer", "minimum": 1},
        "podDisruptionBudget": {"type": "object", "properties": {"maxUnavailable": {"type": "integer"}}, "additionalProperties": False},
        "serviceAccount": {
            "type": "object",
            "properties": {"create": {"type": "boolean"}, "name": {"type": "string"}, "annotations": {"type": "object"}},
            "additionalProperties": False,
        },
        "ingressClass": {"const": "alb"},
        "createIngressClassResource": {"const": True},
        "defaultTags": {"type": "object", "additionalProperties": {"type": "string"}},
        "keepTLSSecret": {"type": "boolean"},
        "enableServiceMutatorWebhook": {"type": "boolean"},
        "logLevel": {"type": "string"},
    },
}


@pytest.fixture
def values(tmp_path):
    """The values as the role works them out."""

    def render(**variables) -> dict:
        given = {"load_balancer_controller_vpc_id": "vpc-0a1", "suite_environment": "lab", "suite_account_id": "123456789012", **variables}
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "vars_files": [str(ROLE / "defaults" / "main.yml"), str(ROLE / "vars" / "main.yml")],
            "tasks": [
                {
                    "ansible.builtin.copy": {
                        "content": "{{ __load_balancer_controller_all_values | to_json }}",
                        "dest": str(tmp_path / "values.json"),
                        "mode": "0600",
                    }
                }
            ],
        }
        (tmp_path / "play.yml").write_text(json.dumps([play]), "utf-8")
        command = [VENV_BIN / "ansible-playbook", "-i", "inventories/lab/hosts.yml", tmp_path / "play.yml", "-e", json.dumps(given)]
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads((tmp_path / "values.json").read_text("utf-8"))

    return render


def test_the_chart_takes_them(values):
    found = values()
    jsonschema.validate(found, SCHEMA)
    assert found["clusterName"] == "django-app"
    assert found["defaultTags"] == {"Project": "django", "Environment": "lab", "ManagedBy": "espalier"}, (
        "a removal finds load balancers by them"
    )


def test_yours_win_over_the_role_s(values):
    found = values(load_balancer_controller_values={"logLevel": "debug", "serviceAccount": {"annotations": {"a": "b"}}})
    jsonschema.validate(found, SCHEMA)
    assert found["logLevel"] == "debug"
    assert found["serviceAccount"] == {"create": True, "name": "aws-load-balancer-controller", "annotations": {"a": "b"}}


def test_the_version_is_one_that_was_looked_at():
    assert str(load_yaml(ROLE / "defaults" / "main.yml")["load_balancer_controller_chart_version"]) == "3.5.0", (
        "hold SCHEMA against the new one"
    )
