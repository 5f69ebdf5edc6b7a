"""Run a module of ours in this process, so that moto's patches and a test's environment variables reach it."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args


def run_module(capsys: pytest.CaptureFixture, name: str, /, check_mode: bool = False, **options: Any) -> dict:
    """The module's JSON answer; a failure is an answer with `failed`, not an exception."""
    module = importlib.import_module(f"ansible_collections.espalier.aws.plugins.modules.{name}")
    capsys.readouterr()
    with patch_module_args({**options, "_ansible_check_mode": check_mode}), pytest.raises(SystemExit):
        module.main()
    return json.loads(capsys.readouterr().out)
