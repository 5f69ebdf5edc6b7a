"""The scenarios of a run, in a process of their own: tests that come before them patch what they like.

    python -m tests.molecule.scenarios ROLE...

Runs one at a time, or as many as the last line of standard input says. Writes a short line of JSON for each that ends; its words are in
.test/molecule/ROLE/test.log, since nobody reads the lines before the other tests are done, and a pipe holds little. The end of standard
input is the end: nothing more is begun.
"""

from __future__ import annotations

import functools
import json
import sys

from tests.molecule.runner import FOLDER, Outcome, SideBySide, molecule
from tests.tree import ROOT, texts


def tell(name: str, outcome: Outcome) -> None:
    if outcome.returncode < 0:
        # molecule was stopped or never began: its own log does not say why.
        with (FOLDER / name / "test.log").open("a", encoding="utf-8") as log:
            log.write(f"{outcome.output}\n")
    print(json.dumps([name, outcome.returncode, outcome.seconds]), flush=True)


def main() -> None:
    on_machines = {path.parent.name for path, text in texts("molecule/*/molecule.yml").items() if "machines:" in text}
    # The longest first, so that none of them is left alone at the end.
    names = sorted(sys.argv[1:], key=lambda name: name not in on_machines)
    jobs = {name: functools.partial(molecule, "test", name, ROOT, FOLDER / name) for name in names}
    running = SideBySide(jobs, tell)
    running.employ(1)
    for line in sys.stdin:
        running.employ(int(line))
    running.close()


if __name__ == "__main__":
    main()
