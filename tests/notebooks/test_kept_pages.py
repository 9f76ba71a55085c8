"""The pages that show kept slices, or a run's: asked for what they cannot show."""

import ast
import json

import nbformat
import papermill
import pytest

from mscf.errors import CheckpointError, SettingsError
from mscf.paths import root

TAKE_A_STORE = {  # what opens a run's store, and is to be told where it lies now
    "open_run", "examples_of_run", "fresh_drawings", "attributions_of_run",
    "asked_of_run",
}  # fmt: skip
PAGES = ("fig1", "fig4", "attribution", "spatial_context", "channel_context")
EXCERPT = "results/excerpt-448/patient"  # of real CT no slice is kept
ONE = f"{EXCERPT}/mscf/fold-0/seed-0"


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(root() / f"notebooks/{name}.ipynb", as_version=4)


def code_cells(name: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(name).cells if cell.cell_type == "code"]


def run_first(name: str, *more: str, **given: object) -> dict[str, object]:
    """Runs a notebook's parameters, its next cell and those ``more``; what they name.

    ``given`` stands in place of the parameters.
    """
    parameters, first, *others = code_cells(name)
    names: dict[str, object] = {}
    exec(parameters.source, names)
    assert given.keys() <= names.keys()
    names |= given
    for cell in [first, *(cell for cell in others if cell.id in more)]:
        exec(cell.source, names)
    return names


@pytest.mark.parametrize(
    ("name", "given", "line"),
    [
        ("fig1", {"example": 99}, "^example: .* from 0 to 7 "),
        ("fig1", {"example": -1}, "^example: .* from 0 to 7 "),
        ("fig1", {"run": "none", "n": 0}, "^n: must be at least 1 "),
        ("fig4", {"n": 0}, "^n: must be at least 1 "),
        ("fig4", {"seed": -1}, "^seed: must be at least 0 "),
        ("attribution", {"run": "none", "data": "x"}, r"run\.json"),
        ("spatial_context", {"pixel_row": 0}, "^pixel_row: must be None without run "),
        ("spatial_context", {"pixel_column": 3}, "^pixel_column: must be None with"),
        ("spatial_context", {"page_slice": 3}, "^page_slice: must be None without"),
        *((page, {"data": "x"}, "^data: must be None without run") for page in PAGES),
    ],
)
def test_a_number_out_of_range_is_one_line_of_the_first_cell(name, given, line) -> None:
    with pytest.raises((SettingsError, CheckpointError), match=line) as error:
        run_first(name, **given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", PAGES)
def test_whatever_opens_a_run_is_told_where_its_store_lies(name) -> None:
    calls = [
        node
        for cell in code_cells(name)
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in TAKE_A_STORE
    ]
    assert calls
    for call in calls:
        values = [*call.args, *(word.value for word in call.keywords)]
        assert "data" in [getattr(value, "id", "") for value in values]


def test_a_run_from_elsewhere_is_shown_with_its_store_of_here(
    run, tiny_store, tmp_path
) -> None:
    path = run.folder / "run.json"
    record = json.loads(path.read_text())
    record["settings"]["data"] = "/elsewhere/tiny"
    path.write_text(json.dumps(record))
    given = {"run": str(run.folder), "data": str(tiny_store)}
    page = tmp_path / "page.html"
    asked = {"pixel_row": 0, "pixel_column": 5, "page": str(page), "page_slice": 1}
    seen = run_first("spatial_context", "load", "own-page", **given, **asked)["seen"]
    assert "your pixel" in seen.name
    assert f"{seen.case[0]}, slice 1, 192" in page.read_text()
    assert run_first("channel_context", "load", **given)["seen"].affinity
    assert len(run_first("fig1", **given, n=2)["shown"]["row"]) == 2
    with pytest.raises(SettingsError, match=r"^pixel: must lie in the slice of 192"):
        run_first("spatial_context", "load", **given, pixel_row=192, pixel_column=0)


def test_every_picture_of_attributions_says_that_each_map_has_its_own_scale() -> None:
    drawn = [c for c in code_cells("attribution") if "draw_attribution(" in c.source]
    assert len(drawn) == 3
    for cell in drawn:
        caption = cell.metadata.mystnb.figure.caption
        assert "own scale: full colour from its 99th percentile" in caption


@pytest.mark.check
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "given", "parameter"),
    [
        ("fig1", {"results": EXCERPT}, "run"),
        ("fig4", {"results": EXCERPT}, "runs"),
        ("attribution", {"kept": ONE}, "run"),
        ("spatial_context", {"kept": ONE}, "run"),
    ],
)
def test_without_kept_slices_a_page_is_a_sentence_that_says_what_helps(
    name, given, parameter, tmp_path
) -> None:
    executed = papermill.execute_notebook(
        root() / f"notebooks/{name}.ipynb", tmp_path / "executed.ipynb", given,
        kernel_name="python3", progress_bar=False, cwd=str(root() / "notebooks"),
    )  # fmt: skip
    shown = [
        output["data"]
        for cell in executed.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "data" in output
    ]
    words = "\n".join(data.get("text/markdown", "") for data in shown)
    assert words.count("nothing is drawn here") == 1
    assert f"as `{parameter}`" in words
    assert not any("image/png" in data for data in shown)
    if name == "fig1":  # its numbers are kept
        assert "Claim C8" in words
    if name == "attribution":
        assert len(shown) == 1  # the sentence, no table
