import json
import resource
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mscf.data import case_slices, store_writer
from mscf.data import store as store_module
from mscf.data.phantom import make_phantoms
from mscf.data.sealed import write_sealed
from mscf.data.store import open_store, prepare
from mscf.errors import (
    CheckpointError,
    InputError,
    MemoryLimitError,
    SettingsError,
    StorageError,
)

FILES = ("images.npy", "masks.npy", "index.csv", "store.json")


def content(folder) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.fixture
def cases(tiny_cases, tmp_path):
    """A copy that a test may spoil."""
    shutil.copytree(tiny_cases, tmp_path / "cases")
    return tmp_path / "cases"


def test_a_store_holds_every_tumour_slice_with_its_row(tiny_store) -> None:
    store = open_store(tiny_store)
    assert len(store) == 18
    assert store.images.shape == store.masks.shape == (18, 192, 192)
    assert (store.images.dtype, store.masks.dtype) == (np.int16, np.uint8)
    assert isinstance(store.images, np.memmap)
    assert store.index["case"].tolist()[::3] == [f"liver_{n}" for n in range(6)]
    assert store.index["slice"].tolist() == [0, 1, 2] * 6
    for row, mask in zip(store.index.to_dict("records"), store.masks, strict=True):
        assert row["stored_tumour_px"] == (mask == 2).sum() == row["tumour_px"]
        assert row["liver_px"] == (mask > 0).sum()
        assert row["lesions"] == 1
        assert (row["spacing_y"], row["spacing_x"], row["spacing_z"]) == (1.5, 1.5, 4)
    tumour = store.images[store.masks == 2].mean()
    assert tumour == pytest.approx(60, abs=2)  # as the cases were made


def test_at_the_volumes_own_size_voxels_are_unchanged(tiny_cases, tiny_store) -> None:
    from mscf.data.volume import as_slices, read_volume

    volume = read_volume(tiny_cases / "imagesTr/liver_2.nii.gz")
    assert np.array_equal(open_store(tiny_store).images[6:9], as_slices(volume.voxels))


@pytest.mark.check
def test_two_processes_write_the_same_bytes(tiny_cases, tiny_store, tmp_path) -> None:
    prepare(tiny_cases, tmp_path / "two", size=192, processes=2)
    assert content(tmp_path / "two") == content(tiny_store)


def test_nothing_changed_nothing_is_built(cases, tmp_path, monkeypatch) -> None:
    prepare(cases, tmp_path / "store", size=192, processes=1)
    before = {f.name: f.stat().st_mtime_ns for f in (tmp_path / "store").iterdir()}
    monkeypatch.setattr(store_module, "slices_of_case", None)  # would fail if called
    prepare(cases, tmp_path / "store", size=192, processes=1)
    after = {f.name: f.stat().st_mtime_ns for f in (tmp_path / "store").iterdir()}
    assert after == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda folder: {"size": 224}, "settings"),
        (lambda folder: {"slices": "liver"}, "settings"),
        (
            lambda folder: (
                shutil.copy(
                    folder / "imagesTr/liver_0.nii.gz",
                    folder / "imagesTr/liver_1.nii.gz",
                )
                and {}
            ),
            "files others at liver_1|same files",
        ),
    ],
)
def test_a_store_of_other_inputs_is_not_overwritten(
    change, named, cases, tmp_path
) -> None:
    prepare(cases, tmp_path / "store", size=192, processes=1)
    before = content(tmp_path / "store")
    with pytest.raises(CheckpointError, match=rf"{named}.*\[store-other\]"):
        prepare(
            cases, tmp_path / "store", **{"size": 192, "processes": 1} | change(cases)
        )
    assert content(tmp_path / "store") == before


def test_a_folder_of_other_files_is_left_alone(cases, tmp_path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").touch()
    with pytest.raises(CheckpointError, match=r"thesis.txt.*\[store-other\]"):
        prepare(cases, tmp_path / "mine", size=192)
    assert [f.name for f in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("torn", ["after", "journal", "array", "both"])
def test_an_interrupted_store_goes_on_after_its_last_whole_case(
    torn, cases, tiny_store, tmp_path, monkeypatch
) -> None:
    done = []
    whole = store_module.slices_of_case

    def until_the_fourth(case, size, slices):
        done.append(case.name)
        if len(done) == 4:
            raise KeyboardInterrupt
        return whole(case, size, slices)

    monkeypatch.setattr(store_module, "slices_of_case", until_the_fourth)
    target = tmp_path / "store"
    with pytest.raises(KeyboardInterrupt):
        prepare(cases, target, size=192, processes=1)
    assert all(path.name.endswith(".part") for path in target.iterdir())
    with pytest.raises(CheckpointError, match="store-missing"):
        open_store(target)
    if torn in ("journal", "both"):
        with (target / ".journal.part").open("a") as journal:
            journal.write('{"case": "liver_3", "ro')
    if torn in ("array", "both"):
        with (target / ".images.npy.part").open("ab") as array:
            array.write(b"half a slice")
    again = []
    monkeypatch.setattr(
        store_module,
        "slices_of_case",
        lambda case, size, slices: again.append(case.name) or whole(case, size, slices),
    )
    prepare(cases, target, size=192, processes=1)
    assert again == ["liver_3", "liver_4", "liver_5"]
    assert content(target) == content(tiny_store)


def test_a_stop_between_the_last_names_is_gone_on_from(
    cases, tiny_store, tmp_path, monkeypatch
) -> None:
    def stop(folder):
        raise KeyboardInterrupt

    monkeypatch.setattr(store_writer, "sync", stop)
    with pytest.raises(KeyboardInterrupt):
        prepare(cases, tmp_path / "store", size=192, processes=1)
    assert (tmp_path / "store/images.npy").exists()
    monkeypatch.undo()
    prepare(cases, tmp_path / "store", size=192, processes=1)
    assert content(tmp_path / "store") == content(tiny_store)


def test_what_was_begun_with_other_files_is_begun_anew(
    cases, tmp_path, monkeypatch
) -> None:
    whole = store_module.slices_of_case

    def until_the_third(case, size, slices):
        if case.name == "liver_2":
            raise KeyboardInterrupt
        return whole(case, size, slices)

    monkeypatch.setattr(store_module, "slices_of_case", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        prepare(cases, tmp_path / "store", size=192, processes=1)
    for kind in ("imagesTr", "labelsTr"):
        shutil.copy(cases / kind / "liver_5.nii.gz", cases / kind / "liver_0.nii.gz")
    monkeypatch.setattr(store_module, "slices_of_case", whole)
    store = prepare(cases, tmp_path / "store", size=192, processes=1)
    assert np.array_equal(store.images[:3], store.images[15:])


def test_every_bad_case_is_named_in_one_pass_and_nothing_is_left(
    cases, tmp_path
) -> None:
    for number in (1, 4):
        path = cases / f"imagesTr/liver_{number}.nii.gz"
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError) as caught:
        prepare(cases, tmp_path / "store", size=192, processes=1)
    assert [f.file[-14:] for f in caught.value.findings] == [
        "liver_1.nii.gz",
        "liver_4.nii.gz",
    ]
    assert {f.check for f in caught.value.findings} == {"gz-truncated"}
    assert not (tmp_path / "store/store.json").exists()
    assert not list((tmp_path / "store").glob("[!.]*"))


def test_skip_bad_leaves_them_out_and_says_so(cases, tmp_path, capsys) -> None:
    path = cases / "labelsTr/liver_2.nii.gz"
    path.write_bytes(path.read_bytes()[:-100])
    for _ in range(2):  # the second finds it unchanged
        store = prepare(cases, tmp_path / "store", size=192, processes=1, skip_bad=True)
        assert len(store) == 15
    assert "liver_2" not in set(store.index["case"])
    assert store.record["refused"]["liver_2"]["check"] == "gz-truncated"
    assert "warning: " in capsys.readouterr().err


def test_a_case_left_out_once_must_be_left_out_again(cases, tmp_path) -> None:
    path = cases / "labelsTr/liver_2.nii.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    options = {"size": 192, "processes": 1}
    prepare(cases, tmp_path / "store", **options, skip_bad=True)
    with pytest.raises(CheckpointError, match=r"without liver_2.*--skip-bad again"):
        prepare(cases, tmp_path / "store", **options)
    path.write_bytes(whole)  # mended: it must not stay out without a word
    with pytest.raises(CheckpointError, match=r"same files .*liver_2"):
        prepare(cases, tmp_path / "store", **options, skip_bad=True)


@pytest.mark.parametrize("skip_bad", [True, False])
def test_after_a_refused_case_an_interrupted_store_goes_on(
    skip_bad, cases, tmp_path, monkeypatch, capsys
) -> None:
    path = cases / "labelsTr/liver_2.nii.gz"
    path.write_bytes(path.read_bytes()[:-100])
    whole, read = store_module.slices_of_case, []

    def until_the_fifth(case, size, slices):
        if case.name == "liver_4":
            raise KeyboardInterrupt
        return whole(case, size, slices)

    def noted(case, size, slices):
        read.append(case.name)
        return whole(case, size, slices)

    target, options = tmp_path / "store", {"size": 192, "processes": 1}
    monkeypatch.setattr(store_module, "slices_of_case", until_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        prepare(cases, target, **options, skip_bad=True)
    monkeypatch.setattr(store_module, "slices_of_case", noted)
    if not skip_bad:  # then that case is looked at again
        with pytest.raises(InputError, match="gz-truncated"):
            prepare(cases, target, **options)
        assert read == ["liver_2", "liver_3", "liver_4", "liver_5"]
        return
    capsys.readouterr()
    prepare(cases, target, **options, skip_bad=True)
    assert read == ["liver_4", "liver_5"]
    assert capsys.readouterr().err.count("[gz-truncated]") == 1  # said again
    prepare(cases, tmp_path / "at once", **options, skip_bad=True)
    assert content(target) == content(tmp_path / "at once")


def test_a_refused_case_that_was_mended_meanwhile_is_read(
    cases, tiny_store, tmp_path, monkeypatch
) -> None:
    path = cases / "labelsTr/liver_0.nii.gz"
    sound = path.read_bytes()
    path.write_bytes(sound[:-100])
    whole = store_module.slices_of_case

    def until_the_second(case, size, slices):
        if case.name == "liver_1":
            raise KeyboardInterrupt
        return whole(case, size, slices)

    monkeypatch.setattr(store_module, "slices_of_case", until_the_second)
    with pytest.raises(KeyboardInterrupt):
        prepare(cases, tmp_path / "store", size=192, processes=1, skip_bad=True)
    monkeypatch.undo()
    path.write_bytes(sound)
    prepare(cases, tmp_path / "store", size=192, processes=1, skip_bad=True)
    assert content(tmp_path / "store") == content(tiny_store)


def test_no_tumour_anywhere_is_refused(cases, tmp_path, monkeypatch) -> None:
    whole = case_slices.read_case

    def without_tumour(case):
        read = whole(case)
        return replace(read, labels=np.minimum(read.labels, 1))

    monkeypatch.setattr(case_slices, "read_case", without_tumour)
    for slices in ("tumour", "all"):
        with pytest.raises(InputError, match=r"cases: .*\[no-tumour\]"):
            prepare(cases, tmp_path / slices, size=192, slices=slices, processes=1)
        assert list((tmp_path / slices).iterdir()) == []


@pytest.mark.parametrize(
    ("size", "nearest"), [(200, 192), (160, 192), (450, 448), (0, 192), (-64, 192)]
)
def test_a_size_that_no_network_takes_is_refused(size, nearest, tmp_path) -> None:
    with pytest.raises(SettingsError, match=rf"use {nearest} \[image-size\]"):
        prepare(tmp_path / "none", tmp_path / "store", size=size)


def test_a_full_disk_leaves_nothing_that_a_next_run_would_trust(
    cases, tiny_store, tmp_path
) -> None:
    target = tmp_path / "store"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))  # two and a half cases
    try:
        with pytest.raises(StorageError, match=r"\[storage\]"):
            prepare(cases, target, size=192, processes=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(target.glob("[!.]*"))
    prepare(cases, target, size=192, processes=1)
    assert content(target) == content(tiny_store)


@pytest.mark.parametrize("processes", [0, -1])
def test_less_than_one_process_is_refused(processes, tmp_path) -> None:
    with pytest.raises(SettingsError, match=r"\[processes\]"):
        prepare(tmp_path / "none", tmp_path / "store", processes=processes)


def test_without_posix_fallocate_the_same_is_written(
    cases, tiny_store, tmp_path, monkeypatch
) -> None:
    monkeypatch.delattr("os.posix_fallocate", raising=False)  # as on macOS
    prepare(cases, tmp_path / "store", size=192, processes=1)
    assert content(tmp_path / "store") == content(tiny_store)


def test_a_size_beyond_the_memory_is_one_line_and_leaves_nothing(
    cases, tmp_path
) -> None:
    with pytest.raises(MemoryLimitError, match=r"allocate.*\[memory\]"):
        prepare(cases, tmp_path / "store", size=1 << 20, processes=1)
    assert list((tmp_path / "store").iterdir()) == []


# What a store says of itself


@pytest.mark.parametrize("name", ["images.npy", "masks.npy"])
def test_a_changed_slice_is_found_and_named(name, tiny_store, cases, tmp_path) -> None:
    folder = shutil.copytree(tiny_store, tmp_path / "store")
    open_store(folder).verify()
    array = np.load(folder / name, mmap_mode="r+")
    array[7, 100, 100] ^= 1
    array.flush()
    store = open_store(folder)
    named = r"store: .*other voxels in liver_2, slice 1\).*prepare again.*store-changed"
    with pytest.raises(CheckpointError, match=named):
        store.verify()
    with pytest.raises(CheckpointError, match=named):
        store.verify(rows=[0, 7])
    store.verify(rows=[0, 1, 17])  # the others are sound
    with pytest.raises(CheckpointError, match=named):
        prepare(cases, folder, size=192, processes=1)


def test_a_changed_index_is_found(tiny_store, tmp_path) -> None:
    folder = shutil.copytree(tiny_store, tmp_path / "store")
    text = (folder / "index.csv").read_text()
    (folder / "index.csv").write_text(
        text.replace("liver_1,liver_1", "liver_1,liver_0")
    )
    with pytest.raises(CheckpointError, match=r"another index.csv.*store-changed"):
        open_store(folder).verify(rows=[0])


def test_an_index_that_went_away_after_opening_is_named(tiny_store, tmp_path) -> None:
    store = open_store(shutil.copytree(tiny_store, tmp_path / "store"))
    (store.folder / "index.csv").unlink()
    with pytest.raises(
        CheckpointError, match=r"index\.csv: No such file.*store-changed"
    ):
        store.verify(rows=[0])


def test_a_store_knows_whether_it_holds_phantoms(tiny_store, tmp_path) -> None:
    assert not open_store(tiny_store).phantoms
    phantoms = make_phantoms(tmp_path / "phantoms", cases=2, size=64, processes=1)
    store = prepare(phantoms, tmp_path / "store", size=192, processes=1)
    assert store.phantoms


def test_a_store_does_not_become_one_of_phantoms_by_hand(tiny_store, tmp_path) -> None:
    """Voxels of phantoms may be kept, of a person none."""
    folder = shutil.copytree(tiny_store, tmp_path / "store")
    record = open_store(folder).record | {"phantoms": True}  # and without its seal
    (folder / "store.json").write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match=r"digest .*\[store-damaged\]"):
        open_store(folder)


def test_how_much_all_slices_take_is_said_before(cases, tmp_path, capsys) -> None:
    store = prepare(cases, tmp_path / "store", 192, "all", processes=1)
    said = "store: 18 slices of 192 x 192 will take 0.00 GB\n"
    assert said in capsys.readouterr().err
    assert len(store) == 18
    prepare(cases, tmp_path / "tumour", 192, processes=1)
    assert "GB" not in capsys.readouterr().err


@pytest.mark.parametrize("name", FILES)
def test_a_store_with_a_part_missing_or_cut_is_refused(name, tiny_store, tmp_path):
    for spoil in ("missing", "cut"):
        folder = tmp_path / f"{spoil}"
        shutil.copytree(tiny_store, folder)
        path = folder / name
        if spoil == "missing":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(CheckpointError, match=r"\[store-(damaged|missing)\]"):
            open_store(folder)


def test_a_store_of_another_version_is_refused(tiny_store, tmp_path) -> None:
    folder = shutil.copytree(tiny_store, tmp_path / "old")
    record = open_store(folder).record
    record["settings"]["version"] = 0
    write_sealed(folder / "store.json", record)
    with pytest.raises(CheckpointError, match=r"of version 1 .*\[store-damaged\]"):
        open_store(folder)


def test_a_store_that_does_not_say_whether_it_holds_people_is_refused(
    tiny_store, tmp_path
) -> None:
    folder = shutil.copytree(tiny_store, tmp_path / "old")
    record = open_store(folder).record
    del record["phantoms"]
    write_sealed(folder / "store.json", record)
    with pytest.raises(CheckpointError, match=r"phantoms.*\[store-damaged\]"):
        open_store(folder)


def test_liver_and_all_keep_more_slices(cases, tmp_path) -> None:
    import nibabel as nib

    path = cases / "labelsTr/liver_0.nii.gz"
    image = nib.load(path)
    labels = np.asarray(image.dataobj).copy()
    labels[..., 0] = 0
    labels[..., 1] = np.minimum(labels[..., 1], 1)
    nib.save(nib.Nifti1Image(labels, image.affine), path)
    kept = {
        slices: prepare(cases, tmp_path / slices, 192, slices, processes=1).index
        for slices in ("tumour", "liver", "all")
    }
    assert [len(index) for index in kept.values()] == [16, 17, 18]
    assert [index["slice"].iloc[0] for index in kept.values()] == [2, 1, 0]
    assert kept["all"]["tumour_px"].iloc[:2].tolist() == [0, 0]
    assert not kept["all"]["tumour_lost"].any()


def test_a_tumour_that_vanishes_is_kept_and_flagged(tmp_path) -> None:
    import nibabel as nib

    random = np.random.default_rng(0)
    labels = np.zeros((400, 400, 2), np.uint8)
    labels[:200, :200] = 1
    labels[102, 102, 0] = labels[100:120, 100:120, 1] = labels[150, 150, 1] = 2
    for kind, voxels in (
        ("imagesTr", random.integers(-100, 200, labels.shape).astype(np.int16)),
        ("labelsTr", labels),
    ):
        (tmp_path / "cases" / kind).mkdir(parents=True)
        nib.save(
            nib.Nifti1Image(voxels, np.diag([-1, -1, 3, 1])),
            tmp_path / "cases" / kind / "liver_0.nii",
        )
    index = prepare(tmp_path / "cases", tmp_path / "store", 192, processes=1).index
    assert index["tumour_lost"].tolist() == [True, False]
    assert index["tumour_px"].tolist() == [1, 401]
    assert index["lesions"].tolist() == [1, 2]


@pytest.mark.shared
def test_the_excerpt_holds_what_its_readme_says(tmp_path) -> None:
    from pathlib import Path

    excerpt = Path(__file__).parents[3] / "shared/data/lits_excerpt"
    if not excerpt.is_dir():
        pytest.skip("the founders' excerpt of LiTS is not beside the project")
    store = prepare(excerpt, tmp_path / "store", size=192)
    counts = store.record["counts"]
    assert (counts["cases"], counts["patients"], counts["slices"]) == (26, 24, 370)
    assert counts["tumour_lost"] == 5
    patients = pd.read_csv(excerpt / "patients.csv", dtype="str")
    of_case = dict(zip(patients["case"], patients["patient"], strict=True))
    assert store.index["patient"].tolist() == store.index["case"].map(of_case).tolist()


def test_what_was_repaired_stands_in_the_record(cases, tmp_path, capsys) -> None:
    import nibabel as nib

    path = cases / "labelsTr/liver_2.nii.gz"
    labels = nib.load(path)
    floats = np.asarray(labels.dataobj).astype(np.float32)
    nib.save(nib.Nifti1Image(floats, labels.affine), path)
    store = prepare(cases, tmp_path / "store", size=192, processes=1)
    (repair,) = store.record["repairs"]
    assert (repair["file"], repair["check"]) == (str(path), "label-float")
    assert capsys.readouterr().err.count("[label-float]") == 1
