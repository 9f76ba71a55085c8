"""Fetch the ImageNet weights that the networks start from, before the trainings."""

from mscf.command import Verbose, one_line_errors, run_script


def main(verbose: Verbose = False) -> None:
    """Put both encoders' weights into PyTorch's folder, or say which are missing."""
    import warnings

    from mscf.errors import DownloadError
    from mscf.models import build
    from mscf.models.encoder import PretrainedUnavailable

    with one_line_errors(verbose):
        for method, encoder in (("mscf", "ResNet-34"), ("danet", "ResNet-50")):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error", PretrainedUnavailable)
                    build(method, pretrained=True)
            except PretrainedUnavailable as error:
                raise DownloadError(
                    encoder, "must have its ImageNet weights", error, "pretrained",
                    "bring the machine online once; TORCH_HOME is where they are kept",
                ) from error  # fmt: skip
            print(f"{encoder}: its ImageNet weights are here")


if __name__ == "__main__":
    run_script(main)
