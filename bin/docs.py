"""`make docs`: the parts of the documentation that are written from the code.

- README.md of each role: its inputs, between two markers, from meta/argument_specs.yml and defaults/main.yml.
- docs/reference.md: one line for each role, module and plugin.
- docs/cost.md: the bill of the defaults, beside the seed's list, and what could be saved.

`python bin/docs.py --check` writes nothing and fails when a file is not what it would write.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
COLLECTION = "espalier.aws"
BEGIN, END = "<!-- make docs: begin -->", "<!-- make docs: end -->"
# A longer default is a file to look at, not a cell of a table.
DEFAULT_LIMIT = 160

REFERENCE = """# Reference

Written by `make docs`. A role's README lists its inputs. `ansible-doc` prints the options, examples and answers of a module or plugin,
for example `ansible-doc espalier.aws.stack_info` or `ansible-doc -t connection espalier.aws.aws_ssm`.

## Roles
| role | what it does | entry points |
|---|---|---|
{roles}

## Modules and plugins
| name | kind | what it does |
|---|---|---|
{plugins}
"""


def load(path: Path) -> dict:
    return (yaml.safe_load(path.read_text("utf-8")) if path.exists() else None) or {}


def entry_points(role: Path) -> dict[str, dict]:
    """`main` first, the teardown last, as a reader meets them."""
    specs = load(role / "meta" / "argument_specs.yml")["argument_specs"]
    return dict(sorted(specs.items(), key=lambda item: (item[0] != "main", item[0] == "absent")))


def sentences(text: str | list[str]) -> str:
    """Ansible's markup as Markdown, on one line: C(x) and M(x) are code, O(x) and V(x) too."""
    joined = " ".join(part.strip() for part in ([text] if isinstance(text, str) else text))
    return re.sub(r"\b[CMPOV]\(([^)]+)\)", r"`\1`", joined)


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def default_of(name: str, option: dict, defaults: dict) -> str:
    if option.get("required"):
        return "**required**"
    if name not in defaults:
        return "not set"
    value = defaults[name]
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return f"`{text}`" if len(text) <= DEFAULT_LIMIT and "\n" not in text else "see [defaults](defaults/main.yml)"


def input_row(name: str, option: dict, defaults: dict) -> str:
    kind = f"{option['type']} of {option['elements']}" if "elements" in option else option["type"]
    what = sentences(option["description"])
    if "choices" in option:
        what += " One of " + ", ".join(f"`{choice}`" for choice in option["choices"]) + "."
    return f"| `{name}` | {kind} | {cell(default_of(name, option, defaults))} | {cell(what)} |"


def entry_point(name: str, spec: dict, main: dict, defaults: dict) -> list[str]:
    """What `main` says already is not said again."""
    options = spec.get("options") or {}
    shared = [option for option in options if name != "main" and options[option] == main.get(option)]
    rows = [input_row(option, options[option], defaults) for option in options if option not in shared]
    lines = [f"### `{name}`", sentences(spec["short_description"]), ""]
    if shared and len(shared) == len(main) == len(options):
        lines += ["Takes the inputs of `main`.", ""]
    elif shared:
        lines += ["Of the inputs of `main`: " + ", ".join(f"`{option}`" for option in shared) + ".", ""]
    if rows:
        lines += ["| input | type | default | what it is |", "|---|---|---|---|", *rows, ""]
    if not options:
        lines += ["No inputs.", ""]
    return lines


def suite_values(defaults: dict) -> list[str]:
    """What a role that was lifted out of the suite has to be given instead."""
    names = sorted(set(re.findall(r"\bsuite_\w+", json.dumps(defaults))))
    if not names:
        return []
    values = ", ".join(f"`{name}`" for name in names)
    return [f"Some defaults are made of the suite's values {values}. Outside of the suite, set these values or those inputs.", ""]


def inputs(role: Path) -> str:
    points, defaults = entry_points(role), load(role / "defaults" / "main.yml")
    main = points["main"].get("options") or {}
    lines = suite_values(defaults) + [line for name, spec in points.items() for line in entry_point(name, spec, main, defaults)]
    return "\n".join([BEGIN, "## Inputs", *lines]).rstrip() + f"\n{END}\n"


def readme(role: Path) -> str:
    """The README with its block replaced; a README without one gets it at its end."""
    text = (role / "README.md").read_text("utf-8")
    before, begin, rest = text.partition(BEGIN)
    after = rest.partition(END)[2].lstrip("\n") if begin else ""
    return before.rstrip() + "\n\n" + inputs(role) + (f"\n{after}" if after else "")


def documented() -> dict[str, dict[str, dict]]:
    """Modules and plugins of the collection as ansible-doc sees them, by kind and name. It fails when one cannot be read."""
    command = [Path(sys.executable).parent / "ansible-doc", "--metadata-dump", COLLECTION]
    answer = json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout)["all"]
    return {kind: plugins for kind, plugins in answer.items() if any(name.startswith(f"{COLLECTION}.") for name in plugins)}


def role_row(role: Path) -> str:
    points = entry_points(role)
    what = cell(sentences(points["main"]["short_description"]))
    return f"| [{role.name}](../roles/{role.name}/README.md) | {what} | {', '.join(f'`{name}`' for name in points)} |"


def plugin_row(kind: str, name: str, plugin: dict) -> str:
    folder = f"collections/ansible_collections/{COLLECTION.replace('.', '/')}/plugins/{'modules' if kind == 'module' else kind}"
    what = cell(sentences(plugin["doc"]["short_description"]))
    return f"| [{name}](../{folder}/{name.rpartition('.')[2]}.py) | {kind} | {what} |"


def reference(roles: list[Path]) -> str:
    kinds = sorted(documented().items(), key=lambda item: (item[0] != "module", item[0]))
    return REFERENCE.format(
        roles="\n".join(role_row(role) for role in roles),
        plugins="\n".join(plugin_row(kind, name, plugin) for kind, plugins in kinds for name, plugin in plugins.items()),
    )


COST = """## The defaults
Of an environment with every default except the cluster (`suite_cluster: false`): two t2.micro, a bastion, PostgreSQL on db.t3.micro in two
zones with 100 GB, a NAT gateway a zone.

| part | dollars a month | seed's list | what the difference is |
|---|---:|---:|---|
{parts}
| **all** | **{total:.2f}** | **{seed}** | |

With the cluster, which is the default: {cluster:.2f} more, for the control plane, two t3.medium with their volumes, and the ingress's load
balancer with its two addresses. In all **{all:.2f}**.

## What could be saved
Each by itself. What belongs together saves more together: one zone for everything is an inventory of its own.

| option | dollars a month | set | what one gives up |
|---|---:|---|---|
{savings}
"""


def billing():
    """The collection's own arithmetic."""
    import ansible_collections

    ours = str(ROOT / "collections" / "ansible_collections")
    if ours not in ansible_collections.__path__:
        ansible_collections.__path__.append(ours)
    from ansible_collections.espalier.aws.plugins.module_utils import billing

    return billing


def seed_inputs() -> dict:
    """Every default of the roles that costs something, without the cluster, which is not in the seed's list. None of them is a template."""
    defaults = {
        "eks_node_instance_types": ["t3.medium"],
        "eks_node_desired_size": 2,
        "eks_node_volume_type": "gp3",
        "eks_node_volume_gib": 20,
    }
    for path in sorted((ROOT / "roles").glob("*/defaults/main.yml")):
        defaults |= load(path)
    defaults |= load(ROOT / "group_vars" / "suite.yml")
    wanted = load(ROOT / "playbooks" / "vars" / "cost.yml")["cost_inputs"]
    return {name: defaults[name] for name in wanted if name in defaults and name != "suite_cluster"}


def cost() -> str:
    """docs/cost.md with its block replaced."""
    table, usage = load(ROOT / "playbooks" / "vars" / "prices.yml"), load(ROOT / "group_vars" / "suite.yml")["suite_cost_usage"]
    values, money = seed_inputs(), billing()
    bill = money.estimate(money.from_inputs(values), table["prices"], usage)
    more = money.estimate(money.from_inputs({**values, "suite_cluster": True}), table["prices"], usage)["total"] - bill["total"]
    seed = table["prices_seed"]
    parts = [
        f"| {part} | {bill['parts'].get(part, 0):.2f} | {seed.get(part, '')} | {table['prices_seed_why'].get(part, '')} |"
        for part in dict.fromkeys([*bill["parts"], *seed])
    ]
    savings = []
    for entry in money.savings({**values, "suite_cluster": True}, table["prices"], usage):
        settings = ", ".join(f"`{name}: {json.dumps(value)}`" for name, value in entry["set"].items())
        savings.append(f"| {entry['option']} | {entry['dollars']:.2f} | {settings} | {entry['loss']} |")
    text = (ROOT / "docs" / "cost.md").read_text("utf-8")
    block = COST.format(
        parts="\n".join(parts),
        total=bill["total"],
        seed=sum(seed.values()),
        cluster=more,
        all=bill["total"] + more,
        savings="\n".join(savings),
    )
    return f"{text.partition(BEGIN)[0]}{BEGIN}\n{block.rstrip()}\n{END}\n"


def generated() -> dict[Path, str]:
    """Every generated file and what it should hold."""
    roles = sorted(path.parent.parent for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"))
    return {role / "README.md": readme(role) for role in roles} | {
        ROOT / "docs" / "reference.md": reference(roles),
        ROOT / "docs" / "cost.md": cost(),
    }


def main() -> int:
    check = "--check" in sys.argv
    stale = {path: text for path, text in generated().items() if not path.exists() or path.read_text("utf-8") != text}
    for path, text in stale.items():
        print(f"{'stale' if check else 'written'}: {path.relative_to(ROOT)}")
        if not check:
            path.write_text(text, "utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
