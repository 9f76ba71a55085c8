"""The command ``mscf``: arguments in, one library call, one line when it fails."""

from __future__ import annotations

import os
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from typer import Argument, Option
from typer.core import TyperCommand

from mscf.command import Verbose, one_line_errors, run
from mscf.errors import printable
from mscf.models import METHODS

if TYPE_CHECKING:
    from pandas import DataFrame

app = typer.Typer(
    help="Multi-scale fine-grained context for liver tumours (PAKDD 2020), replicated.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

HOW, ON = "On what, and how fast", "Going on"  # panels of --help


@app.command()
def methods() -> None:
    """List the ten networks of Table 1, with GMAC of one slice of 448 x 448."""
    from mscf.models import on_meta  # --help must not wait for torch
    from mscf.models.cost import multiply_accumulates, parameters

    print(f"{'key':16}{'title':16}{'parameters':>12}{'GMAC':>9}{'least':>7}  reference")
    for key, method in METHODS.items():
        network = on_meta(key)
        count, least = parameters(network), method.minimum_size
        gmac = multiply_accumulates(network, 448, 448) / 1e9
        print(
            f"{key:16}{method.title:16}{count:>12,}{gmac:>9.3f}{least:>7}  "
            f"{method.reference}"
        )


@app.command()
def train(
    data: Annotated[Path, Option(help="folder of a prepared store")],
    out: Annotated[Path, Option(help="folder of the run")],
    method: Annotated[str, Option(help="a key of `mscf methods`")] = "mscf",
    epochs: Annotated[int, Option(help="at most")] = 400,
    batch_size: Annotated[int, Option(help="slices a step, of all processes")] = 8,
    learning_rate: Annotated[float, Option(help="Adam's, at the start")] = 2e-4,
    schedule: Annotated[
        str, Option(help="of the rate: paper, or release (CE-Net's public code)")
    ] = "paper",
    image_size: Annotated[
        int | None, Option(help="pixels; must be the store's", show_default="store's")
    ] = None,
    split: Annotated[str, Option(help="patient, or slice as in the paper")] = "patient",
    fold: Annotated[int, Option(help="which fifth tests")] = 0,
    seed: Annotated[int, Option(help="weights, order, augmentation, split")] = 0,
    window: Annotated[tuple[float, float], Option(help="HU, low and high")] = (
        -40.0,
        160.0,
    ),
    slices: Annotated[str, Option(help="tumour, or all that the store has")] = "tumour",
    patients: Annotated[
        int | None,
        Option(help="to train on, for a learning curve", show_default="all"),
    ] = None,
    augment: Annotated[bool, Option(help="augmentation after CE-Net's")] = True,
    pretrained: Annotated[
        bool, Option(help="ImageNet weights where they can be had")
    ] = True,
    require_pretrained: Annotated[
        bool, Option("--require-pretrained", help="end where they cannot")
    ] = False,
    log_odds_bias: Annotated[
        bool, Option(help="start the last bias at the tumour's log-odds")
    ] = False,
    finetune_from: Annotated[
        Path | None, Option(help="checkpoint whose weights are the start")
    ] = None,
    gpus: Annotated[
        int | None, Option(help="0: the CPU", show_default="all", rich_help_panel=HOW)
    ] = None,
    processes: Annotated[
        int | None,
        Option(
            help="that train together", show_default="one a GPU", rich_help_panel=HOW
        ),
    ] = None,
    accumulate: Annotated[
        int, Option(help="forward passes a step and process", rich_help_panel=HOW)
    ] = 1,
    precision: Annotated[
        str, Option(help="auto, float32 or bf16", rich_help_panel=HOW)
    ] = "auto",
    compile: Annotated[  # noqa: A002 (the field's name)
        bool, Option(help="torch.compile", rich_help_panel=HOW)
    ] = False,
    cuda_graph: Annotated[
        bool, Option(help="on a GPU: a step's kernels as one", rich_help_panel=HOW)
    ] = False,
    sync_batch_norm: Annotated[
        bool, Option(help="statistics over all GPUs' slices", rich_help_panel=HOW)
    ] = False,
    workers: Annotated[
        int | None,
        Option(
            help="loading processes", show_default="0 on a CPU", rich_help_panel=HOW
        ),
    ] = None,
    deterministic: Annotated[
        bool, Option(help="on GPUs: equal bits each time", rich_help_panel=HOW)
    ] = False,
    timeout: Annotated[
        int, Option(help="seconds to wait for another process", rich_help_panel=HOW)
    ] = 600,
    resume: Annotated[
        bool, Option("--resume", help="go on with the run in OUT", rich_help_panel=ON)
    ] = False,
    allow_inexact: Annotated[
        bool,
        Option(
            "--allow-inexact",
            help="also where the last bits will differ",
            rich_help_panel=ON,
        ),
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Train one method on a prepared store and evaluate it on the fold left out."""
    chosen = {k: v for k, v in locals().items() if k != "verbose"}
    from mscf.training.distributed import launched
    from mscf.training.log import say
    from mscf.training.loop import train as run_training
    from mscf.training.settings import TrainSettings

    with one_line_errors(verbose):
        finished = run_training(TrainSettings(**chosen))
        if launched() or os.environ.get("RANK", "0") != "0":
            return  # another process speaks for this one
        draw_curve(finished.history, out / "history.svg")
    rows = finished.rows
    say(
        f"mean Dice {rows['dice'].mean():.3f} on {len(rows)} slices of "
        f"{rows['patient'].nunique()} patients: {out / 'summary.json'}"
    )


def draw_curve(history: DataFrame, path: Path) -> None:
    """The learning curve of a run as a picture, for those who train in a terminal."""
    from matplotlib.figure import Figure

    from mscf.replacing import replacing
    from mscf.visualisation.statistics import draw_history

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    draw_history(figure.subplots(), history)
    with replacing(path, text=False) as file:
        figure.savefig(file, format="svg", metadata={"Date": None})


@app.command()
def predict(
    source: Annotated[
        Path,
        Argument(
            metavar="IN",
            help="a NIfTI volume (.nii, .nii.gz), a folder of them, or a folder of one "
            "DICOM series",
        ),
    ],
    target: Annotated[Path, Argument(metavar="OUT", help="folder for the results")],
    weights: Annotated[
        str,
        Option(
            metavar="RUN|FILE",
            help="a run's or an export's folder, or its best.ckpt or model.safetensors",
        ),
    ],
    liver: Annotated[
        Path | None,
        Option(help="liver mask, or folder of masks named as the scans: cut to it"),
    ] = None,
    least_ml: Annotated[
        float, Option(help="drop lesions below so many millilitres")
    ] = 0.0,
    largest: Annotated[
        bool, Option("--largest", help="keep the largest lesion only")
    ] = False,
    probabilities: Annotated[
        bool,
        Option(
            "--probabilities",
            help="also maps of 0 to 1 in OUT/probabilities, unfiltered",
        ),
    ] = False,
    batch_size: Annotated[int, Option(help="slices at once", rich_help_panel=HOW)] = 8,
    device: Annotated[
        str | None,
        Option(
            help="cpu, cuda or cuda:1",
            show_default="a GPU if there is one",
            rich_help_panel=HOW,
        ),
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Segment liver tumours in CT. Research code, no medical device.

    For each scan OUT gets a mask on the scan's own grid (NAME.nii.gz: 2 in
    the tumour, else 0); its lesions with volume, diameters, HU and contrast,
    with --liver also their distance to its surface, as a page with pictures
    to read or print (NAME.html), a table (NAME.csv) and a report (NAME.json);
    and an overview (NAME.png). For all scans OUT gets cases.csv.
    """
    from mscf.inference.case_report import NOTICE, headline
    from mscf.inference.predict import PredictSettings, predict_cases

    with one_line_errors(verbose):
        settings = PredictSettings(
            liver, least_ml, largest, probabilities, batch_size, device
        )
        print(NOTICE, file=sys.stderr)
        for report in predict_cases(source, target, weights, settings):
            print(
                f"{headline(report)}; {len(report.mask)} slices in "
                f"{report.seconds:.1f} s: {printable(str(target / report.name))}.nii.gz"
            )


@app.command()
def evaluate(
    predicted: Annotated[Path, Argument(help="folder of masks, ours or any other's")],
    truth: Annotated[
        Path, Argument(help="folder of true masks, each named as its counterpart")
    ],
    out: Annotated[
        Path | None,
        Option(help="folder for the tables", show_default="print the means only"),
    ] = None,
    slices: Annotated[
        str, Option(help="tumour: those with true tumour, as in the paper; or all")
    ] = "tumour",
    label: Annotated[int, Option(help="the tumour's value in PREDICTED, 1 or 2")] = 2,
    verbose: Verbose = False,
) -> None:
    """Compare masks with the truth, by slice, case and lesion.

    Masks are NIfTI files on one grid: 0, 1 (liver), 2 (tumour). The folder
    of --out gets per_slice.csv, per_case.csv and summary.csv (means with
    intervals over patients; patients.csv beside the truth names them).
    """
    from mscf.evaluation.folders import (
        check_no_run,
        evaluate_folders,
        summary_lines,
        write_folder_tables,
    )

    with one_line_errors(verbose):
        if out is not None:
            check_no_run(out)  # before the work
        tables = evaluate_folders(predicted, truth, slices, label)
        if out is not None:
            write_folder_tables(tables, out)
    for line in summary_lines(tables):
        print(line)


@app.command()
def export(
    source: Annotated[
        str,
        Argument(metavar="RUN", help="a run's folder, or its best.ckpt"),
    ],
    target: Annotated[Path, Argument(metavar="OUT", help="a new folder")],
    onnx: Annotated[
        bool, Option(help="model.onnx; needs the extra `export` of mscf")
    ] = True,
    pt2: Annotated[bool, Option(help="model.pt2, by torch.export")] = True,
    verbose: Verbose = False,
) -> None:
    """Give a trained network to others: weights, ONNX, torch.export, a card.

    OUT gets model.safetensors (which mscf.load reads), model.onnx and model.pt2
    (batch, height and width free) and MODEL_CARD.md: data, settings, results,
    hashes, and how far the forms are from the network. One that is further
    than 1e-4 of the largest logit (of 1, if that is more) is an error, and
    then nothing is written.
    """
    from mscf.inference.export import export as export_run

    with one_line_errors(verbose):
        found = export_run(source, target, onnx, pt2)
    for parity in found:
        shape = " x ".join(map(str, parity.shape))
        print(
            f"{parity.form}, {shape}: {parity.relative:.1e} of the largest logit (of "
            "1, if that is more)"
        )
    print(f"{printable(str(target))}: MODEL_CARD.md says what it is")


class PairsCommand(TyperCommand):
    """Takes ``-p NAME VALUE`` again and again; typer has no option like papermill's."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        """Makes one word, ``NAME=VALUE``, of the two that follow a ``-p``."""
        words, joined = iter(args), []
        for word in words:
            joined.append(word)
            if word in ("-p", "--parameter"):
                pair = list(islice(words, 2))
                joined += ["=".join(pair)] if len(pair) == 2 else []
        return super().parse_args(ctx, joined)


@app.command(cls=PairsCommand)
def notebook(
    name: Annotated[str, Argument(help="one of notebooks/, such as train")],
    parameter: Annotated[
        list[str] | None,
        Option("--parameter", "-p", metavar="NAME VALUE", help="may be given again"),
    ] = None,
    output: Annotated[
        Path | None,
        Option(
            "--output",
            "-o",
            help="the executed notebook",
            show_default="in the run's folder, or in runs/notebooks",
        ),
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Run a notebook: mscf notebook train -p data data/store -p gpus 4."""
    from mscf.notebook.run import run_notebook

    given = dict(pair.partition("=")[::2] for pair in parameter or [])
    with one_line_errors(verbose):
        ending = run_notebook(name, given, output)
    if verbose and ending.traceback:
        print(ending.traceback, file=sys.stderr)
    for line in ending.lines:
        print(line, file=sys.stderr)
    raise typer.Exit(ending.exit_code)


def main() -> NoReturn:
    """The entry point of the console script."""
    run(app)
