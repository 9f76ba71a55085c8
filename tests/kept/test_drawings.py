import shutil

import numpy as np
import pytest

from mscf.errors import InputError
from mscf.kept.drawings import fresh_drawings, kept_drawings

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
        "Not run, or not kept: DANet."
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


def test_a_run_draws_the_slices_chosen_from_all_that_it_was_tested_on(
    run,
    tmp_path,
) -> None:
    for method in ("unet", "mscf"):
        shutil.copytree(run.folder, tmp_path / method / "fold-0/seed-0")
    found = fresh_drawings(tmp_path, ["unet", "cenet", "mscf"], n=3)
    rows = run.rows.set_index(["case", "slice"])
    assert found.pool == len(rows)
    assert found.missing == ("cenet",)
    for name, dice, predicted in zip(
        found.names, found.dice()["mscf"], found.masks["mscf"], strict=True
    ):
        case, slice_ = name.split(", slice ")
        tested = rows.loc[(case, int(slice_))]
        assert dice == pytest.approx(tested["dice"])
        assert predicted.sum() == tested["predicted_px"]
    assert found.dice().iloc[found.chosen.best].mean() == rows["dice"].max()
    assert found.dice().iloc[found.chosen.worst].mean() == rows["dice"].min()
    assert found.in_words({"cenet": "CE-Net"}).endswith("Not run, or not kept: CE-Net.")
