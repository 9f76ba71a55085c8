"""What the context blocks do while they learn: a row an epoch of ``context.csv``.

Alpha and beta say how much context passes; the entropy of the channel map's rows
says whether Eq. 4 chooses one channel (0) or none (log C).
"""

from __future__ import annotations

from contextlib import ExitStack

import torch
from torch import Tensor, nn

from mscf.evaluation_mode import evaluation_mode
from mscf.models.attention import as_sequence
from mscf.models.context import ContextBlock, channel_affinity

CHANNELS = (64, 128, 256)
FACTS = ("alpha", "beta", "entropy")
CONTEXT = ("epoch", *(f"{fact}_{c}" for fact in FACTS for c in CHANNELS))


def has_context(model: nn.Module) -> bool:
    """Whether there is anything to watch."""
    return any(isinstance(module, ContextBlock) for module in model.modules())


def context_facts(model: nn.Module, images: Tensor, at_once: int) -> dict[str, float]:
    """Alpha, beta and mean row entropy in nats of every block, by ``FACTS`` and C.

    Entropies are those that the ``images`` ``(B, 3, H, W)`` give in evaluation mode,
    ``at_once`` of them in a pass, as many as training forwards, so that what fits
    there fits here. No weight, statistic or random number changes. What a variant lacks
    is left out; a network without blocks is not asked at all.
    """
    blocks = [m for m in model.modules() if isinstance(m, ContextBlock)]
    facts: dict[str, float] = {}
    if not blocks:
        return facts

    def look(block: ContextBlock, given: tuple[Tensor, ...], _made: Tensor) -> None:
        channels = given[0].shape[1]
        if block.spatial:
            facts[f"alpha_{channels}"] = float(block.spatial.alpha)
        if block.channel:
            facts[f"beta_{channels}"] = float(block.channel.beta)
            if block.channel.eq5 == "identity":  # no map is formed
                return
            features = as_sequence(given[0].float())
            rows = channel_affinity(features, block.channel.softmax).double()
            entropy = torch.special.entr(rows).sum(dim=-1).mean(dim=-1).sum()
            name = f"entropy_{channels}"
            facts[name] = facts.get(name, 0) + float(entropy) / len(images)

    with ExitStack() as hooks, evaluation_mode(model), torch.no_grad():
        for block in blocks:
            hooks.enter_context(block.register_forward_hook(look))
        for part in images.split(at_once):
            model(part)
    return facts
