"""`ansible-doc` works for every module and plugin of ours, and says of each option what the code says."""

from __future__ import annotations

import importlib
from unittest.mock import patch

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from bin import docs
from tests.tree import ROOT

PLUGINS = ROOT / "collections" / "ansible_collections" / "espalier" / "aws" / "plugins"
# Kind as ansible-doc calls it, and its folder. An action plugin is documented by the module of its name.
FOLDERS = {"module": "modules", "callback": "callback", "connection": "connection", "filter": "filter", "inventory": "inventory"}
MODULES = sorted(path.stem for path in (PLUGINS / "modules").glob("*.py"))


class Constructed(Exception):
    """The module's arguments, before it does anything."""


@pytest.fixture(scope="module")
def documented():
    return docs.documented()


def argument_spec(name: str) -> dict:
    if (PLUGINS / "action" / f"{name}.py").exists():
        action = importlib.import_module(f"ansible_collections.espalier.aws.plugins.action.{name}")
        # Others only prepare or repeat a call of the module.
        if hasattr(action, "SPEC"):
            return action.SPEC
    module = importlib.import_module(f"ansible_collections.espalier.aws.plugins.modules.{name}")

    def keep(self, argument_spec, **_options):
        raise Constructed(argument_spec)

    with patch_module_args({}), patch.object(AnsibleModule, "__init__", keep), pytest.raises(Constructed) as caught:
        module.main()
    return caught.value.args[0]


def test_every_plugin_is_documented(documented):
    found = {kind: sorted(name.rpartition(".")[2] for name in plugins) for kind, plugins in documented.items()}
    assert found == {kind: sorted(path.stem for path in (PLUGINS / folder).glob("*.py")) for kind, folder in FOLDERS.items()}
    others = {path.name for path in PLUGINS.iterdir() if path.is_dir()} - {*FOLDERS.values(), "action", "module_utils", "plugin_utils"}
    assert not others - {"__pycache__"}, "a kind of plugin that this test does not know"


@pytest.mark.parametrize("name", MODULES)
def test_documentation_says_what_the_module_takes(documented, name):
    options, spec = documented["module"][f"espalier.aws.{name}"]["doc"]["options"], argument_spec(name)
    assert set(options) == set(spec)
    for option, means in spec.items():
        says = options[option]
        for key, otherwise in {"type": "str", "elements": None, "required": False, "default": None, "choices": None}.items():
            assert says.get(key, otherwise) == means.get(key, otherwise), f"{option}: {key}"
        assert set(says.get("aliases") or ()) == set(means.get("aliases") or ()), f"{option}: aliases"


@pytest.mark.parametrize("name", MODULES)
def test_module_has_an_example_and_says_what_it_returns(documented, name):
    answer = documented["module"][f"espalier.aws.{name}"]
    assert f"espalier.aws.{name}:" in answer["examples"]
    assert answer["return"]
