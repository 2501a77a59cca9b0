"""Checkpoints of the published LorentzNet program (github.com/sdogsq/LorentzNet-release; arXiv:2201.08187)."""

from collections.abc import Iterable, Iterator, Mapping

from torch import Tensor

from jetforge.errors import TaggerError
from jetforge.representations import FourMomentaRepresentation
from jetforge.taggers.checkpoints.base import ImportedWeights

# Their names of the layers and ours; the last two are absent from the last block.
_IN_BLOCK = {
    "phi_e.0": "first",
    "phi_e.1": "first_norm",
    "phi_e.3": "second",
    "phi_m.0": "gate",
    "phi_h.0": "node_first",
    "phi_h.1": "node_norm",
    "phi_h.3": "node_second",
    "phi_x.0": "moving",
    "phi_x.2": "step",
}
_OUTSIDE = {"embedding": "embedding", "graph_dec.0": "hidden", "graph_dec.3": "output"}

# Top tagging: psi(mass) of constituents and of beams (top/collate.py, top_tagging.py).
_TOP_SCALARS = 2
_TOP_STEP = 5e-3

# Quarks and gluons: one flag a particle number, 11, 13, 22, 130, 211, 321, 2112, 2212 (qg/dataset.py).
_QG_SCALARS = (
    "is_electron", "is_muon", "is_photon", "is_kaon_long", "is_pion", "is_kaon", "is_neutron", "is_proton",
)  # fmt: skip
_QG_STEP = 1e-3


def recognises(state: Mapping[str, Tensor]) -> bool:
    """Return whether these are the tensors of that program's LorentzNet, saved with or without its wrapper."""
    keys = {key.removeprefix("module.") for key in state}
    return {"embedding.weight", "LGEBs.0.phi_e.0.weight", "graph_dec.3.weight"} <= keys


def convert(state: Mapping[str, Tensor]) -> ImportedWeights:
    """Return the same network as one of ours, for momenta in GeV.

    Which of the two published set-ups it is follows from the number of input scalars: 2 for top tagging, with beams
    and masses, 8 for quarks and gluons, with particle types alone. The factor of the steps is not among the tensors
    and is that of ``logs/*/pretrained/args.json``.

    The program averages over the nodes of a jet after padding it to the largest jet of its batch, so that a jet's
    score depends on the others: it is the mean over the jet's own nodes times their fraction of that size. The
    network that is returned takes the mean over the jet's own nodes, which is what the program gives for a jet alone,
    or among jets of the same size. With the argument ``divisor``, the number of nodes of the largest jet, beams
    included, it gives what the program gives for a whole batch.

    The constituents of the top-tagging reference set are massless, and the network for them reads the mass of each:
    its representation makes the constituents of any jets massless.

    Raises
    ------
    TaggerError
        If it has another number of input scalars than the published networks.
    KeyError
        If a tensor is missing.
    """
    theirs = {key.removeprefix("module."): key for key in state}
    width, scalars = state[theirs["embedding.weight"]].shape
    blocks = len({name.split(".")[1] for name in theirs if name.startswith("LGEBs.")})
    if scalars == _TOP_SCALARS:
        arguments = {"beams": True, "masses": True, "step": _TOP_STEP}
        representation = FourMomentaRepresentation(scale=1.0, dtype="float64", massless=True)
        classes = ("qcd", "top")
    elif scalars == len(_QG_SCALARS):
        arguments = {"beams": False, "masses": False, "step": _QG_STEP}
        representation = FourMomentaRepresentation(scale=1.0, scalars=_QG_SCALARS, dtype="float64")
        classes = ("gluon", "quark")
    else:
        raise TaggerError(f"a LorentzNet of {scalars} input scalars is not known; published are those of 2 and 8")
    return ImportedWeights(
        name="lorentznet",
        num_classes=len(state[theirs["graph_dec.3.bias"]]),
        arguments={**arguments, "layers": blocks, "width": width},
        representation=representation,
        classes=classes,
        state={ours: state[theirs[name]] for ours, name in _names(theirs)},
    )


def _names(theirs: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield our name of each tensor of a known layer, with theirs; whoever reads the file names what is left over."""
    for name in theirs:
        layer, _, kind = name.rpartition(".")
        first, _, rest = layer.partition(".")
        block, _, inner = rest.partition(".")
        if layer in _OUTSIDE:
            yield f"{_OUTSIDE[layer]}.{kind}", name
        elif first == "LGEBs" and inner in _IN_BLOCK:
            yield f"blocks.{block}.{_IN_BLOCK[inner]}.{kind}", name
