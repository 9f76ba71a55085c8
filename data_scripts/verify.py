"""Look through a folder of CT volumes before hours are spent on it."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from mscf.command import Verbose, one_line_errors, run_script


def main(
    source: Annotated[
        Path,
        Argument(metavar="IN", help="a folder of cases, or of scans with --images"),
    ],
    out: Annotated[Path, Option(help="the table of what was found")] = Path(
        "verify.csv"
    ),
    images: Annotated[
        bool, Option("--images", help="images alone, as predict takes them; DICOM too")
    ] = False,
    persons: Annotated[
        bool, Option("--persons", help="tell cases that look like one patient; slow")
    ] = False,
    strict: Annotated[
        bool, Option("--strict", help="every warning of a case is an error")
    ] = False,
    write_digests: Annotated[
        bool,
        Option("--write-digests", help="keep SHA256SUMS in IN, compared from then"),
    ] = False,
    processes: Annotated[
        int | None, Option(help="at once", show_default="one a core")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Say of every case whether it is sound, has warnings, or is refused."""
    from mscf.data import digests
    from mscf.data.verify import in_words, refusals, summary, verify
    from mscf.errors import raise_all

    with one_line_errors(verbose):
        results = verify(source, out, images, persons, strict, processes)
        print(in_words(results))
        print(summary(results))
        raise_all(refusals(results))
        if write_digests:
            sources = {f: d for checked in results for f, d in checked.sources.items()}
            print(f"digests of {len(sources):,} files in", end=" ")
            folder = source if source.is_dir() else source.parent
            print(digests.write_digests(folder, sources))


if __name__ == "__main__":
    run_script(main)
