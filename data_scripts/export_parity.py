"""How far the exported forms of all ten methods are from their networks, as a table."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from typer import Argument, Option

from mscf.command import Verbose, one_line_errors, run_script

SIZE = 192  # pixels a side; the forms take other sizes too, and two are compared


def main(
    out: Annotated[Path, Argument(metavar="OUT", help="the table")] = Path(
        "results/export_parity.csv"
    ),
    seed: Annotated[int, Option(help="of the weights")] = 0,
    verbose: Verbose = False,
) -> None:
    """Export each method with random weights, compare and tabulate; half an hour."""
    import pandas as pd
    import torch

    from mscf.checkpoint import write_checkpoint
    from mscf.data.spreadsheet import as_csv
    from mscf.inference.export import export
    from mscf.inference.parity import noise
    from mscf.models import METHODS, build
    from mscf.replacing import write_text

    rows = []
    with one_line_errors(verbose):
        for method in METHODS:
            torch.manual_seed(seed)
            network = build(method).train()
            with torch.no_grad():
                for name, parameter in network.named_parameters():
                    if name.endswith(("alpha", "beta")):  # at 0 a block does nothing
                        parameter.fill_(0.5)
                network(noise((2, 3, SIZE, SIZE)))  # statistics to fold
            about = {"method": method, "classes": 1, "image_size": SIZE, "epoch": 0}
            about["settings"] = {"window": [-40.0, 160.0]}
            with TemporaryDirectory() as folder:
                weights = Path(folder, "best.ckpt")
                write_checkpoint(weights, network.state_dict(), about)
                found = export(weights, Path(folder, "out"))
                found.sort(key=lambda one: one.relative)
                for parity in {one.form: one for one in found}.values():  # the worst
                    file = Path(folder, "out", parity.form)
                    rows.append({
                        "method": method,
                        "form": parity.form,
                        "largest logit": f"{parity.largest:.3g}",
                        "difference": f"{parity.difference:.1e}",
                        "relative": f"{parity.relative:.1e}",
                        "MB": round(file.stat().st_size / 1e6, 1),
                    })  # fmt: skip
                    print(*rows[-1].values())
        write_text(out, as_csv(pd.DataFrame(rows)))
        print(out)


if __name__ == "__main__":
    run_script(main)
