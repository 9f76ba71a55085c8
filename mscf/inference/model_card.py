"""The card that goes with exported weights: what they are, and what they are not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version

from mscf.inference.case_report import NOTICE
from mscf.inference.exported_forms import SLICE, least_side
from mscf.inference.parity import TOLERANCE, Parity
from mscf.inference.weights import Trained
from mscf.models import find_method
from mscf.models.cost import parameters

CARD = """\
# `{method}`: liver tumours in CT slices, from mscf {version}

**{notice}**

| what | value |
|---|---|
| network | `{method}`: {title}, {reference}; {parameters:,} parameters |
| gives | one logit a pixel, `(B, 1, H, W)`: tumour where it is above 0 |
| takes | float32 `(B, 3, H, W)`: axial slices in HU, cut to {low:g} ... {high:g}, \
mapped to -1.6 ... 1.6, three times the same |
| a slice | {slice} |
| size | trained at {size} x {size}; sides: multiples of {multiple} from {least} on |
| data | {data} |
| results | {results} |

{seen}{forms}

## Parity

{parity}

## Files

| file | SHA-256 |
|---|---|
{files}

All are from the checkpoint whose digest is `{digest}`.

## Settings and versions of the training

{settings}

## Licence

The code is under the MIT licence. Weights carry what the data's licence asks of what \
is made from them:
read that of the data named above before you pass them on. No voxel and no mask is here.
"""

TUMOUR_SLICES_ONLY = """\
**Trained on slices with tumour only**: on others, above and below a tumour or the \
liver, expect false tumours.

"""

FORMS = {
    "model.safetensors": "`mscf.load` gives the network, in torch.",
    "model.onnx": "Runs without torch; batch, height and width are free, sides from "
    "{least} pixels on.",
    "model.pt2": "`torch.export.load` opens it without mscf; free in the same way.",
}


def model_card(
    trained: Trained, record: dict, parity: Sequence[Parity], hashes: Mapping[str, str]
) -> str:
    """The card as Markdown; every number is of this run or of this export."""
    method = find_method(trained.method)
    return CARD.format(
        slice=SLICE, title=method.title, version=version("mscf"), notice=NOTICE,
        method=trained.method, reference=method.reference,
        parameters=parameters(trained.network), low=trained.window[0],
        high=trained.window[1], size=trained.image_size, multiple=method.multiple,
        least=method.minimum_size, data=data_in_words(record["data"]),
        results=results_in_words(record["results"]), parity=parity_table(parity),
        seen=TUMOUR_SLICES_ONLY if record["settings"].get("slices") == "tumour" else "",
        forms=forms_in_words(trained.method, hashes),
        files="\n".join(f"| {name} | `{value}` |" for name, value in hashes.items()),
        digest=record["exported_from"], settings=settings_table(record),
    )  # fmt: skip


def forms_in_words(method: str, names: Iterable[str]) -> str:
    """What each file is for."""
    least = least_side(method)
    lines = (f"- `{name}`: {FORMS[name].format(least=least)}" for name in names)
    return "\n".join(lines)


def data_in_words(data: dict) -> str:
    """The store's name, and what is known of it."""
    words = data["name"]
    if data.get("phantoms"):
        words += ", **synthetic CT (phantoms): nothing here is about patients**"
    if counts := data.get("counts"):
        named = (f"{n} {what.replace('_', ' ')}" for what, n in counts.items())
        words += "; " + ", ".join(named)
    return words


def results_in_words(results: dict | None) -> str:
    """The mean Dice of the fold left out, with its interval over patients."""
    if results is None or results["dice"] is None:
        return "not known: the weights were not beside a finished run's evaluation"
    dice, low, high = (results[name] for name in ("dice", "dice_low", "dice_high"))
    interval = "" if None in (low, high) else f" ({low:.3f} to {high:.3f})"
    return (
        f"mean tumour Dice {dice:.3f}{interval} on {results['slices']} slices of "
        f"{results['patients']} patients left out (split by {results['split']}, empty "
        f"masks: {results['empty_rule']}; one run, one seed). "
        "An interval over fewer than 20 patients covers less than its 95 %."
    )


def parity_table(parity: Sequence[Parity]) -> str:
    """How far each form is from the network, and what was asked of it."""
    if not parity:
        return "No other form was exported."
    rows = [
        f"| {p.form} | {' x '.join(map(str, p.shape))} | {p.difference:.1e} | "
        f"{p.largest:.2f} | {p.relative:.1e} |"
        for p in parity
    ]
    return "\n".join(
        [
            "Logits of noise, beside those of the network in torch; a share above "
            f"{TOLERANCE:g} of the largest logit (of 1, if that is more) is refused.",
            "",
            "| file | slices | largest difference | largest logit | share |",
            "|---|---|---:|---:|---:|",
            *rows,
        ]
    )


def settings_table(record: dict) -> str:
    """All settings but paths, and the epoch that the weights are of."""
    rows = {**record["settings"], **record.get("versions", {})}
    if record.get("imagenet"):  # asked for or not: what the training began with
        rows["ImageNet weights"] = record["imagenet"]
    if "epoch" in record:
        rows["weights of epoch"] = record["epoch"] + 1
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(["| setting | value |", "|---|---|", *lines])
