"""The scripts as a shell calls them: exit codes, one line an error."""

import importlib.util
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import typer
from msd_tar import layout, write_tar
from recorder import recorded
from server import serve
from small_finished import build_small
from typer.testing import CliRunner

from mscf.data.phantom import make_phantoms
from mscf.data.store import Store
from mscf.evaluation.baseline import Threshold, fit_threshold
from mscf.kept import threshold
from mscf.kept.any_pixel import read_asked
from mscf.kept.results import keep_run

ROOT = Path(__file__).parents[1]


def run(script: str, *arguments: object):
    return CliRunner().invoke(app_of(script), [str(a) for a in arguments])


def app_of(script: str) -> typer.Typer:
    app = typer.Typer()
    app.command()(load(script).main)
    return app


def load(script: str):
    spec = importlib.util.spec_from_file_location(
        script, ROOT / f"data_scripts/{script}.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def cases(tiny_cases, tmp_path):
    shutil.copytree(tiny_cases, tmp_path / "cases")
    return tmp_path / "cases"


def test_prepare_says_what_it_made_and_finds_it_again(tiny_cases, tmp_path) -> None:
    arguments = tiny_cases, tmp_path / "store", "--size", 192, "--processes", 1
    for _ in range(2):
        result = run("prepare", *arguments)
        assert result.exit_code == 0
        assert "6 cases, 6 patients, 18 slices" in result.stdout


def test_every_option_of_prepare_reaches_the_library(monkeypatch) -> None:
    made = SimpleNamespace(record={"counts": {}})
    heard = recorded(monkeypatch, "mscf.data.store.prepare", made)
    options = "--size", 192, "--slices", "all", "--processes", 3, "--skip-bad"
    assert run("prepare", "cases", "store", *options).exit_code == 0
    assert [*heard.items()] == [
        ("source", Path("cases")), ("target", Path("store")), ("size", 192),
        ("slices", "all"), ("processes", 3), ("skip_bad", True),
    ]  # fmt: skip


@pytest.mark.parametrize("flag", ["images", "persons", "strict"])
def test_every_option_of_verify_reaches_the_library(flag, monkeypatch) -> None:
    heard = recorded(monkeypatch, "mscf.data.verify.verify", [])
    result = run("verify", "cases", "--out", "t.csv", "--processes", 3, f"--{flag}")
    assert result.exit_code == 0, result.output
    flags = {name: name == flag for name in ("images", "persons", "strict")}
    paths = {"source": Path("cases"), "table": Path("t.csv")}
    assert heard == paths | flags | {"processes": 3}


def test_a_refused_case_is_one_line_and_exit_code_3(cases, tmp_path) -> None:
    for number in (0, 5):
        path = cases / f"imagesTr/liver_{number}.nii.gz"
        path.write_bytes(path.read_bytes()[:-50])
    result = run("prepare", cases, tmp_path / "store", "--size", 192, "--processes", 1)
    assert result.exit_code == 3
    errors = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 2
    assert all("[gz-truncated]" in line for line in errors)
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("source", "options", "code", "check"),
    [
        ("nowhere", (), 3, "[folder-missing]"),
        ("cases", ("--size", 200), 2, "[image-size]"),
        ("cases", ("--size", 160), 2, "[image-size]"),
        ("cases", ("--slices", "spleen"), 2, "[slices]"),
        ("cases", ("--processes", 0), 2, "[processes]"),
    ],
)
def test_a_bad_argument_of_prepare_leaves_nothing(
    source, options, code, check, cases, tmp_path
) -> None:
    result = run("prepare", tmp_path / source, tmp_path / "store", *options)
    assert result.exit_code == code
    assert check in result.stderr
    assert not (tmp_path / "store").exists()


def test_a_store_where_a_file_lies_is_refused_as_storage(cases, tmp_path) -> None:
    (tmp_path / "store").write_text("a file")
    result = run("prepare", cases, tmp_path / "store", "--size", 192)
    assert result.exit_code == 7
    assert "choose another folder [storage]" in result.stderr
    assert "space" not in result.stderr
    assert (tmp_path / "store").read_text() == "a file"


@pytest.mark.check
def test_power_writes_the_same_tables_twice(tmp_path) -> None:
    for name in ("one", "other"):
        result = run(
            "power", tmp_path / name, "--trials", 3, "--results", ROOT / "results"
        )
        assert result.exit_code == 0
    for name in ("power.csv", "power_view.csv", "power.json"):
        one, other = ((tmp_path / n / name).read_bytes() for n in ("one", "other"))
        assert one == other
        committed = (ROOT / "results/excerpt-448" / name).read_text().splitlines()
        assert one.decode().splitlines()[0] == committed[0]


@pytest.mark.check
def test_facts_of_scans_are_those_of_the_cases_given(tmp_path) -> None:
    cases = make_phantoms(tmp_path / "cases", 8, seed=0, size=128, processes=1)
    scan = tmp_path / "scan"
    scan.mkdir()
    for part, name in (("imagesTr", "volume"), ("labelsTr", "liver")):
        first = min((cases / part).glob("*.nii.gz"))
        shutil.copy(first, scan / f"{name}.nii.gz")
    out = tmp_path / "facts"
    sizes = "--size", 192, "--folds-size", 192
    result = run("scan_facts", cases, scan, cases, out, *sizes)
    assert result.exit_code == 0, result.output
    facts = {file.stem: json.loads(file.read_text()) for file in out.iterdir()}
    real = facts["anatomy"]["real"]
    assert (real["cases"], real["as_they_are"], real["left_right"]) == (9, 0, 9)
    pairs = facts["look_alikes"]["phantoms"]
    assert (pairs["pairs"], pairs["of_one_patient"]) == (28, 8 - pairs["patients"])
    by_slice, by_patient = (facts["copying"][k] for k in ("slice", "patient"))
    assert by_patient["beside_training"] == 0 < by_slice["beside_training"]
    half = facts["copying_folds"]
    assert (half["size"], half["folds"]) == (192, 5)
    assert half["slice"]["test_slices"] == half["patient"]["test_slices"]
    assert half["patient"]["dice"] < half["slice"]["low"]
    assert half["slice"]["hardly_found"] <= half["patient"]["hardly_found"]


@pytest.fixture
def site(tmp_path):
    """A tar of four cases in MSD's layout on a server of this machine."""
    server, served = serve(write_tar(tmp_path / "site.tar", layout(4)))
    yield served
    server.shutdown()
    server.server_close()


def test_download_says_what_it_fetched_and_that_it_is_there(site, tmp_path) -> None:
    arguments = tmp_path / "out", "--cases", 2, "--address", site.address
    result = run("download", *arguments)
    assert result.exit_code == 0, result.output
    assert "the first 2 labelled cases (liver_0, liver_1), no others" in result.stdout
    result = run("download", *arguments)
    assert "complete and unchanged" in result.stdout


@pytest.mark.parametrize(
    ("options", "code", "check"),
    [
        (("--cases", 0), 2, "[cases]"),
        (("--cases", 5), 2, "[cases]"),
        (("--address", "ftp://example.org/a.tar"), 9, "[address]"),
        ((), 9, "[checksum]"),  # the site's tar is not MSD's
    ],
)
def test_a_download_that_fails_is_one_line(
    options, code, check, site, tmp_path
) -> None:
    result = run("download", tmp_path / "out", "--address", site.address, *options)
    assert result.exit_code == code
    (line,) = [text for text in result.stderr.splitlines() if "error:" in text]
    assert check in line
    assert "Traceback" not in result.output
    assert not list(tmp_path.glob("out/*/*"))


def test_verify_says_what_came_of_every_case(cases, tmp_path) -> None:
    path = cases / "imagesTr/liver_3.nii.gz"
    path.write_bytes(path.read_bytes()[:-50])
    out = tmp_path / "t.csv"
    result = run("verify", cases, "--out", out, "--processes", 1, "--write-digests")
    assert result.exit_code == 3
    lines = result.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:6]] == [
        [f"liver_{n}", "refused" if n == 3 else "sound"] for n in range(6)
    ]
    assert lines[6] == "6 cases: 5 sound, 0 with warnings, 1 refused"
    errors = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert errors[0].startswith(f"error: {path}: ")
    assert "[gz-truncated]" in errors[0]
    assert not (cases / "SHA256SUMS").exists()  # only of a folder without a refusal
    assert len(out.read_text().splitlines()) == 7


def test_verify_keeps_digests_and_sees_a_change_by_them(cases, tmp_path) -> None:
    arguments = cases, "--out", tmp_path / "t.csv", "--processes", 1
    result = run("verify", *arguments, "--write-digests")
    assert result.exit_code == 0
    assert "digests of 12 files" in result.stdout
    shutil.copy(cases / "imagesTr/liver_0.nii.gz", cases / "imagesTr/liver_1.nii.gz")
    result = run("verify", *arguments)
    assert result.exit_code == 3
    assert "liver_1.nii.gz: must be the file whose digest" in result.stderr


def test_a_warning_is_no_failure_but_with_strict(tmp_path, tiny_cases) -> None:
    for kind in ("imagesTr", "labelsTr"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "a.nii.gz").symlink_to(tiny_cases / kind / "liver_0.nii.gz")
    arguments = tmp_path, "--out", tmp_path / "t.csv", "--processes", 1
    result = run("verify", *arguments)
    assert result.exit_code == 0
    assert "1 with warnings" in result.stdout
    assert "[path-odd]" in result.stderr
    assert run("verify", *arguments, "--strict").exit_code == 3


def test_keep_run_keeps_a_slice_of_which_any_pixel_can_be_asked(
    run, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(Store, "phantoms", True)
    keep = load("keep_run").main
    keep(run.folder, tmp_path / "results", any_pixel=True, beside=False)
    folder = Path(capsys.readouterr().out.strip())
    assert read_asked(folder / "any_pixel.npz").pixels.shape == (24, 24, 2)


def test_keep_run_keeps_nothing_where_attributions_are_below_zero(
    run, tmp_path
) -> None:
    results = tmp_path / "results"
    refused = CliRunner().invoke(
        app_of("keep_run"), [str(run.folder), str(results), "--attributions", "-1"]
    )
    assert refused.exit_code == 2
    assert not results.exists()


def test_a_threshold_is_kept_without_a_network_as_beside_one(
    run, tiny_store, tmp_path, monkeypatch
) -> None:
    fitted = []

    def fit(store, rows) -> Threshold:
        fitted.append({*store.index.loc[rows, "patient"]})
        return fit_threshold(store, rows)

    monkeypatch.setattr(threshold, "fit_threshold", fit)
    keep_run(run.folder, tmp_path / "beside")
    kept = CliRunner().invoke(
        app_of("keep_threshold"), [str(tiny_store), str(tmp_path / "alone")]
    )
    assert kept.exit_code == 0, kept.output
    one = f"{tiny_store.name}/patient/hu_threshold/fold-0/seed-0/per_slice.csv"
    beside, alone = (tmp_path / name / one for name in ("beside", "alone"))
    assert alone.read_bytes() == beside.read_bytes()
    folds = sorted(alone.parents[2].glob("*/*/per_slice.csv"))
    tests = [pd.read_csv(path) for path in folds]
    for test, patients in zip(tests, fitted, strict=True):
        assert len({*test["patient"]} | patients) == 6  # none on both sides
        assert not {*test["patient"]} & patients
    tested = pd.concat(tests)
    assert len(tested) == len(tested[["case", "slice"]].drop_duplicates()) == 18


@pytest.mark.check
def test_the_curves_have_a_row_an_epoch_and_name_no_place(
    tiny_store, tmp_path, monkeypatch
) -> None:
    build_small(monkeypatch)
    runs, out = tmp_path / "runs", tmp_path / "curves"
    options = "--method", "csnet", "--epochs", 2, "--batch-size", 8
    result = run("log_odds_curves", tiny_store, runs, out, *options)
    assert result.exit_code == 0, result.output
    curves = pd.read_csv(out / "curves.csv")
    assert list(curves["start"]) == ["plain", "plain", "log-odds", "log-odds"]
    for start, of_one in curves.groupby("start"):
        record = json.loads((out / f"{start}.json").read_text())
        assert record["settings"]["method"] == "csnet"
        assert record["settings"]["log_odds_bias"] is (start == "log-odds")
        assert str(tmp_path) not in (out / f"{start}.json").read_text()
        last = pd.read_csv(runs / start / "per_slice.csv")
        assert of_one["dice"].iloc[-1] == pytest.approx(last["dice"].mean())
        history = pd.read_csv(runs / start / "history.csv")
        assert list(of_one["loss"]) == pytest.approx(list(history["loss"]))
    assert list(curves["steps"]) == [2, 4, 2, 4]  # fifteen slices, the last of seven

    kept = (out / "curves.csv").read_bytes()
    again = run("log_odds_curves", tiny_store, runs, out, *options)
    assert again.exit_code != 0
    assert "[run-exists]" in again.stderr
    assert (out / "curves.csv").read_bytes() == kept


def test_imagenet_weights_are_fetched_or_it_is_said_which_are_missing(
    monkeypatch,
) -> None:
    from mscf.models import encoder

    def unreachable(self, **_):
        raise OSError("no route")

    def reachable(of):
        return lambda self, **_: getattr(encoder, of)().state_dict()

    weights = {n: getattr(encoder, f"{n}_Weights") for n in ("ResNet34", "ResNet50")}
    monkeypatch.setattr(weights["ResNet34"], "get_state_dict", reachable("resnet34"))
    monkeypatch.setattr(weights["ResNet50"], "get_state_dict", unreachable)
    result = run("imagenet")
    assert result.exit_code == 9
    assert "ResNet-34: its ImageNet weights are here" in result.stdout
    assert result.stderr.startswith("error: ResNet-50: must have its ImageNet weights")
    assert result.stderr.count("\n") == 1
    monkeypatch.setattr(weights["ResNet50"], "get_state_dict", reachable("resnet50"))
    assert run("imagenet").exit_code == 0
