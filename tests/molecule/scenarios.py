"""The scenarios of a run, in a process of their own: tests that come before them patch what they like.

    python -m tests.molecule.scenarios ROLE...

Runs one at a time, or as many as the last line of standard input says. Writes a line of JSON for each that ends. The end of standard
input is the end: nothing more is begun.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import sys

from tests.molecule.runner import FOLDER, SideBySide, molecule
from tests.tree import ROOT, texts


def main() -> None:
    on_machines = {path.parent.name for path, text in texts("molecule/*/molecule.yml").items() if "machines:" in text}
    # The longest first, so that none of them is left alone at the end.
    names = sorted(sys.argv[1:], key=lambda name: name not in on_machines)
    jobs = {name: functools.partial(molecule, "test", name, ROOT, FOLDER / name) for name in names}
    running = SideBySide(jobs, lambda name, outcome: print(json.dumps([name, *dataclasses.astuple(outcome)]), flush=True))
    running.employ(1)
    for line in sys.stdin:
        running.employ(int(line))
    running.close()


if __name__ == "__main__":
    main()
