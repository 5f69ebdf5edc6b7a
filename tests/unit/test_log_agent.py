"""The log agent's arithmetic: which lines are one event, what CloudWatch takes at once, and files that are rotated or cut."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from tests.tree import ROOT


@pytest.fixture(scope="module")
def agent():
    """The program as a module, with its client beside it as on an instance."""
    sys.path.insert(0, str(ROOT / "roles" / "django" / "files"))
    specification = importlib.util.spec_from_file_location("espalier_logs", ROOT / "roles" / "logs" / "files" / "espalier_logs.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    yield module
    sys.path.remove(str(ROOT / "roles" / "django" / "files"))
    sys.modules.pop("espalier_aws", None)


def events(agent, *texts, streams=({"name": "all", "unit": "u"},), systemd=False):
    found = agent.Streams(list(streams)).events([("u", at, text, systemd) for at, text in enumerate(texts)])
    return {name: [event["message"] for event in listed] for name, listed in found.items()}


def test_a_traceback_is_one_event(agent):
    lines = [
        "ERROR shop",
        "Traceback (most recent call last):",
        '  File "x"',
        "    boom()",
        "shop.errors.Boom: 7",
        "INFO next",
        "WARNING: last",
    ]
    assert events(agent, *lines) == {"all": ["\n".join(lines[:5]), "INFO next", "WARNING: last"]}


def test_lines_go_to_the_first_stream_that_fits(agent):
    streams = ({"name": "errors", "unit": "u", "match": "E"}, {"name": "rest", "unit": "u"}, {"name": "other", "unit": "v"})
    assert events(agent, "E1", "two", "no E", streams=streams) == {"errors": ["E1"], "rest": ["two", "no E"]}
    assert events(agent, "Started.", streams=streams, systemd=True) == {"errors": ["Started."]}
    assert events(agent, "nothing", streams=streams[:1]) == {}


def test_batches_are_what_cloudwatch_takes(agent):
    def sizes(*listed):
        return [len(batch) for batch in agent.batches([{"timestamp": at, "message": text} for at, text in listed])]

    assert sizes(*((0, "x") for _ in range(10_001))) == [10_000, 1]
    assert sizes(*((0, "é" * 100_000) for _ in range(6))) == [5, 1]
    day = 24 * 3600 * 1000
    assert sizes((day, "b"), (0, "a"), (day - 1, "c")) == [2, 1]
    (batch,) = agent.batches([{"timestamp": 2, "message": "b"}, {"timestamp": 1, "message": "a"}])
    assert [event["message"] for event in batch] == ["a", "b"]


def texts(file):
    return [text for _, _, text, _ in file.read()]


def test_half_a_line_waits_for_its_end(agent, tmp_path):
    path = tmp_path / "log"
    file = agent.File(path)
    assert texts(file) == []
    path.write_text("one\ntw")
    assert texts(file) == ["one"]
    with path.open("a") as writer:
        writer.write("o\n")
    assert texts(file) == ["two"]


def test_a_rotated_file_is_read_to_its_end(agent, tmp_path):
    path, old = tmp_path / "log", tmp_path / "log.1"
    path.write_text("one\n")
    file = agent.File(path)
    assert texts(file) == ["one"]
    path.rename(old)
    path.touch()
    with old.open("a") as writer:
        writer.write("two\n")
    assert texts(file) == ["two"]
    assert texts(file) == []
    with old.open("a") as writer:
        writer.write("three\n")
    path.write_text("four\n")
    assert texts(file) + texts(file) == ["three", "four"]


def test_a_file_that_was_cut_is_read_anew(agent, tmp_path):
    path = tmp_path / "log"
    path.write_text("one\ntwo\n")
    file = agent.File(path)
    file.read()
    path.write_text("new\n")
    assert texts(file) == ["new"]


def test_a_chunk_ends_with_a_line(agent, tmp_path, monkeypatch):
    monkeypatch.setattr(agent, "CHUNK", 10)
    path = tmp_path / "log"
    path.write_text("one\ntwo\nthree\n")
    file = agent.File(path)
    assert texts(file) == ["one", "two"] and file.full
    assert texts(file) == ["three"] and not file.full


def test_refused_events_do_not_hold_up_the_others(agent, capsys):
    class Aws:
        def json(self, service, target, **fields):
            raise agent.AwsError("expired", "InvalidParameterException")

    agent.Sender("group", Aws(), "i-0").send("all", [{"timestamp": 0, "message": "x"}])
    assert "refuses 1 events" in capsys.readouterr().out


def test_a_missing_group_is_named(agent):
    class Aws:
        def json(self, service, target, **fields):
            raise agent.AwsError("no", "ResourceNotFoundException")

    with pytest.raises(agent.AwsError, match="no log group shop: run"):
        agent.Sender("shop", Aws(), "i-0").send("all", [{"timestamp": 0, "message": "x"}])
