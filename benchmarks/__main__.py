"""``python -m benchmarks [TOPIC ...] [--quick]``: races, and writes what came out.

Each topic is a file here with ``figures(quick)``, and ``THREADS`` if it is to be raced
on fewer than there are; those of a GPU run where they are named. Nothing else should
run meanwhile.
``--quick`` shows that every race runs, on small inputs; it writes only where told to.
"""

from __future__ import annotations

import argparse
import importlib
import os
import tempfile
from pathlib import Path

import torch

import mscf.compat  # noqa: F401  (before torchvision)
from benchmarks.racing import RESULTS, matrix_rate, on_threads, write

TOPICS = (
    "imports", "attention", "step", "allocator", "sizes", "inference", "parts",
    "prepare", "loader", "metrics", "nan_watch", "predict",
)  # fmt: skip
GPU_TOPICS = ("gpu_step", "gpu_attention", "gpu_training")
ALL = TOPICS + GPU_TOPICS


def main() -> None:
    """Runs the topics asked for, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=", ".join(ALL))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, help="folder (default: results/benchmarks)")
    options = parser.parse_args()
    if unknown := set(options.topics) - set(ALL):
        parser.error(f"topics must be of {', '.join(ALL)} (found: {min(unknown)})")
    of_gpu = set(options.topics) & set(GPU_TOPICS)
    if of_gpu and of_gpu != set(options.topics):
        parser.error(f"topics of a GPU run apart (found: {', '.join(options.topics)})")
    if of_gpu and not options.quick and not torch.cuda.is_available():
        parser.error(f"{min(of_gpu)} needs a GPU; --quick shows that it runs")
    if not of_gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the others are races on a processor
    with tempfile.TemporaryDirectory() as thrown_away:
        folder = options.out or (Path(thrown_away) if options.quick else RESULTS)
        for topic in options.topics or TOPICS:
            print(f"== {topic}")
            module = importlib.import_module(f"benchmarks.{topic}")
            with on_threads(getattr(module, "THREADS", torch.get_num_threads())):
                found, rate = [], matrix_rate(256 if options.quick else 2048)
                for line in module.figures(options.quick):  # if one is cut, those stay
                    print(said(line), flush=True)
                    found.append(line)
                    write(topic, found, options.quick, rate, folder)


def said(line: dict) -> str:
    """A figure as a sentence."""
    wanted = ""
    if line["wanted"] is not None:
        wanted = f" (wanted: at {'most' if line.get('at_most') else 'least'} "
        wanted += f"{line['wanted']:g})"
    if "ratio" not in line:
        return f"{line['what']}: {line['value']:.4g} {line['unit']}{wanted}"
    ratio = line["ratio"]
    return (
        f"{line['what']}: {line['of']} {ratio['median']:.3g} "
        f"({ratio['low']:.3g} to {ratio['high']:.3g}){wanted}"
    )


if __name__ == "__main__":
    main()
