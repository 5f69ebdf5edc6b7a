# Copyright: the Espalier authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which variables the roles of a folder take, and which of those that somebody has set cannot be meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.espalier.aws.plugins.module_utils.findings import finding

EXPRESSION = re.compile(r"\{[{%](.*?)[%}]\}", re.DOTALL)
# How alike a name without any role's prefix must be to a known one, to be taken for a slip of the finger.
ALIKE = 0.88
# Where a variable was set, as findings say it.
COMMAND_LINE = "set on the command line"
INVENTORY = "set in the inventory"


@dataclass
class Roles:
    """Inputs of all roles: names, defaults and argument specs of the entry point main."""

    names: list[str] = field(default_factory=list)
    defaults: dict[str, Any] = field(default_factory=dict)
    options: dict[str, dict] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)

    @classmethod
    def load(cls, folder: Path, read: Callable[[Path], Any]) -> Roles:
        roles = cls()
        for path in sorted(entry for entry in folder.iterdir() if (entry / "tasks").is_dir()):
            roles.names.append(path.name)
            for defaults in sorted(path.glob("defaults/**/*.yml")):
                roles.defaults.update(read(defaults) or {})
            specs = path / "meta" / "argument_specs.yml"
            entries = (read(specs) or {}).get("argument_specs", {}) if specs.exists() else {}
            for point, spec in entries.items():
                options = spec.get("options") or {}
                roles.known.update(options)
                if point == "main":
                    roles.options.update(options)
        roles.known.update(roles.defaults)
        return roles


def words_of(files: Iterable[Path], prefixes: tuple[str, ...]) -> set[str]:
    """Every name with one of the prefixes that a file mentions."""
    word = re.compile(rf"\b(?:{'|'.join(map(re.escape, prefixes))})\w+")
    return {name for path in files for name in word.findall(path.read_text(errors="replace"))}


def words_in_expressions(files: Iterable[Path], prefixes: tuple[str, ...]) -> set[str]:
    """The same, but only where a template reads it: an inventory sets names, too."""
    word = re.compile(rf"\b(?:{'|'.join(map(re.escape, prefixes))})\w+")
    return {name for path in files for text in EXPRESSION.findall(path.read_text(errors="replace")) for name in word.findall(text)}


def files_below(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from (one for one in path.rglob("*") if one.is_file() and one.suffix in (".yml", ".yaml", ".j2", ".json", ".py", ""))
        elif path.is_file():
            yield path


def misspelt(origins: dict[str, str], known: set[str], prefixes: tuple[str, ...], accepted: Iterable[str]) -> list[dict]:
    """Findings for set variables that nothing reads.

    `origins` says where each variable was set; `prefixes` are the beginnings of names that belong to the suite. A name
    without such a beginning is somebody's own, unless it is nearly the same as a known one.
    """
    findings = []
    for name, origin in sorted(origins.items()):
        if name in known or name in accepted or name.startswith(("__", "ansible_")):
            continue
        ours = name.startswith(prefixes)
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.6 if ours else ALIKE)
        if not ours and not near:
            continue
        fix = f"Did you mean {near[0]}?" if near else "Remove it."
        findings.append(
            finding(name, origin, "nothing reads a variable of this name.", f"{fix} If it is your own, list it in preflight_own_variables.")
        )
    return findings


def shadowed(origins: dict[str, str], playbook_variables: dict[str, dict]) -> list[dict]:
    """Findings for variables of the inventory that a playbook's file gives a value of its own. The command line wins over both."""
    findings = []
    for file, given in playbook_variables.items():
        for name in sorted(given.keys() & origins.keys()):
            if origins[name] != COMMAND_LINE:
                fix = f"Remove it, and set what that value is made of: {given[name]}"
                findings.append(finding(name, origins[name], f"{file} gives it a value of its own, which wins.", fix))
    return findings


def _typed(spec: dict) -> dict:
    """A spec that judges a value, whoever else would have to set it or gives its default."""
    judged = {key: value for key, value in spec.items() if key in ("type", "elements", "choices", "no_log")}
    if spec.get("options"):
        judged["options"] = {name: _typed(option) | {"required": bool(option.get("required"))} for name, option in spec["options"].items()}
    return judged


def convert(name: str, value: Any, spec: dict) -> tuple[Any, list[dict]]:
    """The value as the role will see it, or a finding that says which type or choice the role takes."""
    result = ArgumentSpecValidator({name: _typed(spec)}).validate({name: value})
    if not result.error_messages:
        return result.validated_parameters[name], []
    wanted = spec.get("type", "str")
    if spec.get("choices"):
        wanted += f", one of: {', '.join(map(str, spec['choices']))}"
    shown = "hidden" if spec.get("no_log") else value
    # The messages of a hidden value would show it.
    problem = "its type is wrong." if spec.get("no_log") else f"{'; '.join(result.error_messages)}."
    return None, [finding(name, shown, problem, f"Set {name} to a value of type {wanted}.")]
