"""What the published networks for JetClass read (arXiv:2202.03772): features, their preparation, and the classes.

From the files ``data/JetClass/JetClass_{kin,kinpid,full}.yaml`` of github.com/jet-universe/particle_transformer; those
for top tagging agree.
"""

from jetforge.errors import TaggerError
from jetforge.jets.readers.jetclass import CLASSES
from jetforge.representations import CloudRepresentation

# What is subtracted, what multiplies then, and how large or small the result may be; all others are read as they are.
_PREPARED = {
    "log_pt": (1.7, 0.7, -5.0, 5.0),
    "log_energy": (2.0, 0.7, -5.0, 5.0),
    "log_pt_rel": (-4.7, 0.7, -5.0, 5.0),
    "log_energy_rel": (-4.7, 0.7, -5.0, 5.0),
    "delta_r": (0.2, 4.0, -5.0, 5.0),
    "d0_error": (0.0, 1.0, 0.0, 1.0),
    "dz_error": (0.0, 1.0, 0.0, 1.0),
}
_AS_IT_IS = (0.0, 1.0, -1e9, 1e9)
_KINEMATIC = ("log_pt", "log_energy", "log_pt_rel", "log_energy_rel", "delta_r")
_FLAVOUR = ("charge", "is_charged_hadron", "is_neutral_hadron", "is_photon", "is_electron", "is_muon")
_TRACKS = ("tanh_d0", "d0_error", "tanh_dz", "dz_error")
_PLACE = ("deta", "dphi")
_INPUTS = {
    len(names): names
    for names in (
        (*_KINEMATIC, *_PLACE),
        (*_KINEMATIC, *_FLAVOUR, *_PLACE),
        (*_KINEMATIC, *_FLAVOUR, *_TRACKS, *_PLACE),
    )
}
_MOST_CONSTITUENTS = 128


def published_cloud(what: str, num_features: int) -> CloudRepresentation:
    """Return the constituents as the published network of that many features reads them, normalised as published.

    Raises
    ------
    TaggerError
        If there is no such network; `what` is its architecture.
    """
    if num_features not in _INPUTS:
        raise TaggerError(
            f"a {what} of {num_features} features is not known; published are those of 7 (kinematic), "
            "13 (with particle identification) and 17 (with impact parameters)"
        )
    names = _INPUTS[num_features]
    subtracted, factors, least, most = zip(*(_PREPARED.get(name, _AS_IT_IS) for name in names), strict=True)
    return CloudRepresentation(
        names,
        _MOST_CONSTITUENTS,
        mean=subtracted,
        std=[1 / factor for factor in factors],
        clip=list(zip(least, most, strict=True)),
    )


def published_classes(num_classes: int) -> tuple[str, ...] | None:
    """Return the names of JetClass's ten classes, in the order of the outputs; none if there are not ten."""
    return CLASSES if num_classes == len(CLASSES) else None
