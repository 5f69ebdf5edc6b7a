"""Make the in-repo collection importable beside the collections of the `ansible` package, as Ansible itself does."""

from __future__ import annotations

import ansible_collections

from tests.tree import ROOT

OURS = str(ROOT / "collections" / "ansible_collections")
if OURS not in ansible_collections.__path__:
    ansible_collections.__path__.append(OURS)
