"""What pages say of scans that cannot be shown or take long: four small records."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from mscf.command import Verbose, one_line_errors, run_script

AXES = {"left_right": 0, "front_back": 1, "head_foot": 2}  # of voxels in RAS order


def main(
    excerpt: Annotated[Path, Argument(metavar="EXCERPT", help="the cases of LiTS")],
    scan: Annotated[
        Path, Argument(metavar="SCAN", help="holds volume.nii.gz, liver.nii.gz")
    ],
    phantoms: Annotated[
        Path, Argument(metavar="PHANTOMS", help="the volumes of grid/phantoms.yaml")
    ],
    out: Annotated[Path, Argument(metavar="OUT", help="folder of the records")] = Path(
        "results/scans"
    ),
    size: Annotated[int, Option(help="pixels a side, for copying")] = 448,
    folds_size: Annotated[int, Option(help="for copying on all folds")] = 224,
    seed: Annotated[int, Option(help="of the splits")] = 0,
    fold: Annotated[int, Option(help="which of five tests")] = 0,
    verbose: Verbose = False,
) -> None:
    """Write anatomy, copying, copying_folds and look_alikes.json; some minutes."""
    import torch

    from mscf.data.cases import Case, find_cases
    from mscf.replacing import write_text
    from mscf.training.run_folder import commit, machine, now, versions

    with one_line_errors(verbose):
        real = find_cases(excerpt)
        whole = Case(scan.name, scan / "volume.nii.gz", scan / "liver.nii.gz", "one")
        drawn = find_cases(phantoms)
        records = {
            "anatomy": {
                "excerpt": mirrored(real),
                "whole_scan": mirrored([whole]),
                "real": mirrored([*real, whole]),
                "phantoms": mirrored(drawn),
            },
            "copying": copied(excerpt, size, seed, fold),
            "copying_folds": copied_on_all_folds(excerpt, folds_size, seed),
            "look_alikes": {"excerpt": alike(real), "phantoms": alike(drawn)},
        }
        out.mkdir(parents=True, exist_ok=True)
        for name, facts in records.items():
            made = {
                "made": now()[:10],
                "commit": commit(),
                "machine": machine(torch.device("cpu")),
                "versions": versions(),
            }
            write_text(out / f"{name}.json", json.dumps(made | facts, indent=2) + "\n")
        print(out)


def mirrored(cases: Iterable) -> dict[str, Any]:
    """Of how many cases anatomy is doubted: as they are, and mirrored along an axis."""
    import numpy as np

    from mscf.data.anatomy import misplaced
    from mscf.data.volume import read_labels, read_volume

    found = dict.fromkeys(("cases", "as_they_are", *AXES), 0)
    for case in cases:
        volume = read_volume(case.image)
        labels, *_ = read_labels(case.label, like=volume)
        found["cases"] += 1
        found["as_they_are"] += bool(misplaced(volume.voxels, labels))
        for name, axis in AXES.items():
            hu, flipped = (np.flip(one, axis) for one in (volume.voxels, labels))
            found[name] += bool(misplaced(hu, flipped))
    return found


def copied(cases: Path, size: int, seed: int, fold: int) -> dict[str, Any]:
    """What copying the nearest training slice reaches, under either split."""
    from tempfile import TemporaryDirectory

    from mscf.data.splits import make_split, train_and_test_rows
    from mscf.data.store import prepare
    from mscf.evaluation.copying import evaluate_copying
    from mscf.visualisation.statistics import has_neighbour

    with TemporaryDirectory() as folder:
        store = prepare(cases, Path(folder, "store"), size=size, processes=1)
        found: dict[str, Any] = {"size": size, "seed": seed, "fold": fold}
        for kind in ("slice", "patient"):
            split = make_split(store.index, kind, seed)
            training, test = train_and_test_rows(store.index, split, fold)
            rows = evaluate_copying(store, training, test)
            beside = has_neighbour(store.index, test, training)
            found[kind] = {
                "training_slices": len(training),
                "test_slices": len(test),
                "beside_training": int(beside.sum()),
                "beside_training_share": float(beside.mean()),
                "dice": float(rows["dice"].mean()),
            }
    return found


def copied_on_all_folds(cases: Path, size: int, seed: int) -> dict[str, Any]:
    """The same over all folds, so over all slices; with the interval over patients."""
    from tempfile import TemporaryDirectory

    import pandas as pd

    from mscf.data.splits import FOLDS, make_split, train_and_test_rows
    from mscf.data.store import prepare
    from mscf.evaluation.copying import evaluate_copying
    from mscf.evaluation.statistics import draw_patients, interval, redrawn_means

    with TemporaryDirectory() as folder:
        store = prepare(cases, Path(folder, "store"), size=size, processes=1)
        found: dict[str, Any] = {"size": size, "seed": seed, "folds": FOLDS}
        for kind in ("slice", "patient"):
            split = make_split(store.index, kind, seed)
            sides = [train_and_test_rows(store.index, split, n) for n in range(FOLDS)]
            rows = pd.concat([evaluate_copying(store, *side) for side in sides])
            of_patients = rows.groupby("patient")["dice"].mean()
            counts = draw_patients(len(of_patients))
            low, high = interval(
                redrawn_means(rows[["dice"]], rows["patient"], counts)[:, 0]
            )
            found[kind] = {
                "test_slices": len(rows),
                "patients": len(of_patients),
                "dice": float(rows["dice"].mean()),
                "low": low,
                "high": high,
                "hardly_found": int((of_patients < 0.01).sum()),  # patients
            }
    return found


def alike(cases: list) -> dict[str, Any]:
    """Where the pairs of one patient lie among all pairs, by likeness."""
    from mscf.data.persons import look_alikes

    pairs = look_alikes(cases)
    told, called = pairs["told"], pairs["called"]
    first = int((told.cumsum() == pairs.index + 1).sum())  # before one of two patients
    return {
        "cases": len(cases),
        "patients": len({case.patient for case in cases}),
        "pairs": len(pairs),
        "of_one_patient": int(told.sum()),
        "of_one_patient_first": first,
        "called": int(called.sum()),
        "called_of_one_patient": int((called & told).sum()),
        "last_score_of_one_patient": float(pairs["score"][told].min()),
        "first_score_of_two": float(pairs["score"][~told].max()),
    }


if __name__ == "__main__":
    run_script(main)
