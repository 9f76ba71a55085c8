"""What the page "How to reproduce" says, from small profiles, runs and measurements."""

import json
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml

from mscf.errors import InputError, SettingsError
from mscf.evaluation.claims import BRANCHES, ONE_SCALE
from mscf.models import METHODS, on_meta
from mscf.models.cost import multiply_accumulates
from mscf.pages.command_times import KINDS, read_times, time_command
from mscf.pages.reproduce import (
    ALIKE,
    GRID,
    PROFILES,
    duration,
    expected,
    in_words,
    of_profile,
    one_training,
    overview,
    projections,
    read_profile,
    run_facts,
    shared_seconds,
    shares,
    steady,
)

ROOT = Path(__file__).parents[2]


def spaced(text: str) -> str:
    """With spaces where a line does not break, ``~`` as in TeX."""
    return text.replace("~", "\N{NO-BREAK SPACE}")


def profile(root: Path, name="shown", methods=("mscf", "cenet"), seeds=(0, 1)) -> None:
    words = {
        "name": "toys", "size": 192, "results": "results", "settings": {"epochs": 3},
        "runs": [{"methods": list(methods), "splits": ["patient"], "seeds": [*seeds]},
                 {"methods": ["mscf"], "splits": ["patient", "slice"], "seeds": [0]}],
    }  # fmt: skip
    (root / "grid").mkdir(exist_ok=True, parents=True)
    (root / f"grid/{name}.yaml").write_text(yaml.safe_dump(words))


def keep(root: Path, method="mscf", seed=0, place="toys-192", **changes) -> None:
    """A run of 60 s that ends at noon, on 10 slices in 3 epochs; Dice 0.4 and 0.6."""
    record = {
        "settings": {"method": method, "fold": 0, "seed": seed},
        "slices": {"training": 10, "test": 2}, "store": {"checksum": "x"},
        "epochs_done": 3, "seconds": 60.0, "machine": {"device": "cpu", "cores": 2},
        "updated": "2026-11-20T12:00:00+00:00", "status": "finished", **changes,
    }  # fmt: skip
    folder = root / f"results/{place}/patient/{method}/fold-0/seed-{seed}"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(record))
    rows = pd.read_csv(
        next(ROOT.glob("results/phantoms-192/patient/mscf/*/seed-0/per_slice.csv")),
        nrows=2,
    )
    rows = rows.assign(method=method, seed=seed, dice=[0.4, 0.6 + 0.1 * seed])
    rows.to_csv(folder / "per_slice.csv", index=False)
    third = record["seconds"] / 3
    epochs = {"epoch": [0, 1, 2], "seconds": third, "slices_per_second": 10 / third}
    pd.DataFrame(epochs).to_csv(folder / "timing.csv", index=False)


def test_a_profile_names_each_run_once_and_finds_those_that_are_kept(tmp_path) -> None:
    profile(tmp_path)
    keep(tmp_path, "mscf", 1)
    keep(tmp_path, "mscf+long")  # kept beside, of no profile
    found = read_profile(tmp_path, "shown")
    assert found.wanted == (
        ("patient", "mscf", 0, 0), ("patient", "mscf", 0, 1),
        ("patient", "cenet", 0, 0), ("patient", "cenet", 0, 1), ("slice", "mscf", 0, 0),
    )  # fmt: skip
    assert list(found.runs.index) == [("patient", "mscf", 0, 1)]
    assert list(found.rows["dice"]) == [0.4, 0.7]
    _, command, took, numbers = of_profile(found)
    assert command == GRID.format("shown")
    assert took == spaced("1 of 5 trainings: 60~s, 2~cores")
    assert numbers == spaced("Dice by patient 55.0~%")


def test_a_profile_without_a_run_is_said_not_to_be_run(tmp_path) -> None:
    profile(tmp_path)
    row = of_profile(read_profile(tmp_path, "shown"))
    assert row[2:] == ("not run: 5 trainings", "not known")


@pytest.mark.parametrize("text", ["name: [", "name: toys", "- a list"])
def test_what_is_no_profile_is_named(tmp_path, text) -> None:
    (tmp_path / "grid").mkdir()
    (tmp_path / "grid/shown.yaml").write_text(text)
    with pytest.raises(InputError, match=r"shown\.yaml: must be a profile"):
        read_profile(tmp_path, "shown")


def test_a_run_that_does_not_say_when_it_ended_is_named(tmp_path) -> None:
    keep(tmp_path, updated=None, slices={"test": 2})
    with pytest.raises(InputError, match=r"run\.json: must say when"):
        run_facts(tmp_path / "results/toys-192")


def test_runs_side_by_side_share_the_time_and_together_have_the_clocks(
    tmp_path,
) -> None:
    """Two from 11:59 to 12:00, a third from 11:58:30 on, a fourth alone an hour on."""
    for seed in (0, 1):
        keep(tmp_path, seed=seed)
    keep(tmp_path, seed=2, seconds=90.0)
    keep(tmp_path, seed=3, updated="2026-11-20T13:00:00+00:00")
    had = shares(run_facts(tmp_path / "results/toys-192"))
    assert had.tolist() == pytest.approx([20, 20, 20 + 30, 60])
    profile(tmp_path, seeds=(0, 1, 2, 3))
    took = of_profile(read_profile(tmp_path, "shown"))[2]
    assert took == spaced("4 of 9 trainings: 4~min, side by side 2~min, 2~cores")


def test_expected_numbers_say_how_far_another_run_may_be(tmp_path) -> None:
    profile(tmp_path)
    keep(tmp_path, "mscf", 0)
    keep(tmp_path, "mscf", 1)
    keep(tmp_path, "cenet", 0)
    table = expected(read_profile(tmp_path, "shown")).loc["patient"]
    # Means of 50 and 55: a deviation of 3.54, by two runs alone, so 12.7 times that,
    # and a mean of two is off by less than a single run.
    assert table.loc["mscf"].tolist() == [2, "52.5", "50.0", "55.0", "± 55.0"]
    assert table.loc["cenet"].tolist() == [1, "50.0", "", "", "± 63.5"]


def test_of_a_single_run_the_noise_is_not_known(tmp_path) -> None:
    profile(tmp_path)
    keep(tmp_path)
    table = expected(read_profile(tmp_path, "shown"))
    assert table["another run"].tolist() == ["not known"]


def test_one_training_is_told_by_the_range_of_its_runs(tmp_path) -> None:
    profile(tmp_path)
    keep(tmp_path, seed=0)
    keep(tmp_path, seed=1, seconds=1200.0)
    row = one_training(read_profile(tmp_path, "shown"))
    assert row[2] == spaced("60~s to 20~min, 2~cores")
    expected = "Dice 50.0~%; of 2 seeds, each with its own split, 50.0 to 55.0"
    assert row[3] == spaced(expected)


def test_splits_are_told_apart(tmp_path) -> None:
    profile(tmp_path)
    keep(tmp_path)
    by_patient = tmp_path / "results/toys-192/patient/mscf/fold-0/seed-0"
    by_slice = tmp_path / "results/toys-192/slice/mscf/fold-0/seed-0"
    shutil.copytree(by_patient, by_slice)
    rows = pd.read_csv(by_slice / "per_slice.csv").assign(split="slice", dice=0.7)
    rows.to_csv(by_slice / "per_slice.csv", index=False)
    numbers = of_profile(read_profile(tmp_path, "shown"))[3]
    assert numbers == spaced("Dice by patient 50.0~%, by slice 70.0~%")


def measured(tmp_path) -> None:
    """Ours at 0.03 slices a second alone, 0.5 on the excerpt, CE-Net 1 there."""
    profile(tmp_path, "lits")
    folder = tmp_path / "results/benchmarks"
    folder.mkdir(parents=True)
    step = {"what": "", "seconds": {"ours mscf": {"median": 2.0}}}
    record = {"figures": [step], "machine": {"cpu": "x", "cores": 2}}
    (folder / "step.json").write_text(json.dumps(record))
    epochs = {"epoch": [0, 1, 2], "seconds": 1, "slices_per_second": [9, 0.02, 0.04]}
    pd.DataFrame(epochs).to_csv(folder / "gpu_train_alone.csv", index=False)
    keep(tmp_path, "mscf", place="excerpt-448")
    keep(tmp_path, "cenet", place="excerpt-448", seconds=30.0,
         updated="2026-11-20T13:00:00+00:00")  # fmt: skip


def test_a_projection_divides_slices_by_the_measured_speed(tmp_path) -> None:
    """36,000 slices in 3 epochs."""
    measured(tmp_path)
    table = projections(tmp_path, [read_profile(tmp_path, "lits")], 36_000)
    # Five runs, three of ours at 2 s a slice and two of CE-Net's at 1 s: 8 times.
    hours = ["60", "1,000", "1,000", "250", "240", "60"]
    assert table["hours, about"].tolist() == hours
    assert table["slices a second, about"].tolist()[:3] == ["0.5", "0.03", "0.03"]
    assert table["machine"].tolist() == [
        spaced("x, 2~cores"), "one cpu", "four cpu, at worst", "four cpu, at best",
        "one cpu, three to ten at a time", "four cpu, as many on each",
    ]  # fmt: skip


def test_a_profile_is_projected_by_its_own_epochs(tmp_path) -> None:
    measured(tmp_path)
    long = read_profile(tmp_path, "lits")
    short = replace(long, epochs=1, name="short")
    table = projections(tmp_path, [long, short], 36_000)
    assert table["hours, about"].tolist()[4:] == ["240", "60", "80", "20"]


def test_senet_is_projected_as_cenet(tmp_path) -> None:
    measured(tmp_path)
    profile(tmp_path, "lits", ["mscf", "senet"])
    keep(tmp_path, "senet", place="excerpt-448", seconds=3000.0,
         updated="2026-11-20T14:00:00+00:00")  # fmt: skip
    table = projections(tmp_path, [read_profile(tmp_path, "lits")], 36_000)
    assert table["hours, about"].iloc[4] == "240"


EXCERPT = ROOT / "results/excerpt-448"


def page() -> str:
    cells = nbformat.read(ROOT / "notebooks/reproduce.ipynb", as_version=4).cells
    return " ".join(" ".join(cell.source for cell in cells).split())


def test_senet_has_cenets_operations_and_hardly_company() -> None:
    """With its own speed the hours would be a twentieth more, as the page says."""
    cost = {m: multiply_accumulates(on_meta(m), 448, 448) for m in ("senet", "cenet")}
    assert cost["senet"] == pytest.approx(cost["cenet"], rel=1e-5)
    seconds = shared_seconds(EXCERPT)
    assert seconds["senet"] > 2 * seconds["cenet"]
    for name in ("lits", "claims"):
        wanted = read_profile(ROOT, name).wanted
        methods = [method.partition("+")[0] for _, method, _, _ in wanted]
        counted = [ALIKE.get(method, method) for method in methods]
        more = seconds[methods].sum() / seconds[counted].sum()
        assert more == pytest.approx(1.05, abs=0.007)
    assert "of `claims` would be about a twentieth more" in page()


def test_as_many_ran_beside_one_another_as_the_page_says() -> None:
    runs = run_facts(EXCERPT)
    beside = (runs["seconds"] / shares(runs) - 1).round().astype(int)
    four = ["cenet", "mscf", "mscf+channel", "self_attention"]
    patient = beside["patient"]
    others = patient.drop(four)
    assert (patient[four].min(), patient[four].max()) == (6, 9)
    assert (beside["slice"].min(), beside["slice"].max()) == (3, 3)
    assert (others.min(), others.max()) == (2, 4)
    assert others["senet"].tolist() == [2]
    assert "six to nine by patient, three by slice; beside the seven" in page()
    assert "two to four, and a GPU with few waits" in page()
    assert "SENet, which had two beside it, counts as CE-Net" in page()


def test_the_hours_for_lits_name_their_machine_and_what_it_rests_on() -> None:
    profiles = [read_profile(ROOT, name) for name in ("lits", "claims", "excerpt-448")]
    table = projections(ROOT, profiles, 5752)
    assert table["machine"].iloc[1:].str.contains("NVIDIA H200").all()
    days = table["hours, about"].str.replace(",", "").astype(float) / 24
    assert days.iloc[4] == pytest.approx(10, abs=0.5)
    assert days.iloc[6] == pytest.approx(61, abs=3)
    of = {name: (ROOT / f"grid/{name}.yaml").read_text() for name in GRIDS}
    assert "ten days of an\n# H200" in of["lits"]
    assert "two months of an H200" in of["claims"]
    alone = pd.read_csv(ROOT / "results/provenance.csv").set_index("files")
    alone = alone.loc["benchmarks/gpu_train_alone.csv", "remark"]
    assert "on a lent H200" in alone
    assert "not kept" in alone
    assert "versions and day are not recorded" in alone
    epochs = pd.read_csv(ROOT / "results/benchmarks/gpu_train_alone.csv")
    assert len(epochs) - 1 == 3  # without the first
    said = "rests on three epochs of a training that was not kept"
    assert f"{said}, whose versions and day are not recorded" in page()


def test_the_step_alone_would_need_less_than_a_quarter() -> None:
    benchmark = json.loads((ROOT / "results/benchmarks/gpu_step.json").read_text())
    (step,) = [of["value"] for of in benchmark["figures"] if of.get("unit") == "hours"]
    table = projections(ROOT, [read_profile(ROOT, "lits")], 5752)
    one_training = float(table["hours, about"].iloc[1])
    assert 0.2 < step / one_training < 0.25
    assert "the step alone would need less than a quarter of these hours" in page()


GRIDS = ("lits", "claims", "excerpt-448")


def test_the_excerpts_recipe_is_not_that_of_lits_as_the_page_says() -> None:
    files = {name: (ROOT / f"grid/{name}.yaml").read_text() for name in GRIDS}
    of = {name: yaml.safe_load(text)["settings"] for name, text in files.items()}
    for name in ("lits", "claims"):
        assert of[name]["epochs"] == 400
        assert of[name]["require-pretrained"]
        assert "log-odds-bias" not in of[name]
    short = of["excerpt-448"]
    assert (short["epochs"], short["pretrained"]) == (25, False)
    assert short["log-odds-bias"]
    assert "epochs where `lits` and `claims` have up to 400, no ImageNet" in page()


def test_start_first_epoch_and_evaluation_are_in_no_projected_hours(tmp_path) -> None:
    keep(tmp_path, seconds=600.0)
    place = tmp_path / "results/toys-192"
    timing = place / "patient/mscf/fold-0/seed-0/timing.csv"
    epochs = pd.DataFrame({"epoch": [0, 1, 2], "slices_per_second": 1})
    epochs.assign(seconds=[300.0, 20.0, 40.0]).to_csv(timing, index=False)
    part = steady(place, run_facts(place)).loc[("patient", "mscf", 0, 0)]
    assert part.tolist() == pytest.approx([60 / 600, 2 / 3])


def test_a_table_of_words_is_not_cut_off() -> None:
    long = "a command" * 20
    assert long in in_words(pd.DataFrame({"command": [long]}))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(99, "99~s"), (100, "2~min"), (5940, "99~min"), (6120, "1.7~h")],
)
def test_a_duration_has_the_unit_that_one_plans_with(seconds, text) -> None:
    assert duration(seconds) == spaced(text)


def test_a_command_is_kept_with_its_time_and_again_replaces_it(tmp_path) -> None:
    table = tmp_path / "commands.csv"
    sleep = ["python", "-c", "import time; time.sleep(0.3)"]
    time_command(["true"], table)
    time_command(sleep, table, "a nap")
    times = time_command(["true"], table)
    assert list(times["command"]) == ["a nap", "true"]
    assert times["seconds"].iloc[0] >= 0.3
    assert times["cpu_seconds"].iloc[0] < times["seconds"].iloc[0]
    pd.testing.assert_frame_equal(read_times(table), times, check_dtype=False)


@pytest.mark.parametrize("command", ["false", "no-such-command"])
def test_a_command_that_fails_leaves_no_time(tmp_path, command) -> None:
    table = tmp_path / "commands.csv"
    with pytest.raises(SettingsError, match=f"{command}: must end well to be timed"):
        time_command([command], table)
    assert not table.exists()


def test_a_table_of_something_else_is_refused_before_the_command_runs(tmp_path) -> None:
    table, ran = tmp_path / "commands.csv", tmp_path / "ran"
    table.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="must be times of commands"):
        time_command(["touch", str(ran)], table)
    assert not ran.exists()


def test_a_command_that_was_not_timed_is_said_not_to_be(tmp_path) -> None:
    (tmp_path / "results").mkdir()
    row = dict.fromkeys(KINDS, "") | {"command": "make test", "device": "cpu"}
    row |= {"seconds": 400.0, "cpu_seconds": 300.0, "cores": 2}
    pd.DataFrame([row]).to_csv(tmp_path / "results/commands.csv", index=False)
    took = overview(tmp_path, []).set_index("command")["seen here"]
    assert took["make test"] == spaced("7~min, 5~min of CPU, 2~cores")
    assert took["make book"] == "not timed"


def test_of_lits_no_number_is_known_but_the_paper_s_by_slice() -> None:
    row = overview(ROOT, [read_profile(ROOT, "lits")]).iloc[-1]
    assert row["seen here"] == "not run: 75 trainings"
    assert row["numbers to expect"] == spaced(
        "not known; the paper's, by slice: Dice 73.6 to 82.2~%"
    )


def test_every_profile_that_the_page_names_is_there() -> None:
    assert {f"{name}.yaml" for name in PROFILES} <= {
        path.name for path in (ROOT / "grid").iterdir()
    }
    assert len(read_profile(ROOT, "shown").runs) == 1
    assert len(read_profile(ROOT, "lits").wanted) > 60


def test_the_claims_profile_is_what_their_rules_ask_for() -> None:
    wanted = set(read_profile(ROOT, "claims").wanted)
    shown = {"mscf+channel"}  # on the page that judges them, beside C3
    methods = {*METHODS, *BRANCHES.values(), *ONE_SCALE, *shown}
    assert wanted == {*product(("patient", "slice"), methods, range(5), range(3))}
    lits = {(split, method, *run) for split, method, *run in
            read_profile(ROOT, "lits").wanted if method in METHODS}  # fmt: skip
    assert lits <= wanted


def test_the_trainings_side_by_side_loaded_as_the_page_says() -> None:
    records = (ROOT / "results/excerpt-448").glob("*/*/fold-*/seed-*/run.json")
    workers = {json.loads(path.read_text())["settings"]["workers"] for path in records}
    assert (min(workers), max(workers)) == (1, 6)
    assert "with one to six loading processes each" in page()
