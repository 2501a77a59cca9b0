"""The top-tagging reference set and the constituents of the tagging challenge: HDF5 files that pandas wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jetforge.jets.jets import Jets
from jetforge.jets.manifest import SPLITS
from jetforge.jets.readers.base import FormatCard, Option, Reader, unit_option
from jetforge.jets.readers.constituents.padded import unwoven
from jetforge.jets.readers.constituents.ragged import joined_offsets, pieces
from jetforge.jets.readers.containers.pandas_frames import Frame, frame_columns
from jetforge.jets.readers.contents import Contents

KEY = "table"
COMPONENTS = ("E", "PX", "PY", "PZ")
TRUTH = {"truthE": "truth_energy", "truthPX": "truth_px", "truthPY": "truth_py", "truthPZ": "truth_pz"}
LABEL, SPLIT = "is_signal_new", "ttv"
SPLIT_NAMES = ("train", "test", "val")
CLASSES = ("qcd", "top")
_ROWS_AT_ONCE = 4000


class TopTagReader(Reader):
    """Constituents ``E_0, PX_0, PY_0, PZ_0, E_1, ...`` of each jet in one row, filled up with zeros."""

    card = FormatCard(
        name="toptag",
        title="Top-tagging reference set and challenge, constituents",
        layout=(
            "HDF5 written by pandas (key `table`), a row a jet: `E_0, PX_0, PY_0, PZ_0` to `E_199 ...`, the top quark "
            "`truthE, truthPX, truthPY, truthPZ` (zeros for QCD), `ttv` (the split: 0 train, and, as is "
            "assumed, 1 test, 2 validation), and `is_signal_new` (1 top, 0 QCD). Files that lack truth, label or `ttv` "
            "are read too."
        ),
        origin="Kasieczka, Plehn, Thompson, Russell: Top Quark Tagging Reference Dataset, doi:10.5281/zenodo.2603256.",
        made=(
            "Pythia 8 at 14 TeV without multiparton interactions, Delphes with the ATLAS card, energy-flow objects, "
            "anti-kt R = 0.8, 550 < pT < 650 GeV, |eta| < 2; tops matched to a parton top and its three quarks within "
            "0.8. 1.2 M jets to train, 400 k to validate, 400 k to test."
        ),
        units="GeV.",
        licence="CC BY 4.0, as copies on Hugging Face state; the record's own page was not read.",
        citation="Kasieczka, Plehn et al., The Machine Learning landscape of top taggers, arXiv:1902.09914.",
        traps=(
            "Only the leading 200 constituents are stored: sums differ from the jet's momentum for a few longer jets.",
            "Energies are float32, so that masses of constituents are rounding; they are stored with their sign.",
            "That `ttv` is 1 for test and 2 for validation is noted by users of the data, and not confirmed by the "
            "authors. The names train.h5, val.h5 and test.h5 tell it too; --split says it over `ttv`.",
            "Known converters drop the last jet of every file; here every jet is kept.",
        ),
    )
    options: Mapping[str, Option] = {  # type: ignore[misc]
        "unit": unit_option(),
    }

    @classmethod
    def recognises(cls, contents: Contents) -> bool:
        """Say whether there is a frame with the columns of at least one constituent."""
        return {f"{name}_0" for name in COMPONENTS} <= set(frame_columns(contents, KEY))

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        super().__init__(path, settings)
        self._frame = Frame(path, KEY)
        self.num_rows = self._frame.num_rows
        columns = set(self._frame.columns)
        self._length = next(i for i in range(len(columns) + 1) if f"E_{i}" not in columns)
        if not self._length:
            self._frame.close()
            raise self.error(
                f"no constituents in it (columns E_0, PX_0, ...); its first columns are {self._frame.columns[:4]}"
            )
        self._columns = [f"{name}_{i}" for i in range(self._length) for name in COMPONENTS]
        self._truth = {name: ours for name, ours in TRUTH.items() if name in columns}
        self._has_label, self._has_split = LABEL in columns, SPLIT in columns
        self.classes = CLASSES if self._has_label else ()

    def read(self, start: int, stop: int) -> Jets:
        """Return the jets of a range of rows; see `Reader.read`."""
        # A few rows at a time: what is decompressed stays in the processor's cache.
        blocks = [self._read_rows(*piece) for piece in pieces(start, stop, _ROWS_AT_ONCE)]
        momenta = np.concatenate([block[1] for block in blocks], axis=1, dtype=np.float64)
        given = {name: np.concatenate([block[2][name] for block in blocks]) for name in blocks[0][2]}
        if self.to_gev != 1:
            momenta *= self.to_gev
        fields: dict[str, Any] = {}
        if self._has_label:
            fields["label"] = self._labels(given[LABEL], start)
        fields.update({ours: given[name] * self.to_gev for name, ours in self._truth.items()})
        if self._has_split:
            self.refuse(
                ~np.isin(given[SPLIT], (0, 1, 2)), SPLIT, given[SPLIT], "none of 0 (train), 1 (test) and 2 (val)", start
            )
            fields[SPLIT] = given[SPLIT].astype(np.int8)
        energy, px, py, pz = momenta
        offsets = joined_offsets([block[0] for block in blocks])
        return Jets(offsets, {"px": px, "py": py, "pz": pz, "energy": energy}, fields)

    def _read_rows(self, start: int, stop: int) -> tuple[Any, Any, dict[str, Any]]:
        """Return offsets, momenta (4, n_constituents) and the further columns of some rows."""
        offsets, momenta = unwoven(self._frame.read_block(self._columns, start, stop))
        wanted = [*self._truth, *([LABEL] if self._has_label else []), *([SPLIT] if self._has_split else [])]
        given = self._frame.read(wanted, start, stop) if wanted else {}
        return offsets, momenta, {name: values.copy() for name, values in given.items()}

    def stated_splits(self, jets: Jets) -> npt.NDArray[np.int8] | None:
        """Return the splits that `ttv` says."""
        return splits_of_ttv(jets)

    def close(self) -> None:
        """Close the file."""
        self._frame.close()

    def _labels(self, values: Any, start: int) -> Any:
        self.refuse(~np.isin(values, (0, 1)), LABEL, values, "neither 0 nor 1", start)
        return values.astype(np.int64)


def splits_of_ttv(jets: Jets) -> npt.NDArray[np.int8] | None:
    """Return the splits that the field `ttv` says, where there is one."""
    if SPLIT not in jets.fields:
        return None
    numbers = np.array([SPLITS.index(name) for name in SPLIT_NAMES], dtype=np.int8)
    return np.asarray(numbers[jets.fields[SPLIT]])
