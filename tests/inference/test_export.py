"""What an export leaves, and that each form computes what the network computes."""

import errno
import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

import nibabel as nib
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from dark import Dark, write_ct, write_weights
from filled import filled
from torch import nn
from typer.testing import CliRunner

import mscf
from mscf.checkpoint import read_checkpoint, write_checkpoint
from mscf.cli import app
from mscf.errors import CheckpointError, NumericalError, SettingsError, StorageError
from mscf.inference import export as export_module
from mscf.inference.export import export
from mscf.inference.exported_forms import SLICE, least_side
from mscf.inference.parity import TOLERANCE, compare, noise
from mscf.inference.predict import PredictSettings, predict_cases
from mscf.models import METHODS
from mscf.models.attention import RUNS, attend, attend_in_runs
from mscf.models.context import SpatialContext
from mscf.replacing import new_folder


@pytest.fixture
def finished(run):
    """A run of `Dark` with the record and the results that training leaves."""
    record = {"status": "finished", "best_epoch": 3}
    (run / "run.json").write_text(json.dumps(record))
    row = {
        "split": "patient", "slices": 77, "patients": 3, "empty_rule": "strict",
        "dice": 0.375, "dice_low": 0.286, "dice_high": 0.458,
    }  # fmt: skip
    (run / "summary.json").write_text(json.dumps([row, row | {"dice": 0.5}]))
    return run


def session(path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_an_export_holds_three_forms_and_a_card_with_their_hashes(
    finished, tmp_path
) -> None:
    out = tmp_path / "out"
    found = export(finished, out)
    forms = {"model.onnx", "model.pt2", "model.safetensors"}
    assert {path.name for path in out.iterdir()} == forms | {"MODEL_CARD.md"}
    assert not list(tmp_path.glob(".*"))
    card = (out / "MODEL_CARD.md").read_text()
    for name in forms:
        sha256 = hashlib.sha256((out / name).read_bytes()).hexdigest()
        assert f"| {name} | `{sha256}` |" in card
    assert [(parity.form, parity.shape) for parity in found] == [
        (form, shape)
        for form in ("model.onnx", "model.pt2")
        for shape in ((1, 3, 32, 32), (2, 3, 32, 48))
    ]
    for parity in found:
        assert f"| {parity.form} | {' x '.join(map(str, parity.shape))} |" in card


def test_what_is_exported_loads_as_the_same_network(run, tmp_path) -> None:
    out = tmp_path / "out"
    export(run, out, onnx=False, pt2=False)
    for where in (out, out / "model.safetensors", run, run / "best.ckpt"):
        network = mscf.load(where)
        assert isinstance(network, Dark)
        assert not network.training
        assert torch.equal(network.border, Dark().border)


def test_an_export_predicts_the_masks_of_its_run(run, tmp_path) -> None:
    write_ct(tmp_path / "a.nii.gz")
    export(run, tmp_path / "export", onnx=False, pt2=False)
    places = (run, tmp_path / "export", tmp_path / "export/model.safetensors")
    masks = []
    for number, weights in enumerate(places):
        out = tmp_path / f"out{number}"
        words = ["predict", tmp_path / "a.nii.gz", out, "--weights", weights]
        result = CliRunner().invoke(app, [*map(str, words), "--device", "cpu"])
        assert result.exit_code == 0, result.stderr
        masks.append((out / "a.nii.gz").read_bytes())
    assert masks[0] == masks[1] == masks[2]


def test_an_export_of_an_export_is_of_the_same_checkpoint(finished, tmp_path) -> None:
    export(finished, tmp_path / "one", onnx=False, pt2=False)
    export(tmp_path / "one", tmp_path / "two", onnx=False, pt2=False)
    paths = (tmp_path / n / "model.safetensors" for n in ("one", "two"))
    # Not byte by byte: safetensors writes its metadata in an order of chance.
    (weights, record), (same_weights, same_record) = map(read_checkpoint, paths)
    torch.testing.assert_close(same_weights, weights, rtol=0, atol=0)
    assert same_record == record
    assert (
        read_checkpoint(finished / "best.ckpt")[1]["digest"]
        in (tmp_path / "two" / "MODEL_CARD.md").read_text()
    )


def test_no_path_of_the_machine_is_exported(run, tmp_path) -> None:
    settings = {
        "window": [-40, 160], "data": "/home/someone/mine", "out": "/home/someone/run",
        "finetune_from": "/home/someone/other.ckpt",
    }  # fmt: skip
    path = write_weights(run / "best.ckpt", settings=settings)
    export(path, tmp_path / "out")
    packages = (Path(module.__file__).parents[1] for module in (mscf, torch))
    secrets = [b"someone", *(str(folder).encode() for folder in packages)]
    for file in (tmp_path / "out").iterdir():
        content = file.read_bytes()
        assert not [secret for secret in secrets if secret in content], file.name
    assert "| data | mine |" in (tmp_path / "out" / "MODEL_CARD.md").read_text()


def test_the_card_tells_data_and_results(
    finished, tiny_cases, tiny_store, tmp_path, monkeypatch
) -> None:
    from mscf.data.store import open_store

    write_weights(
        finished / "best.ckpt",
        settings={"window": [-40, 160], "data": str(tiny_store), "seed": 7},
        store=open_store(tiny_store).checksum,
        imagenet="not loaded",
    )
    export(finished, tmp_path / "out", onnx=False, pt2=False)
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    monkeypatch.chdir(tiny_store)
    write_weights(
        finished / "best.ckpt",
        settings={"window": [-40, 160], "data": ".", "seed": 7},
        store=open_store(tiny_store).checksum,
    )
    export(finished, tmp_path / "other", onnx=False, pt2=False)
    other = (tmp_path / "other" / "MODEL_CARD.md").read_text()
    assert "| data | tiny; 6 cases, 6 patients" in other
    assert "| data | tiny; 6 cases, 6 patients" in card
    assert "Dice 0.375 (0.286 to 0.458) on 77 slices of 3 patients" in card
    assert "| seed | 7 |" in card
    assert "| weights of epoch | 4 |" in card
    assert "| ImageNet weights | not loaded |" in card
    assert "No other form was exported" in card


@pytest.mark.parametrize(("slices", "warned"), [("tumour", True), ("all", False)])
def test_the_card_tells_what_a_network_of_tumour_slices_draws_elsewhere(
    slices, warned, finished, tmp_path
) -> None:
    settings = {"window": [-40, 160], "slices": slices}
    write_weights(finished / "best.ckpt", settings=settings)
    export(finished, tmp_path / "out", onnx=False, pt2=False)
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert ("expect false tumours" in card) == warned


@pytest.mark.parametrize(
    "record",
    [{"status": "training"}, {"status": "finished", "best_epoch": 2}, [], None],
)
def test_results_of_other_weights_are_not_given(record, finished, tmp_path) -> None:
    (finished / "run.json").write_text(json.dumps(record))
    export(finished, tmp_path / "out", onnx=False, pt2=False)
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert "| results | not known" in card


def test_a_form_that_computes_something_else_leaves_nothing(
    run, tmp_path, monkeypatch
) -> None:
    def write_wrong(trained, path):
        path.write_text("wrong")
        return lambda x: trained.network(x) + 2 * TOLERANCE * 1.6

    monkeypatch.setattr(export_module, "write_pt2", write_wrong)
    out = tmp_path / "new" / "out"
    with pytest.raises(NumericalError, match=r"model\.pt2.*\[export-parity\]"):
        export(run, out, onnx=False)
    assert list(out.parent.iterdir()) == []


def test_a_full_disk_is_one_line(run, tmp_path, monkeypatch) -> None:
    """Torch, given the file's name, ends the process instead."""

    def full(path, _) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match=r"out: .*No space.*\[storage\]"):
        export(run, tmp_path / "out", onnx=False)
    assert not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize("wrong", [2 * TOLERANCE, float("nan")])
def test_parity_is_a_share_of_the_largest_logit(wrong) -> None:
    network = nn.Identity()  # noise is 1.6 at most: the difference over 1.6
    shapes = [(1, 3, 8, 8)]
    (parity,) = compare("x", lambda x: x + 0.9 * TOLERANCE * 1.5, network, shapes)
    assert parity.relative == pytest.approx(0.9 * TOLERANCE * 1.5 / 1.6, rel=0.02)
    with pytest.raises(NumericalError, match="export-parity"):
        compare("x", lambda x: x + 1.6 * wrong, network, shapes)


def test_a_folder_in_use_is_refused_before_anything_is_computed(run, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(SettingsError, match=r"new or empty folder.*\[out\]"):
        export(run, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_an_export_keeps_a_second_one_out_of_its_folder(
    run, tmp_path, monkeypatch
) -> None:
    locked = []

    def write(*what) -> None:
        locked.append((tmp_path / ".out.lock").is_file())
        write_checkpoint(*what)

    monkeypatch.setattr(export_module, "write_checkpoint", write)
    export(run, tmp_path / "out", onnx=False, pt2=False)
    assert locked == [True]
    assert [path.name for path in tmp_path.glob("*out*")] == ["out"]


def test_a_new_folder_is_there_whole_or_not_at_all(tmp_path) -> None:
    with suppress(KeyError), new_folder(tmp_path / "a" / "b") as folder:
        (folder / "half").write_text("half")
        raise KeyError
    assert list((tmp_path / "a").iterdir()) == []
    (tmp_path / "a" / ".b.part").mkdir()
    (tmp_path / "a" / ".b.part" / "of a killed one").touch()
    with new_folder(tmp_path / "a" / "b") as folder:
        (folder / "whole").write_text("whole")
        assert not (tmp_path / "a" / "b").exists()
    assert [path.name for path in tmp_path.glob("a/*")] == ["b"]
    assert [path.name for path in tmp_path.glob("a/b/*")] == ["whole"]
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError), new_folder(tmp_path / "file" / "b"):
        pass


def test_without_the_packages_for_onnx_the_other_forms_are_written(
    run, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(export_module, "find_spec", lambda name: name == "onnx" or None)
    said = r"no onnxscript, onnxruntime.*mscf\[export\].*--no-onnx \[onnx-missing\]"
    with pytest.raises(SettingsError, match=said):
        export(run, tmp_path / "out")
    export(run, tmp_path / "out", onnx=False)
    assert (tmp_path / "out" / "model.pt2").is_file()


def test_a_changed_export_is_refused(run, tmp_path) -> None:
    export(run, tmp_path / "out", onnx=False, pt2=False)
    path = tmp_path / "out" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"safetensors.*\[checkpoint-digest\]"):
        mscf.load(tmp_path / "out")


@pytest.mark.parametrize(
    ("source", "target", "code", "check"),
    [
        ("none", "out", 2, "weights-missing"),
        ("empty", "out", 4, "weights-missing"),
        ("run", "run", 2, "out"),
    ],
)
def test_the_command_fails_with_one_line(
    source, target, code, check, run, tmp_path
) -> None:
    (tmp_path / "empty").mkdir()
    words = ["export", str(tmp_path / source), str(tmp_path / target)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == code
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert line.endswith(f"[{check}]")
    assert "Traceback" in CliRunner().invoke(app, [*words, "--verbose"]).stderr


def test_the_command_says_how_far_each_form_is(run, tmp_path) -> None:
    words = ["export", str(run), str(tmp_path / "out"), "--no-onnx"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0
    first, second, last = result.stdout.splitlines()
    assert first == (
        "model.pt2, 1 x 3 x 32 x 32: 0.0e+00 of the largest logit (of 1, if that is "
        "more)"
    )
    assert second.startswith("model.pt2, 2 x 3 x 32 x 48: ")
    assert last.endswith("out: MODEL_CARD.md says what it is")


@pytest.mark.parametrize("n", [1, 7, 8, 9, 64, 100])
def test_attention_in_runs_is_attention(n) -> None:
    query, key = torch.randn(2, n, 4).double(), torch.randn(2, n, 4).double()
    value = torch.randn(2, n, 16).double()
    expected = attend(query, key, value)
    torch.testing.assert_close(attend_in_runs(query, key, value), expected)


@pytest.mark.check
def test_onnx_holds_attention_in_runs_of_rows_for_every_size(tmp_path) -> None:
    block, x = filled(SpatialContext(16)).eval(), torch.randn(2, 16, 8, 6)
    free = {0: "batch", 2: "rows", 3: "columns"}
    program = torch.onnx.export(
        block, (x,), dynamo=True, verbose=False, dynamic_shapes=(free,)
    )
    program.save(tmp_path / "block.onnx")
    nodes = onnx.load(tmp_path / "block.onnx").graph.node
    assert [node.op_type for node in nodes].count("Softmax") == RUNS
    runner = session(tmp_path / "block.onnx")
    for shape in ((2, 16, 8, 6), (1, 16, 3, 5), (3, 16, 12, 11)):
        x = torch.randn(shape)
        (made,) = runner.run(None, {runner.get_inputs()[0].name: x.numpy()})
        with torch.inference_mode():
            np.testing.assert_allclose(made, block(x).numpy(), rtol=1e-4, atol=1e-5)


def test_the_files_say_their_least_side(run, tmp_path) -> None:
    assert [least_side(key) for key in ("danet", "unet", "mscf")] == [16, 32, 192]
    export(run, tmp_path / "out", pt2=False)
    meta = session(tmp_path / "out" / "model.onnx").get_modelmeta()
    said = json.loads(meta.custom_metadata_map["mscf"])
    assert said["sides"] == f"multiples of 16, at least {least_side('dark')}"
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert f"sides from {least_side('dark')} pixels on" in card


def test_a_slice_made_as_the_files_say_is_what_predict_gives_the_network(
    run, tmp_path, monkeypatch
) -> None:
    write_ct(tmp_path / "a.nii", shape=(50, 40, 3))
    seen, forward = [], Dark.forward
    monkeypatch.setattr(
        Dark, "forward", lambda self, x: (seen.append(x.clone()), forward(self, x))[1]
    )
    settings = PredictSettings(device="cpu")
    list(predict_cases(tmp_path / "a.nii", tmp_path / "out", run, settings))

    hu = nib.as_closest_canonical(nib.load(tmp_path / "a.nii")).get_fdata()
    hu = hu[::-1, ::-1].transpose(
        2, 1, 0
    )  # rows from the front, columns from the right
    square = np.pad(hu, ((0, 0), (5, 5), (0, 0)), constant_values=-1024)
    resized = nn.functional.interpolate(
        torch.tensor(square)[None], (32, 32), mode="bilinear", antialias=True
    )[0].round()
    made = (resized.clamp(-40, 160) + 40) / 200 * 3.2 - 1.6
    expected = made[:, None].expand(-1, 3, -1, -1).float()
    # HU half way between two whole ones may be rounded to either.
    torch.testing.assert_close(torch.cat(seen), expected, rtol=0, atol=0.017)
    assert (torch.cat(seen) - expected).abs().mean() < 1e-3

    assert "row 0 anterior, column 0 the patient's right" in SLICE
    assert "-1024 HU" in SLICE
    export(run, tmp_path / "export", pt2=False)
    meta = session(tmp_path / "export" / "model.onnx").get_modelmeta()
    assert json.loads(meta.custom_metadata_map["mscf"])["slice"] == SLICE
    assert SLICE in (tmp_path / "export" / "MODEL_CARD.md").read_text()


def exported(key, folder):
    """The method with fixed weights, exported at its least size from 64 on."""
    size = max(METHODS[key].minimum_size, 64)
    record = {
        "method": key, "classes": 1, "image_size": size, "epoch": 0,
        "settings": {"window": [-40.0, 160.0]},
    }  # fmt: skip
    network = filled(mscf.build(key)).eval()
    write_checkpoint(folder / "best.ckpt", network.state_dict(), record)
    export(folder / "best.ckpt", folder / "out")
    return network, folder / "out"


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "key",
    [
        pytest.param("unet", marks=pytest.mark.check),
        *(k for k in METHODS if k != "unet"),
    ],
)
def test_every_method_is_exported_with_free_batch_and_size(key, tmp_path) -> None:
    network, out = exported(key, tmp_path)
    least, multiple = METHODS[key].minimum_size, METHODS[key].multiple
    least = max(least, 16, 2 * multiple)  # torch.export refuses one multiple
    runner = session(out / "model.onnx")
    program = torch.export.load(out / "model.pt2").module()
    for shape in ((1, 3, least, least), (3, 3, least + 2 * multiple, least + multiple)):
        x = noise(shape)
        with torch.inference_mode():
            expected = network(x).numpy()
            of_program = program(x).numpy()
        (of_onnx,) = runner.run(None, {"slices": x.numpy()})
        allowed = TOLERANCE * max(1, np.abs(expected).max())
        np.testing.assert_allclose(of_onnx, expected, rtol=0, atol=allowed)
        np.testing.assert_allclose(of_program, expected, rtol=0, atol=allowed)
