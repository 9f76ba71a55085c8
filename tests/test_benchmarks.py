"""The benchmarks as a reader runs them; their figures are no test."""

import json
import math
import subprocess
import sys

import pytest
import torch

from benchmarks import imports, step
from benchmarks.__main__ import ALL, main, said
from benchmarks.plain import plain_forms
from benchmarks.racing import figure, measured, race, those_that_run, write


def bench(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *words], capture_output=True, text=True
    )


@pytest.mark.check
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("topic", ALL)
def test_every_topic_runs_and_writes_its_figures(topic, tmp_path) -> None:
    done = bench(topic, "--quick", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / f"{topic}.json").read_text())
    assert record["quick"]
    assert record["machine"]["cpu"]
    for line in record["figures"]:
        assert line["what"] in done.stdout
        ratio = line.get("ratio", {"median": line.get("value")})
        assert math.isfinite(ratio["median"])  # of differences it may be negative


@pytest.mark.parametrize("kind", ["plain", "ours", "bf16", "searched"])
def test_convolutions_are_cudnns_in_every_form(kind, monkeypatch) -> None:
    seen, own = [], step.cross_entropy

    def loss(outputs, targets):
        seen.append((torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark))
        return own(outputs, targets)

    monkeypatch.setattr(step, "cross_entropy", loss)
    step.step(f"{kind} cenet", 192)()
    assert seen == [(True, kind == "searched")]


def test_the_plain_form_is_the_same_function_and_calls_none_of_ours(
    monkeypatch,
) -> None:
    network = step.network("mscf", is_plain=True).double().cpu().eval()
    images = torch.randn(1, 3, 192, 192, dtype=torch.float64)
    with torch.no_grad():
        ours = network(images)
        monkeypatch.setattr("mscf.models.attention.tiled_attention", None)
        with plain_forms():
            torch.testing.assert_close(network(images), ours, rtol=1e-9, atol=1e-9)


def test_a_ratio_is_taken_round_by_round() -> None:
    times = {"ours": [1.0, 2.0, 9.0, 4.0], "plain": [2.0, 2.0, 3.0, 16.0]}
    line = figure("step", times, ("plain", "ours"))
    assert line["of"] == "plain over ours"
    assert line["ratio"] == {"median": 1.5, "low": 0.3333, "high": 4.0}
    assert line["seconds"]["ours"] == {"median": 3.0, "low": 1.0, "high": 9.0}


def test_a_topic_that_is_cut_keeps_what_it_had(monkeypatch, tmp_path) -> None:
    def figures(quick):
        yield measured("first", 1.0, "s")
        raise KeyboardInterrupt

    monkeypatch.setattr(imports, "figures", figures)
    monkeypatch.setattr("sys.argv", ["benchmarks", "imports", "--out", str(tmp_path)])
    with pytest.raises(KeyboardInterrupt):
        main()
    kept = json.loads((tmp_path / "imports.json").read_text())["figures"]
    assert [line["what"] for line in kept] == ["first"]


def test_a_topic_is_raced_and_recorded_on_the_threads_it_asks_for(
    monkeypatch, tmp_path
) -> None:
    def figures(quick):
        return [measured("threads", torch.get_num_threads(), "")]

    before = torch.get_num_threads()
    monkeypatch.setattr(imports, "figures", figures)
    monkeypatch.setattr(imports, "THREADS", before + 1, raising=False)
    monkeypatch.setattr("sys.argv", ["benchmarks", "imports", "--out", str(tmp_path)])
    main()
    record = json.loads((tmp_path / "imports.json").read_text())
    assert record["figures"][0]["value"] == record["machine"]["threads"] == before + 1
    assert torch.get_num_threads() == before


def test_an_unknown_topic_ends_in_one_line_that_names_the_others(
    monkeypatch, capsys
) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks", "speed"])
    with pytest.raises(SystemExit) as ended:
        main()
    last = capsys.readouterr().err.splitlines()[-1]
    assert ended.value.code == 2
    assert "attention" in last
    assert "speed" in last


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_topic_of_a_gpu_is_refused_without_one_and_nothing_is_written(
    monkeypatch, capsys, tmp_path
) -> None:
    words = ["benchmarks", "gpu_step", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit):
        main()
    assert "gpu_step needs a GPU" in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_forms_take_turns_and_the_first_rounds_do_not_count() -> None:
    calls = []
    forms = {name: lambda name=name: calls.append(name) for name in "ab"}
    times = race(forms, rounds=3, warm=1)
    assert calls == ["a", "b"] * 4
    assert {name: len(values) for name, values in times.items()} == {"a": 3, "b": 3}


def test_a_ratio_is_that_of_neighbours_in_time() -> None:
    # The machine halves its speed in the last round: each round's ratio stays 2.
    line = figure("it", {"a": [2, 2, 4], "b": [1, 1, 2]}, ("a", "b"), wanted=1.5)
    assert line["ratio"] == {"median": 2, "low": 2, "high": 2}
    assert said(line) == "it: a over b 2 (2 to 2) (wanted: at least 1.5)"


def test_a_form_that_cannot_run_is_named_and_left_out() -> None:
    def refuses() -> None:
        raise RuntimeError("No kernel.\nmore")

    assert those_that_run({"a": list, "b": refuses}) == (
        {"a": list},
        {"b": "No kernel."},
    )


def test_what_came_out_is_written_with_the_machine(tmp_path) -> None:
    path = write("it", [{"what": "x"}], quick=True, rate=9.0, folder=tmp_path / "new")
    record = json.loads(path.read_text())
    assert record["figures"] == [{"what": "x"}]
    assert record["machine"]["matrix_rate"] == 9.0
    assert record["versions"]["torch"]
