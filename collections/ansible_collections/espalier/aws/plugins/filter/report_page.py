# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A report on an environment as one page of HTML."""

from __future__ import annotations

DOCUMENTATION = r"""
name: report_page
short_description: A report as one page of HTML
version_added: 0.3.0
description:
  - Makes a page out of what P(espalier.aws.status_report#filter) has put together. It is one file, which needs no network and no script.
options:
  _input:
    description: The report.
    type: dict
    required: true
  releases:
    description: The newest releases, as M(espalier.aws.release_info) lists them.
    type: list
    elements: dict
    default: []
  outputs:
    description: What the last run has written to its outputs.
    type: dict
    default: {}
  phases:
    description: Phases of the last run, with C(name), C(seconds), C(changed) and C(failed).
    type: list
    elements: dict
    default: []
  costs:
    description: Dollars a month by what they are for; empty where nobody has estimated them.
    type: dict
    default: {}
author:
  - The Espalier authors
"""

EXAMPLES = r"""
- ansible.builtin.copy:
    content: "{{ report | espalier.aws.report_page(releases=released.releases) }}"
    dest: report.html
    mode: "0644"
"""

RETURN = r"""
_value:
  description: The page.
  type: str
"""

from html import escape

from ansible_collections.espalier.aws.plugins.filter.status_screen import ago, backup, cluster, database, release
from ansible_collections.espalier.aws.plugins.module_utils.report_phases import BEGIN, END, rows

STYLE = """
:root { color-scheme: light dark; --page: #fbfaf6; --card: #fff; --ink: #1d2b26; --soft: #4d5c56; --line: #d9ded8;
        --good: #2e7d4f; --bad: #b3261e; --wait: #a86400 }
@media (prefers-color-scheme: dark) {
  :root { --page: #14201b; --card: #1c2b25; --ink: #e8efe9; --soft: #a3b3ab; --line: #33453d;
          --good: #6fc08f; --bad: #ff8a80; --wait: #f0b860 } }
body { margin: 0 auto; max-width: 68rem; padding: 2rem 1.2rem 4rem; background: var(--page); color: var(--ink);
       font: 16px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif }
h1 { margin: 0; font-size: 1.7rem }
h2 { margin: 2.2rem 0 .6rem; font-size: 1.1rem }
p { margin: .3rem 0; color: var(--soft) }
table { border-collapse: collapse; width: 100%; background: var(--card); border: 1px solid var(--line) }
th, td { text-align: left; padding: .4rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere }
th { font-weight: 600; color: var(--soft); font-size: .85rem; white-space: nowrap }
.n { text-align: right; white-space: nowrap }
.bar { width: 30% }
.bar i { display: block; height: .7rem; margin-top: .45rem; background: var(--good) }
.verdict { margin: 1rem 0; padding: .7rem 1rem; border-left: 5px solid var(--good); background: var(--card) }
.verdict.bad { border-color: var(--bad) }
.verdict ul { margin: 0; padding-left: 1.2rem }
svg { width: 100%; height: auto; background: var(--card); border: 1px solid var(--line) }
svg text { fill: var(--ink); font-size: 13px }
svg .s { fill: var(--soft); font-size: 11px }
svg rect { fill: var(--page); stroke: var(--line) }
svg .good { stroke: var(--good); stroke-width: 2.5 }
svg .bad { stroke: var(--bad); stroke-width: 2.5 }
svg .wait { stroke: var(--wait); stroke-width: 2.5 }
svg path { stroke: var(--soft); fill: none; stroke-width: 1.5 }
"""
GOOD_DATABASE = ("available", "backing-up", "modifying", "storage-optimization")
ROW, TOP = 70, 40


def table(head: tuple[str, ...], lines: list[tuple]) -> str:
    if not lines:
        return "<p>None.</p>"
    body = "".join("<tr>" + "".join(f"<td>{escape(str(word))}</td>" for word in line) + "</tr>\n" for line in lines)
    return f"<table><thead><tr>{''.join(f'<th>{escape(word)}</th>' for word in head)}</tr></thead><tbody>\n{body}</tbody></table>"


def box(x: int, y: int, state: str, name: str, note: str) -> str:
    """240 by 54. `state` is good, bad or wait."""
    return (
        f'<g><title>{escape(f"{name}: {note}")}</title><rect class="{state}" x="{x}" y="{y}" width="240" height="54" rx="9"/>'
        f'<text x="{x + 12}" y="{y + 23}">{escape(name)}</text><text class="s" x="{x + 12}" y="{y + 41}">{escape(note[:42])}</text></g>'
    )


def state_of(target: str) -> str:
    return {"healthy": "good", "unhealthy": "bad"}.get(target, "wait")


def cluster_state(found: dict) -> str:
    states = {found["status"], (found["nodes"] or {"status": "none"})["status"]}
    return "good" if states == {"ACTIVE"} else "wait" if states & {"CREATING", "UPDATING", "DELETING"} else "bad"


def line(left: int, top: int, right: int, bottom: int) -> str:
    """From the right edge of one box to the left edge of another."""
    middle, top, bottom = (left + right) // 2, top + 27, bottom + 27
    return f'<path d="M{left} {top} C {middle} {top}, {middle} {bottom}, {right} {bottom}"/>'


def public_boxes(report: dict, ingress: str) -> list[tuple[str, str, str]]:
    """What is in the public subnets, as state, name and note: the ways in, the way out, and the bastion."""
    machines, gateways, bastion = report["instances"], report["nat_gateways"], report["bastion"]
    healthy = sum(row["target"] == "healthy" for row in machines)
    told = f"{healthy} of {len(machines)} targets healthy" if report["url"] else "none"
    found = [("good" if healthy else "bad", "Load balancer", told)]
    if report["cluster"]:
        found.append(("good" if ingress else "wait", "Load balancer of the ingress", ingress or "not asked, or none yet"))
    if gateways:
        state = "good" if all(one["state"] == "available" for one in gateways) else "wait"
        zones = ", ".join(filter(None, (one["availability_zone"] for one in gateways)))
        found.append((state, f"{len(gateways)} NAT gateway{'s' * (len(gateways) > 1)}", f"in {zones}"))
    if bastion:
        found.append(("good" if bastion["agent"] == "Online" else "wait", "Bastion", f"{bastion['id']}, {bastion['agent']}"))
    return found


def picture(report: dict, ingress: str = "") -> str:
    """From the visitor on the left to the data on the right, each with what it is like now. `ingress`: where the cluster is visited."""
    database, machines, eks = report["database"], report["instances"], report["cluster"]
    public = public_boxes(report, ingress)
    private = [
        (state_of(row["target"]), row["id"], f"{row['target']}, {row['zone'] or 'no zone'}, {row['address'] or 'no address'}")
        for row in machines
    ]
    # What leads where, by the rows of both columns.
    ways = [(0, number) for number in range(len(private))]
    if eks:
        said = f"{eks['status']}, Kubernetes {eks['version']}, {eks['nodes']['desired_size'] if eks['nodes'] else 'no'} nodes"
        ways.append((1, len(private)))
        private.append((cluster_state(eks), f"EKS {eks['name']}", said))
    tops = [TOP + ROW * number for number in range(max(len(public), len(private), 1))]
    data = TOP + ROW * max(len(private) - 1, 0) // 2
    parts = [line(260, tops[left], 360, tops[right]) for left, right in ways]
    parts += [line(600, top, 700, data) for top, _ in zip(tops, private, strict=False)]
    parts += [box(20, top, *one) for top, one in zip(tops, public, strict=False)]
    parts += [box(360, top, *one) for top, one in zip(tops, private, strict=False)]
    kind = "good" if database and database["status"] in GOOD_DATABASE else "bad"
    parts.append(box(700, data, kind, "PostgreSQL", f"{database['status']}, {database['engine_version']}" if database else "none"))
    titles = "".join(f'<text class="s" x="{x}" y="24">{text}</text>' for x, text in ((20, "PUBLIC"), (360, "PRIVATE"), (700, "DATA")))
    height = tops[-1] + ROW + 14
    return f'<svg viewBox="0 0 960 {height}" role="img" aria-label="Topology with live health">{titles}{"".join(parts)}</svg>'


NO_PHASES = "<tr><td>They are known where site.yml was run, and it was not run from here.</td></tr>"


def verdict(report: dict) -> str:
    if not report["troubles"]:
        return '<div class="verdict">All is well.</div>'
    lines = "".join(f"<li>{escape(one)}</li>" for one in report["troubles"])
    return f'<div class="verdict bad"><ul>{lines}</ul><p>Causes and fixes: ansible-playbook playbooks/doctor.yml</p></div>'


def release_lines(report: dict, releases: list[dict]) -> list[tuple]:
    places = {report["release"]: "current", report["last_good_release"]: "rollback"}
    return [(one["version"], one["made_at"], one["made_by"].rpartition(":")[2], places.get(one["version"], "")) for one in releases[:10]]


def words(value: object) -> str:
    """Of a list its members, of a mapping each name with what it says."""
    if isinstance(value, dict):
        return "; ".join(f"{name.replace('_', ' ')}: {said}" for name, said in value.items())
    return ", ".join(value) if isinstance(value, list) else str(value)


def report_page(
    report: dict, releases: list | None = None, outputs: dict | None = None, phases: list | None = None, costs: dict | None = None
) -> str:
    group = report["group"]
    facts = [
        ("Address", report["url"] or "none"),
        ("Release", release(report)),
        ("Group", f"{group['desired_capacity']} wanted ({group['min_size']} to {group['max_size']})" if group else "none"),
        ("Database", database(report)),
        ("Cluster", cluster(report)),
        ("Backup", backup(report)),
    ]
    machines = [
        (
            row["id"],
            row["zone"] or "-",
            row["type"] or "-",
            ago(row["age_seconds"]),
            row["lifecycle"],
            row["target"],
            row["reason"] or "",
            row["agent"],
        )
        for row in report["instances"]
    ]
    alarms = [(one["name"], one["state"], one["since"] or "-", one["reason"]) for one in report["alarms"]]
    shown = [(key.replace("_", " "), words(value)) for key, value in (outputs or {}).items() if value]
    bill = [(name, f"{float(dollars):.2f} $") for name, dollars in (costs or {}).items()]
    sections = [
        ("Health", picture(report, str((outputs or {}).get("kubernetes_app_url") or ""))),
        ("Instances", table(("instance", "zone", "type", "age", "group", "load balancer", "reason", "session manager"), machines)),
        ("Alarms", table(("alarm", "state", "since", "reason"), alarms)),
        ("Releases", table(("version", "made", "by", "place"), release_lines(report, releases or []))),
        ("Phases of the last run", f"<table><tbody>{BEGIN}{rows(phases) if phases else NO_PHASES}{END}</tbody></table>"),
        ("Costs a month", table(("what", "dollars"), bill) if bill else "<p>ansible-playbook playbooks/cost.yml estimates them.</p>"),
        ("Outputs", table(("what", "value"), shown)),
    ]
    body = "\n".join(f"<h2>{escape(title)}</h2>\n{content}" for title, content in sections)
    title = f"{report['environment']} · Espalier"
    return (
        f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n<h1>{escape(report['environment'])}</h1>\n"
        f"<p>Account {escape(report['account_id'])}, {escape(report['region'])}, as of {escape(report['at'])}</p>\n"
        f"{verdict(report)}\n{table(('', ''), facts).replace('<thead><tr><th></th><th></th></tr></thead>', '')}\n{body}\n</html>\n"
    )


class FilterModule:
    def filters(self):
        return {"report_page": report_page}
