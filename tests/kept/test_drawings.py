import json
import shutil

import numpy as np
import pandas as pd
import pytest

from mscf.checkpoint import read_checkpoint, write_checkpoint
from mscf.errors import CheckpointError, InputError, SettingsError
from mscf.evaluation.evaluate import evaluate
from mscf.evaluation.tables import identify, write_rows
from mscf.kept.drawings import fresh_drawings, kept_drawings
from mscf.kept.finished_run import open_run
from mscf.training.passes import precision

SIDE = 12


def keep(place, method: str, right: list[int], **changed) -> None:
    """Examples of four slices; ``right`` says how many of 4 rows each drew."""
    truth = np.zeros((4, SIDE, SIDE), bool)
    truth[:, 2:6, 2:6] = True
    probability = np.zeros(truth.shape, np.uint8)
    for one, rows in zip(probability, right, strict=True):
        one[2 : 2 + rows, 2:6] = 128
    kept = {
        "row": np.arange(4), "case": np.array(["a", "b", "c", "d"]),
        "hu": np.arange(4 * SIDE**2, dtype=np.int16).reshape(truth.shape),
        "truth": truth, "probability": probability,
    }  # fmt: skip
    folder = place / method / "fold-0/seed-0"
    folder.mkdir(parents=True)
    np.savez(folder / "examples.npz", **kept | changed)


def test_kept_slices_are_shown_for_every_method_that_has_a_run(tmp_path) -> None:
    keep(tmp_path, "unet", [4, 0, 4, 1])
    keep(tmp_path, "mscf", [4, 0, 0, 1])
    found = kept_drawings(tmp_path, ["unet", "danet", "mscf"], n=2)
    assert found.missing == ("danet",)
    assert found.dice()["unet"].tolist() == [1, 0, 1, 0.4]
    assert (found.chosen.best, found.chosen.worst, found.chosen.disputed) == (0, 1, 2)
    assert len(found.chosen.random) == 2
    hu, truth, masks = found.of(2)
    assert hu[0, 0] == 2 * SIDE**2
    assert masks["unet"].sum() == truth.sum() == 16
    assert not masks["mscf"].any()
    titles = {"unet": "U-Net", "danet": "DANet", "mscf": "Ours"}
    assert found.in_words(titles) == (
        "2 of 3 methods have a run here; chosen from 4 slices. "
        "Not run, not finished or not kept: DANet."
    )


@pytest.mark.parametrize("name", ["row", "hu", "truth"])
def test_examples_of_other_slices_do_not_stand_side_by_side(name, tmp_path) -> None:
    keep(tmp_path, "unet", [4, 4, 4, 4])
    with np.load(tmp_path / "unet/fold-0/seed-0/examples.npz") as kept:
        other = kept[name][::-1].copy()
    other.flat[0] += 1
    keep(tmp_path, "mscf", [4, 4, 4, 4], **{name: other})
    with pytest.raises(InputError, match=r"mscf.*that unet shows.*\[drawings-other\]"):
        kept_drawings(tmp_path, ["unet", "mscf"])


def test_without_any_run_there_is_one_line(tmp_path) -> None:
    for draw in (kept_drawings, fresh_drawings):
        with pytest.raises(InputError, match=r"make grid \[drawings-none\]"):
            draw(tmp_path, ["unet"])


@pytest.mark.parametrize("numbers", [{"n": 0}, {"n": -3}, {"seed": -1}])
def test_numbers_that_no_slices_can_be_chosen_by_are_refused(numbers, tmp_path) -> None:
    (name,) = numbers
    for draw in (kept_drawings, fresh_drawings):
        with pytest.raises(SettingsError, match=rf"^{name}: must be at least [01] "):
            draw(tmp_path, ["unet"], **numbers)


def copied(run, folder, raised: float, dice: list[float]) -> pd.DataFrame:
    """The run once more with its logits raised, and this Dice in its table.

    Gives what it draws in truth, a row a slice: the networks here are too weak to tell
    the best slice from the most disputed.
    """
    shutil.copytree(run.folder, folder)
    weights, record = read_checkpoint(folder / "best.ckpt")
    weights["last.bias"] += raised
    write_checkpoint(folder / "best.ckpt", weights, record)
    opened = open_run(folder)
    with precision(opened.settings):
        rows = evaluate(opened.network(), opened.test).sort_values(["case", "slice"])
    signed = identify(rows.assign(dice=dice), "tiny", "patient", 0, "mscf", 0)
    write_rows(signed, folder / "per_slice.csv")
    return rows.set_index(["case", "slice"])


def test_each_method_draws_the_slices_chosen_from_all_that_were_tested(
    run, tmp_path
) -> None:
    place = "fold-0/seed-0"
    tables = {
        "unet": copied(
            run, tmp_path / "unet" / place, 4.5, [0.9, 0.1, 0.8, 0.5, 0.5, 0.5]
        ),
        "mscf": copied(
            run, tmp_path / "mscf" / place, 5.0, [0.9, 0.1, 0.0, 0.5, 0.5, 0.5]
        ),
    }
    found = fresh_drawings(tmp_path, ["unet", "cenet", "mscf"], n=3)
    assert found.pool == len(run.rows)
    assert found.missing == ("cenet",)
    keys = [(case, int(n)) for case, n in (x.split(", slice ") for x in found.names)]
    for method, rows in tables.items():
        drawn = found.masks[method].sum(axis=(1, 2))
        assert drawn.min() > 0
        assert drawn.tolist() == rows.loc[keys, "predicted_px"].tolist()
        np.testing.assert_allclose(found.dice()[method], rows.loc[keys, "dice"])
    unet, mscf = found.masks.values()
    assert (mscf.sum(axis=(1, 2)) > unet.sum(axis=(1, 2))).all()  # never the same
    order = list(tables["unet"].index)
    chosen = found.chosen
    places = [
        order.index(keys[i]) for i in (chosen.best, chosen.worst, chosen.disputed)
    ]
    assert places == [0, 1, 2]
    assert len(chosen.random) == 3


def test_rows_that_are_not_of_the_runs_test_slices_are_refused(run, tmp_path) -> None:
    folder = tmp_path / "unet/fold-0/seed-0"
    shutil.copytree(run.folder, folder)
    others = run.rows.assign(case="another", slice=range(len(run.rows)))
    write_rows(others, folder / "per_slice.csv")
    with pytest.raises(CheckpointError, match=r"and 6 others\).*\[runs-rows\]"):
        fresh_drawings(tmp_path, ["unet"])


def test_a_method_that_still_trains_is_missing_and_the_others_are_drawn(
    run, tmp_path
) -> None:
    for method in ("unet", "cenet", "mscf"):
        shutil.copytree(run.folder, tmp_path / method / "fold-0/seed-0")
    path = tmp_path / "cenet/fold-0/seed-0/run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "training"}))
    found = fresh_drawings(tmp_path, ["unet", "cenet", "mscf"], n=3)
    assert list(found.masks) == ["unet", "mscf"]
    assert found.missing == ("cenet",)
    assert found.in_words({"cenet": "CE-Net"}).endswith(
        "Not run, not finished or not kept: CE-Net."
    )
    with pytest.raises(InputError, match=r"a finished run of a method.*drawings-none"):
        fresh_drawings(tmp_path, ["cenet"])
