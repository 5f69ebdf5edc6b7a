"""Changelog fragments as antsibull-changelog reads them, which runs at a release only."""

from __future__ import annotations

from tests.tree import ROOT, load_yaml, tracked

FOLDERS = [path.parent for path in tracked("*changelogs/config.yaml")]
# None right after a release.
FRAGMENTS = [path for folder in FOLDERS for path in sorted(folder.glob("fragments/[!.]*"))]


def test_suite_and_collection_have_fragments():
    collection = ROOT / "collections" / "ansible_collections" / "espalier" / "aws"
    assert set(FOLDERS) == {ROOT / "changelogs", collection / "changelogs"}


def test_fragments_hold_lines_for_known_sections():
    for path in FRAGMENTS:
        check_fragment(path)


def check_fragment(path):
    assert path.suffix in (".yml", ".yaml"), "antsibull-changelog reads .yml and .yaml only"
    config = load_yaml(path.parent.parent / "config.yaml")
    prelude, sections = config["prelude_section_name"], [name for name, _title in config["sections"]]
    fragment = load_yaml(path)
    assert fragment and set(fragment) <= {prelude, config["trivial_section_name"], *sections}, f"{path}: {list(fragment or [])}"
    for section, lines in fragment.items():
        kinds = (str,) if section == prelude else (list,)
        assert isinstance(lines, kinds) and lines, f"{path}: {section}: {'text' if section == prelude else 'a list of lines'}"
        # YAML turns an unquoted `a: b` into a dictionary.
        assert section == prelude or all(isinstance(line, str) and line.endswith(".") for line in lines), (
            f"{path}: {section}: whole sentences"
        )
