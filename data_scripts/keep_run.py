"""Keep of a finished run what the book shows: small tables under results/."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from mscf.command import Verbose, one_line_errors, run_script


def main(
    run: Annotated[Path, Argument(metavar="RUN", help="the folder of a finished run")],
    results: Annotated[Path, Argument(metavar="RESULTS")] = Path("results"),
    examples: Annotated[
        int, Option(help="slices kept with their voxels; for phantoms only")
    ] = 0,
    attributions: Annotated[
        int,
        Option(
            min=0, help="slices whose attributions are kept, minutes each; phantoms"
        ),
    ] = 0,
    any_pixel: Annotated[
        bool,
        Option(
            "--any-pixel", help="also a slice any pixel of which can be asked; phantoms"
        ),
    ] = False,
    beside: Annotated[
        bool, Option(help="also the untrained network and the HU threshold")
    ] = True,
    data: Annotated[
        Path | None, Option(help="the run's store, where it has moved since")
    ] = None,
    label: Annotated[
        str, Option(help="keeps it apart from a grid's runs, as METHOD+LABEL")
    ] = "",
    verbose: Verbose = False,
) -> None:
    """Write the tables of a finished run, and of what it must beat."""
    from mscf.kept.results import keep_run

    with one_line_errors(verbose):
        folder = keep_run(run, results, examples, beside, label, data)
        if attributions:
            from mscf.kept.attributions import write_attributions  # brings captum

            write_attributions(run, attributions, folder / "attribution.npz", data)
        if any_pixel:
            from mscf.kept.any_pixel import keep_any_pixel

            keep_any_pixel(run, folder / "any_pixel.npz", data)
        print(folder)


if __name__ == "__main__":
    run_script(main)
