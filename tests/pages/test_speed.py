import json

import matplotlib.pyplot as plt
import pytest

from mscf.errors import InputError
from mscf.pages.speed import (
    digits,
    figures_table,
    machines,
    part_lines,
    read_benchmark,
)
from mscf.visualisation.speed import draw_parts, draw_roofline, draw_sizes

RATIO = {
    "what": "a step", "of": "plain over ours", "wanted": 2.0, "at_most": False,
    "ratio": {"median": 2.134, "low": 1.9, "high": 2.3},
}  # fmt: skip
MEMORY = {
    "what": "memory", "value": 0.42, "unit": "", "wanted": 0.4, "at_most": True,
}  # fmt: skip


def part(name: str, gmac: float, seconds: float) -> dict:
    times = {"seconds": {"median": seconds}, "of the product": {"median": 0.5}}
    both = {"seconds": {"median": 3 * seconds}, "of the product": {"median": 0.4}}
    return {
        "what": f"MSCF, 448, one slice: {name}", "value": gmac, "unit": "GMAC forward",
        "wanted": None, "megabytes": 10.0, "forward": times, "both": both,
    }  # fmt: skip


PARTS = [
    part("encoder, stem", 1.0, 0.01),
    part("spatial context, 64 channels", 11.0, 0.3),
    {"what": "product", "value": 200.0, "unit": "GFLOP/s", "wanted": None, "rate": {}},
]


def test_a_figure_is_reached_when_its_median_is_on_the_wanted_side() -> None:
    table = figures_table([RATIO, MEMORY])
    assert table.loc["a step", "measured"] == "2.13"
    assert table.loc["a step", "range"] == "1.9 to 2.3"
    assert table.loc["a step", "wanted"] == "at least 2"
    assert table.loc["a step", "reached"] == "yes"
    assert table.loc["memory", "wanted"] == "at most 0.4"
    assert table.loc["memory", "reached"] == "no"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"), (2.134, "2.13"), (0.42, "0.42"), (100.0, "100"), (99.96, "100"),
        (999.4, "999"), (999.7, "1,000"), (-999.7, "-1,000"), (1234.5, "1,234"),
        (12_345_678, "12,345,678"), (0.00004, "0.00004"), (1.234e-7, "0.000000123"),
    ],
)  # fmt: skip
def test_a_number_has_three_digits_that_count_and_no_exponent(value, shown) -> None:
    assert digits(value) == shown


def test_figures_without_a_mark_are_shown_without_one() -> None:
    free = RATIO | {"wanted": None}
    assert figures_table([free])["reached"].tolist() == [""]
    assert list(figures_table([free, MEMORY], only_wanted=True).index) == ["memory"]


def test_machines_are_named_by_topic() -> None:
    record = {
        "made": "2026-11-26", "commit": "0123456789", "versions": {"torch": "2.13.0"},
        "machine": {"cpu": "EPYC", "cores": 2, "threads": 1, "device": "cpu",
                    "matrix_rate": 172.2},
    }  # fmt: skip
    on_gpu = record | {"machine": record["machine"] | {"device": "NVIDIA H200"}}
    table = machines({"step": record, "gpu_step": on_gpu})
    assert table["GPU"].tolist() == ["none", "NVIDIA H200"]
    assert table.loc["step", "commit"] == "0123456"
    assert table.loc["step", "threads"] == 1


@pytest.mark.parametrize("text", [None, "{", "[]", '{"figures": [{}]}'])
def test_what_is_no_benchmark_is_refused_by_name(text, tmp_path) -> None:
    path = tmp_path / "step.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=r"step\.json: must be what a benchmark wrote"):
        read_benchmark(path)


def test_a_benchmark_comes_back_as_it_was_written(tmp_path) -> None:
    path = tmp_path / "step.json"
    record = {"figures": [RATIO], "machine": {"cpu": "EPYC"}}
    path.write_text(json.dumps(record))
    assert read_benchmark(path) == record


def test_sizes_are_drawn_for_both_forms_as_far_as_they_go() -> None:
    sides = [
        {"value": 192, "seconds": {"plain": {"median": 1}, "ours": {"median": 0.5}},
         "mib": {"plain": 300, "ours": 200}},
        {"value": 832, "seconds": {"ours": {"median": 9}}, "mib": {"ours": 900}},
    ]  # fmt: skip
    _, axes = plt.subplots(1, 2)
    for ax in draw_sizes(axes, sides):
        lines = {line.get_label(): line for line in ax.get_lines()}
        assert list(lines["plain"].get_xdata()) == [192]
        assert list(lines["ours"].get_xdata()) == [192, 832]


def test_parts_are_stacked_from_forward_and_backward() -> None:
    parts = part_lines(PARTS)
    assert list(parts) == ["encoder, stem", "spatial context, 64 channels"]
    ax = draw_parts(plt.subplots()[1], parts)
    widths = [bar.get_width() for bar in ax.patches]
    assert widths == pytest.approx([10, 300, 20, 600])
    assert [text.get_text().strip() for text in ax.texts] == ["3%", "97%"]


def test_the_roof_is_the_lower_of_both_ceilings() -> None:
    ax = draw_roofline(plt.subplots()[1], part_lines(PARTS), product=200, copy=20)
    (roof,) = ax.get_lines()
    x, y = roof.get_xdata(), roof.get_ydata()
    assert y == pytest.approx([min(200, 20 * work) for work in x])
    points = [tuple(p.get_offsets()[0]) for p in ax.collections]
    assert points[1] == pytest.approx((2200, 22 / 0.3))
