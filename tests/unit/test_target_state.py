"""espalier.aws.target_state: out and back, never the last one, with the load balancer's own reason."""

from __future__ import annotations

import pytest
from ansible_collections.espalier.aws.plugins.modules import target_state

from tests.unit.run_module import run_module

HEALTHY = {"State": "healthy"}
DRAINING = {"State": "draining", "Reason": "Target.DeregistrationInProgress"}
FAILING = {"State": "unhealthy", "Reason": "Target.FailedHealthChecks", "Description": "Health checks failed"}


class Balancer:
    """A target group whose answers follow each other; the last one stays."""

    def __init__(self, **targets):
        self.targets, self.calls, self.then = targets, [], {}

    def describe_target_groups(self, **_):
        return {"TargetGroups": [{"TargetGroupArn": "arn"}]}

    def describe_target_health(self, **_):
        found = [{"Target": {"Id": name}, "TargetHealth": dict(health)} for name, health in self.targets.items()]
        for name, steps in self.then.items():
            if steps:
                step = steps.pop(0)
                self.targets.pop(name, None)
                self.targets.update({name: step} if step else {})
        return {"TargetHealthDescriptions": found}

    def deregister_targets(self, Targets, **_):
        self.calls.append(("out", Targets[0]["Id"]))
        self.targets[Targets[0]["Id"]] = DRAINING
        self.then = {Targets[0]["Id"]: [DRAINING, None]}

    def register_targets(self, Targets, **_):
        self.calls.append(("in", Targets[0]["Id"]))
        self.targets[Targets[0]["Id"]] = {"State": "initial", "Reason": "Elb.RegistrationInProgress"}


@pytest.fixture
def run(monkeypatch, capsys):
    monkeypatch.setattr(target_state, "POLL_SECONDS", 0.01)
    monkeypatch.setenv("AWS_REGION", "us-east-1")

    def call(balancer, state, check_mode=False, **options):
        monkeypatch.setattr(target_state.AnsibleAWSModule, "client", lambda *_, **__: balancer)
        options = {"timeout_seconds": 1, **options}
        return run_module(capsys, "target_state", check_mode=check_mode, target_group="tg", instance_id="a", state=state, **options)

    return call


def test_an_instance_is_drained_and_waited_for(run):
    balancer = Balancer(a=HEALTHY, b=HEALTHY)
    assert run(balancer, "drained", check_mode=True)["changed"] is True and balancer.calls == []
    answer = run(balancer, "drained")
    assert answer["out"] is True and answer["changed"] is True and balancer.calls == [("out", "a")] and "a" not in balancer.targets
    assert run(balancer, "drained")["changed"] is False


def test_the_last_healthy_one_stays(run):
    balancer = Balancer(a=HEALTHY, b=FAILING)
    answer = run(balancer, "drained")
    assert (answer["out"], answer["changed"]) == (False, False) and balancer.calls == []


def test_one_that_is_not_healthy_may_always_go(run):
    assert run(Balancer(a=FAILING), "drained")["out"] is True


def test_one_that_drains_already_is_not_drained_again(run):
    balancer = Balancer(a=DRAINING, b=HEALTHY)
    balancer.then = {"a": [DRAINING, DRAINING, None]}
    assert run(balancer, "drained")["out"] is True and balancer.calls == []


def test_an_instance_is_registered_and_waited_for(run):
    balancer = Balancer(b=HEALTHY)
    balancer.then = {"a": []}
    register = balancer.register_targets

    def and_healthy(**arguments):
        register(**arguments)
        balancer.then = {"a": [HEALTHY]}

    balancer.register_targets = and_healthy
    assert run(balancer, "healthy")["target_health"] == {"state": "healthy"} and balancer.calls == [("in", "a")]
    assert run(balancer, "healthy")["changed"] is False


def test_one_that_leaves_is_registered_again(run):
    balancer = Balancer(a=DRAINING)
    run(balancer, "healthy")
    assert balancer.calls == [("in", "a")]


def test_the_load_balancer_s_reason_is_told(run):
    answer = run(Balancer(a=FAILING), "healthy", timeout_seconds=0)
    assert answer["failed"] is True and "Target.FailedHealthChecks" in answer["msg"] and "Health checks failed" in answer["msg"]


def test_one_that_is_terminated_meanwhile_is_not_waited_for(run, monkeypatch):
    monkeypatch.setattr(target_state, "GONE_SECONDS", 0)
    balancer = Balancer(a=DRAINING)
    balancer.then = {"a": [None] * 9}
    answer = run(balancer, "healthy", timeout_seconds=600)
    assert answer["failed"] is True and "Target.NotRegistered" in answer["msg"]
