"""site.yml is the landscape: imports with one tag each, and tags stand nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tree import ROOT, load_yaml, tracked

# What a tag runs. A cluster is begun early and awaited late; the release goes to the instances, and then into the cluster. What no page
# names any more goes after that.
PLAYBOOKS = {
    **{tag: [tag] for tag in ("network", "edge", "compute")},
    "data": ["data", "data_unused"],
    "cluster": ["cluster_start", "cluster"],
    "app": ["app", "app_chart"],
    "monitoring": ["monitoring"],
}
ORDER = ["network", "data", "edge", "compute", "cluster", "app", "cluster", "app", "data", "monitoring"]
SITE = load_yaml(ROOT / "site.yml") if (ROOT / "site.yml").exists() else []


def test_site_holds_imports_only():
    assert SITE and all("ansible.builtin.import_playbook" in play for play in SITE)


@pytest.mark.parametrize("tag", PLAYBOOKS)
def test_each_tag_is_its_playbooks(tag):
    tagged = [Path(play["ansible.builtin.import_playbook"]).stem for play in SITE if tag in as_list(play.get("tags"))]
    assert tagged == PLAYBOOKS[tag]


def test_a_rotation_finds_no_pod_with_the_user_who_rests_and_leaves_none():
    plays = [Path(play.get("ansible.builtin.import_playbook", "")).stem for play in load_yaml(ROOT / "playbooks" / "rotate.yml")]
    assert plays[0] == plays[-1] == "app_chart" and plays[-2] == "restart"


def test_tags_are_in_the_order_of_their_needs():
    order = [tag for play in SITE for tag in as_list(play.get("tags")) if tag in PLAYBOOKS]
    assert order == ORDER


def test_preflight_knows_the_tags():
    assert load_yaml(ROOT / "roles" / "preflight" / "defaults" / "main.yml")["preflight_known_tags"] == list(dict.fromkeys(ORDER))


def test_tags_stand_in_site_yml_only():
    """A tag inside a role or a playbook would run a part of a part."""
    found = [
        f"{path.relative_to(ROOT)}: {task.get('name', task)}"
        for path in (*tracked("playbooks/*.yml"), *tracked("roles/*/tasks/*.yml"), *tracked("roles/*/handlers/*.yml"))
        for task in tasks_of(load_yaml(path) or [])
        if "tags" in task
    ]
    assert not found, found


def as_list(value) -> list:
    return value if isinstance(value, list) else [value] if value else []


def tasks_of(entries):
    """Plays and tasks of a file, blocks opened."""
    for entry in entries:
        if not isinstance(entry, dict):
            continue
        yield entry
        for part in ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks", "handlers"):
            yield from tasks_of(entry.get(part) or [])
