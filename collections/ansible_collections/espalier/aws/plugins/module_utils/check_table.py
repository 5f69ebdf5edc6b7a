# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A table of checks as a role writes it: which function looks at which variables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple


class Input(NamedTuple):
    """A variable as the operator knows it, and its value; None where it is not set."""

    name: str
    value: Any


def variables(row: Mapping[str, Any]) -> Iterator[str]:
    """The variables that a row names."""
    for key, value in row.items():
        if key == "check":
            continue
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from value
        elif isinstance(value, dict):
            yield from value.values()


def bind(
    rows: Iterable[Mapping[str, Any]], checks: Mapping[str, Callable], values: Mapping[str, Any], unknown: Iterable[str] = ()
) -> Iterator[tuple[Callable, dict[str, Any]]]:
    """The functions of a table with their arguments: `check` names the function, the other keys are its arguments.

    A string names a variable, so does each string of a list or dictionary; a number is itself. A row that needs an
    unknown value (one that only a later play can work out, or that is known to be wrong) is left out.
    """
    unknown = set(unknown)
    for row in rows:
        if row["check"] not in checks:
            raise ValueError(f"there is no check {row['check']}; there are: {', '.join(sorted(checks))}")
        if unknown.isdisjoint(variables(row)):
            yield checks[row["check"]], {key: _argument(value, values) for key, value in row.items() if key != "check"}


def _argument(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        return Input(value, values.get(value))
    if isinstance(value, list):
        return [Input(name, values.get(name)) for name in value]
    if isinstance(value, dict):
        return {key: Input(name, values.get(name)) for key, name in value.items()}
    return value
