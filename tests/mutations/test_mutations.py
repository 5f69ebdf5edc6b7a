"""The test of the tests: roles are broken on purpose, one thing at a time, and the scenario must see it by its verification."""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.molecule.runner import JOBS, Outcome, SideBySide, molecule
from tests.tree import ROOT

FOLDER = ROOT / ".test" / "mutations"
# What a copy does not need, or must not share.
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".lab", ".test", ".outputs", ".ansible", "__pycache__", ".*_cache")


@dataclass(frozen=True)
class Mutation:
    """In `file` of the role, `old` (which stands there once) becomes `new`; the verification must then say `words`."""

    name: str
    role: str
    file: str
    old: str
    new: str
    words: str


MUTATIONS = [
    Mutation(
        "wrong proxy port", "nginx", "templates/nginx.conf.j2",
        "server {{ nginx_upstream }} max_fails=0;", "server {{ nginx_upstream | replace('8000', '8001') }} max_fails=0;",
        "the application is not reached: 502",
    ),
    Mutation(
        "health check that stops at Nginx", "nginx", "templates/nginx.conf.j2",
        "            access_log off;\n            proxy_pass http://application;\n        }\n\n        location = {{ nginx_ready_path }}",
        "            access_log off;\n            return 204;\n        }\n\n        location = {{ nginx_ready_path }}",
        "the health check does not reach the application",
    ),
    Mutation(
        "missing security group rule", "security_groups", "vars/main.yml",
        'app: "{{ __security_groups_app_inbound + __security_groups_metrics_clients }}"\n', "app: []\n",
        "test_inbound_rules",
    ),
    Mutation(
        "rule without a description", "security_groups", "vars/main.yml",
        "- rule_desc: Visitors\n      proto: tcp", "- proto: tcp",
        "a rule without a description",
    ),
    Mutation(
        "log agent that moves on too early", "logs", "files/espalier_logs.py",
        "        for name, events in self.streams.events(lines).items():\n            self.patiently(name, events)\n"
        "        if lines:\n            self.save()\n",
        "        self.save()\n        for name, events in self.streams.events(lines).items():\n            self.patiently(name, events)\n",
        "test_nothing_is_lost_by_an_outage",
    ),
    Mutation(
        "world-readable environment file", "django", "files/runtime/build.py",
        "path.touch(mode=0o640)", "path.touch(mode=0o644)",
        "the environment file is readable for others",
    ),
    Mutation(
        "wrong worker count", "gunicorn", "templates/gunicorn.service.j2",
        "--workers {{ gunicorn_workers }}", "--workers {{ gunicorn_workers + 1 }}",
        "4 workers instead of 3",
    ),
    Mutation(
        "wrong health check path", "load_balancer", "tasks/main.yml",
        'health_check_path: "{{ load_balancer_health_path }}"', "health_check_path: /",
        "test_altered_health_check",
    ),
    Mutation(
        "missing deregistration delay", "load_balancer", "tasks/main.yml",
        '        deregistration_delay_timeout: "{{ load_balancer_deregistration_delay_seconds }}"\n', "",
        "a leaving target is waited for 300 s",
    ),
    Mutation(
        "public bucket", "static_bucket", "tasks/main.yml",
        "block_public_policy: true", "block_public_policy: false",
        "test_private_and_encrypted",
    ),
    Mutation(
        "instance metadata without a token", "autoscaling", "tasks/launch_template.yml",
        "http_tokens: required", "http_tokens: optional",
        "IMDSv1 answers without a token",
    ),
    Mutation(
        "connections without TLS", "database", "tasks/around.yml",
        "{'rds.force_ssl': database_tls_required | bool}", "{}",
        "test_connections_without_tls_are_refused_unless_told_otherwise",
    ),
    Mutation(
        "web ACL that only counts", "waf", "vars/main.yml",
        "count_only=waf_count_only", "count_only=true",
        "managed rules only count",
    ),
    Mutation(
        "secrets in the log of the web ACL", "waf", "tasks/present.yml",
        '    only: "{{ waf_log_actions }}"\n', '    only: "{{ waf_log_actions }}"\n    redacted_headers: []\n',
        "test_the_log",
    ),
    Mutation(
        "logged sessions of Ansible", "session_manager", "tasks/present.yml",
        "    description: Sessions of Ansible, not logged\n",
        "    description: Sessions of Ansible, not logged\n    log_group: \"{{ session_manager_log_group_name }}\"\n",
        "secrets of a deploy are logged",
    ),
    Mutation(
        "open default security group", "vpc", "tasks/default_security_group.yml",
        "    rules_egress: []\n", "",
        "test_the_default_security_group_is_closed",
    ),
    Mutation(
        "publicly accessible database", "database", "tasks/instance.yml",
        "publicly_accessible: false", "publicly_accessible: true",
        "the database has a public address",
    ),
    Mutation(
        "nodes whose pods get their rights", "eks", "tasks/nodes.yml",
        "http_put_response_hop_limit: 1", "http_put_response_hop_limit: 2",
        "a pod would get its node's rights",
    ),
    Mutation(
        "role for any pod", "pod_identity", "vars/main.yml",
        '          aws:RequestTag/kubernetes-namespace: "{{ pod_identity_namespace }}"\n', "",
        "test_role_trusts_these_pods_only",
    ),
    Mutation(
        "image tags that change their meaning", "ecr", "tasks/main.yml",
        'immutable_tags: "{{ ecr_immutable_tags }}"', "immutable_tags: false",
        "test_defaults",
    ),
    Mutation(
        "load balancers of any cluster", "load_balancer_controller", "vars/policy.yml",
        '      Resource: "*"\n      Condition:\n        StringEquals: "{{ __load_balancer_controller_asked }}"\n',
        '      Resource: "*"\n      Condition: {}\n',
        "test_what_it_makes_is_marked",
    ),
]  # fmt: skip


def copy_of_the_tree(mutation: Mutation, copy: Path) -> None:
    """A tree in which only this is different."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ROOT, copy, symlinks=True, ignore=LEFT_OUT)
    (copy / ".venv").symlink_to(ROOT / ".venv")
    # tests.tree asks git for the tree's files.
    subprocess.run(["git", "init", "--quiet", copy], check=True)
    file = copy / "roles" / mutation.role / mutation.file
    text = file.read_text("utf-8")
    assert text.count(mutation.old) == 1, f"{mutation.file} of {mutation.role} no longer holds: {mutation.old}"
    file.write_text(text.replace(mutation.old, mutation.new), "utf-8")


def verify_broken(mutation: Mutation) -> Outcome:
    """Apply the broken role and verify it; the outcome is the verification's."""
    folder = FOLDER / mutation.name.replace(" ", "-")
    copy = folder / "tree"
    # What a run that was killed has left: molecule would believe that all is there.
    shutil.rmtree(folder, ignore_errors=True)
    copy_of_the_tree(mutation, copy)
    try:
        converged = molecule("converge", mutation.role, copy, folder)
        assert converged.returncode == 0, f"the broken role cannot even be applied:\n{converged.tail()}"
        return molecule("verify", mutation.role, copy, folder)
    finally:
        molecule("destroy", mutation.role, copy, folder)
        shutil.rmtree(copy, ignore_errors=True)


@pytest.fixture(scope="session")
def verifications(request) -> Iterator[dict[str, Future]]:
    chosen = [item.callspec.params["mutation"] for item in request.session.items if item.function is test_mutation_is_caught]
    jobs = {mutation.name: functools.partial(verify_broken, mutation) for mutation in chosen}
    write_line = request.config.pluginmanager.get_plugin("terminalreporter").write_line
    running = SideBySide(jobs, lambda name, outcome: write_line(f"  {name}: {outcome.words()}"))
    running.employ(JOBS)
    yield running.futures
    running.close()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name.replace(" ", "-"))
def test_mutation_is_caught(mutation, verifications, pytestconfig):
    with pytestconfig.pluginmanager.get_plugin("capturemanager").global_and_fixture_disabled():
        outcome = verifications[mutation.name].result()
    assert outcome.returncode != 0, f"nobody noticed; log: .test/mutations\n{outcome.tail(40)}"
    assert mutation.words in outcome.output, f"red, but for another reason:\n{outcome.tail()}"
