"""A trained network as ONNX and as torch.export's file, with batch and size free.

Both are of the network in evaluation mode with its batch norms folded. Attention is
torch's fused operation in the second; ONNX gets plain products in runs of rows
(`mscf.models.attention.attend_in_runs`).
"""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule

from mscf.data.resize import AIR
from mscf.inference.folding import folded
from mscf.inference.parity import Runner, noise
from mscf.inference.weights import Trained
from mscf.models import find_method

STEP = 16  # pixels: least side, and least difference of the two sides that are traced
LEAST_STEPS = 2  # of the method's multiple: torch.export refuses a side of one
SLICE = (  # as `mscf.data.resize` and the scan's slices have it
    "axial, row 0 anterior, column 0 the patient's right; centred in a square "
    f"filled up with {AIR} HU, resized to the trained size (bilinear, pixel centres "
    "aligned, antialiased when shrinking) and rounded to whole HU"
)


def write_onnx(trained: Trained, path: Path) -> Runner:
    """Writes ONNX; gives the file as onnxruntime runs it on the CPU."""
    import onnxruntime

    network, example = traced(trained)
    with warnings.catch_warnings():  # torch's own deprecations, not ours to mend
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network, (example,), dynamo=True, verbose=False, input_names=["slices"],
            output_names=["logits"], dynamic_shapes=(free_sides(trained.method),),
        )  # fmt: skip
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # the lines of code that they came of name folders
    program.model.metadata_props["mscf"] = json.dumps(how_to_feed(trained))
    program.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"slices": x.numpy()})[0])


def write_pt2(trained: Trained, path: Path) -> Runner:
    """Writes torch.export's file; gives the network as it is read from there."""
    network, example = traced(trained)
    program = torch.export.export(
        network, (example,), dynamic_shapes=(free_sides(trained.method),)
    )
    forget_places(program)
    facts = json.dumps(how_to_feed(trained))
    whole = io.BytesIO()  # torch's own writer ends the process on a full disk
    torch.export.save(program, whole, extra_files={"mscf.json": facts})
    path.write_bytes(whole.getbuffer())
    return torch.inference_mode()(torch.export.load(path).module())


def forget_places(program: ExportedProgram) -> None:
    """Drops the lines of code that operations came of: they name folders here."""
    for part in program.graph_module.modules():
        if isinstance(part, GraphModule):
            for node in part.graph.nodes:
                node.meta.pop("stack_trace", None)


def traced(trained: Trained) -> tuple[nn.Module, Tensor]:
    """The folded network, and an input whose sides are not taken for equal."""
    example = noise(tried_shapes(trained)[-1])
    return folded(trained.network, example).requires_grad_(False), example


def tried_shapes(trained: Trained) -> list[tuple[int, int, int, int]]:
    """One slice of the training's size, and two of another one."""
    size = trained.image_size
    step = max(STEP, find_method(trained.method).multiple)
    return [(1, 3, size, size), (2, 3, size, size + step)]


def free_sides(method: str) -> dict[int, Dim]:
    """Batch, height and width may be any that the method takes."""
    known = find_method(method)
    least = least_side(method) // known.multiple
    rows, columns = (Dim(name, min=least) for name in ("rows", "columns"))
    if known.multiple > 1:
        rows, columns = known.multiple * rows, known.multiple * columns
    return {0: Dim("batch", min=1), 2: rows, 3: columns}


def least_side(method: str) -> int:
    """Pixels of the smallest side that an exported form takes; torch may take less."""
    known = find_method(method)
    return max(known.minimum_size, STEP, LEAST_STEPS * known.multiple)


def how_to_feed(trained: Trained) -> dict:
    """What one who has the file alone must know."""
    multiple, least = find_method(trained.method).multiple, least_side(trained.method)
    return {
        "method": trained.method,
        "trained_at": trained.image_size,
        "sides": f"multiples of {multiple}, at least {least}",
        "slice": SLICE,
        "window_hu": list(trained.window),
        "slices": "float32 (B, 3, H, W): HU cut to window_hu, mapped to -1.6 ... 1.6, "
        "three times the same",
        "logits": "float32 (B, 1, H, W): tumour where it is above 0",
        "exported_from": trained.digest,
    }
