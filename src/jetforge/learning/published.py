"""How the taggers' papers trained them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from jetforge.errors import RecipeError


@dataclass(frozen=True)
class PublishedTraining:
    """Fields of a recipe's section ``training``, and where they are from."""

    source: str
    settings: Mapping[str, Any]


# Fields in which a paper has what is not our default.
_PLAIN = {"optimizer": "adam", "weight_decay": 0.0, "schedule": "constant", "gradient_clip": None}

_LUNDNET = PublishedTraining(
    "arXiv:2012.08526 and github.com/fdreyer/LundNet",
    {
        **_PLAIN, "epochs": 30, "batch_size": 256, "learning_rate": 1e-3, "schedule": "steps",
        "monitor": "val_accuracy",
    },
)  # fmt: skip

_PARTICLENET = {
    "epochs": 20, "optimizer": "adamw", "weight_decay": 1e-4, "schedule": "one_cycle", "gradient_clip": None,
    "monitor": "val_accuracy",
}  # fmt: skip

# Its script train_TopLandscape.sh: 20 epochs of 2400 steps of 512 jets, one pass over the reference set each.
_WEAVER = {
    "epochs": 20, "optimizer": "ranger", "schedule": "flat_exponential", "gradient_clip": None,
    "monitor": "val_accuracy",
}  # fmt: skip
_WEAVER_SOURCE = "github.com/jet-universe/particle_transformer, train_TopLandscape.sh"

_LORENTZNET = {
    "epochs": 35, "optimizer": "adamw", "schedule": "cosine_restarts", "warmup_epochs": 5, "gradient_clip": None,
    "monitor": "val_accuracy",
}  # fmt: skip

# 128 jets a step; an epoch of the reference set (1,211,000 jets) is 9461 steps.
_LION = {
    "batch_size": 128, "optimizer": "lion", "betas": (0.9, 0.999), "warmup_epochs": 0, "gradient_clip": 1.0,
    "monitor": "val_loss",
}  # fmt: skip
_LLOCA_SOURCE = "github.com/heidelberg-hepml/lloca-experiments, config/training"
_TRANSFORMER = PublishedTraining(
    f"{_LLOCA_SOURCE}/top_transformer.yaml (arXiv:2505.20280): 300,000 steps",
    {**_LION, "epochs": 32, "learning_rate": 3e-5, "weight_decay": 2.0, "schedule": "cosine_twice"},
)

PUBLISHED: Mapping[str, PublishedTraining] = {
    "lundnet2": _LUNDNET,
    "lundnet3": _LUNDNET,
    "lundnet4": _LUNDNET,
    "lundnet5": _LUNDNET,
    "particlenet": PublishedTraining("arXiv:1902.08570", {**_PARTICLENET, "batch_size": 384, "learning_rate": 3e-3}),
    "particlenet_lite": PublishedTraining(
        "arXiv:1902.08570", {**_PARTICLENET, "batch_size": 1024, "learning_rate": 5e-3}
    ),
    "part": PublishedTraining(
        f"{_WEAVER_SOURCE} (arXiv:2202.03772)",
        {**_WEAVER, "batch_size": 512, "learning_rate": 1e-3, "weight_decay": 0.01},
    ),
    "pfn": PublishedTraining(
        _WEAVER_SOURCE, {**_WEAVER, "batch_size": 4096, "learning_rate": 2e-2, "weight_decay": 0.0}
    ),
    "pcnn": PublishedTraining(
        _WEAVER_SOURCE, {**_WEAVER, "batch_size": 4096, "learning_rate": 2e-2, "weight_decay": 0.0}
    ),
    "lorentznet": PublishedTraining(
        "github.com/sdogsq/LorentzNet-release (arXiv:2201.08187): 32 jets in each of 4 processes",
        {**_LORENTZNET, "batch_size": 128, "learning_rate": 1e-3, "weight_decay": 0.01},
    ),
    "pelican": PublishedTraining(
        "github.com/abogatskiy/PELICAN (arXiv:2307.16506): 64 jets in each of 4 processes; the rate changes once an "
        "epoch here, there every step, after 4 epochs of warm-up instead of 5",
        {**_LORENTZNET, "batch_size": 256, "learning_rate": 2.5e-3, "weight_decay": 0.005},
    ),
    "lgatr": PublishedTraining(
        f"{_LLOCA_SOURCE}/top_lgatr.yaml (arXiv:2411.00446): 200,000 steps",
        {**_LION, "epochs": 21, "learning_rate": 3e-4, "weight_decay": 0.2, "schedule": "cosine"},
    ),
    "transformer": _TRANSFORMER,
    "lloca": replace(
        _TRANSFORMER, source=f"{_TRANSFORMER.source}; the network of the frames has no weight decay there, here it has"
    ),
    "topodnn": PublishedTraining(
        "github.com/jpearkes/topo_dnn (arXiv:1704.02124)",
        {**_PLAIN, "epochs": 40, "batch_size": 96, "learning_rate": 1e-3, "early_stopping": 5, "monitor": "val_loss"},
    ),
}


def published_training(name: str) -> PublishedTraining:
    """Return how a tagger's paper, or its authors' code, trained it.

    Parameters
    ----------
    name : str
        Name of the tagger.

    Raises
    ------
    RecipeError
        If none is known.
    """
    if name not in PUBLISHED:
        raise RecipeError(
            f"no published training of {name} is known; leave out --published (known are those of "
            f"{', '.join(sorted(PUBLISHED))})"
        )
    return PUBLISHED[name]
