"""`make plan`: what site.yml would do, as one table, as JSON and as an exit code.

    python bin/plan.py                                     the lab
    python bin/plan.py -i inventories/production           another inventory; every option of ansible-playbook is passed on
    python bin/plan.py --json --tags network               JSON on standard output

Exit codes: 0 nothing to do, 2 there are changes, 1 the plan could not be made. What the run itself printed is kept in .plan/run.log.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLAYBOOK = Path(sys.executable).parent / "ansible-playbook"
LOG = ROOT / ".plan" / "run.log"
EXIT_CODES = {"nothing to do": 0, "changes": 2}
ERROR = 1


def run(options: list[str]) -> tuple[dict | None, str]:
    """Run site.yml in check mode: the plan, or None where the run did not come to its end; and what it printed."""
    LOG.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plan.json"
        command = [PLAYBOOK, ROOT / "site.yml", "--check", "--diff", *options]
        environment = {**os.environ, "ESPALIER_PLAN_PATH": str(path)}
        with LOG.open("wb") as file:
            done = subprocess.run(command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False)
        plan = json.loads(path.read_text("utf-8")) if path.exists() else None
    # Nobody knows how far it came.
    if plan and done.returncode != 0 and plan["result"] != "error":
        plan = None
    return plan, LOG.read_text("utf-8", "replace")


def main(arguments: list[str]) -> int:
    options = [option for option in arguments if option != "--json"]
    plan, output = run(options)
    if plan is None:
        print(output, file=sys.stderr)
        print(f"The plan could not be made; all that the run printed is in {LOG.relative_to(ROOT)}.", file=sys.stderr)
        return ERROR
    text = plan.pop("text")
    print(json.dumps(plan, indent=2) if "--json" in arguments else text)
    return EXIT_CODES.get(plan["result"], ERROR)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
