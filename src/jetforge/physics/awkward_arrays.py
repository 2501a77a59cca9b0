"""Four-momenta handed back as awkward arrays with the behaviour of `vector`."""

from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import vector


def momentum_records(
    px: npt.NDArray[np.float64],
    py: npt.NDArray[np.float64],
    pz: npt.NDArray[np.float64],
    energy: npt.NDArray[np.float64],
    **fields: Any,
) -> ak.Array:
    """Return records named Momentum4D, so that `.pt`, `.mass`, `.deltaR` ... work; arrays are not copied.

    Parameters
    ----------
    px, py, pz, energy
        Components in GeV, each of shape (n,).
    **fields
        Further fields: arrays of shape (n,), or awkward layouts of that length.
    """
    vector.register_awkward()
    given = {"px": px, "py": py, "pz": pz, "energy": energy} | fields
    contents = [x if isinstance(x, ak.contents.Content) else ak.contents.NumpyArray(x) for x in given.values()]
    return ak.Array(ak.contents.RecordArray(contents, list(given), parameters={"__record__": "Momentum4D"}))
