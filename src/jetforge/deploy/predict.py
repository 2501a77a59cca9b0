"""Scores of a trained tagger, written to Parquet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from jetforge.errors import DataError
from jetforge.evaluation.scoring import load_for_scoring, score_dataset, unknown_classes
from jetforge.files import whole_file
from jetforge.jets import open_dataset


def predict(
    run: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    split: str = "test",
    device: str = "auto",
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_note: Callable[[str], None] = lambda line: None,
) -> int:
    """Write the scores of a tagger on a split of a dataset, a row a jet, in the dataset's order.

    Parameters
    ----------
    run
        A directory with `tagger.json` and `tagger.safetensors`.
    data, split
        Which jets.
    out
        Parquet file with the columns ``score_CLASS`` for each class (a probability; float64, since float32 would tie
        the surest jets), where the jets are labelled ``label`` (the tagger's numbering) and ``class``, and where they
        have weights ``weight``. Labels and classes are left out where the tagger does not know all classes of the
        dataset. The file appears whole or not at all.
    device
        ``cpu``, ``cuda`` or ``auto``.
    on_progress
        Called with jets done and jets in all.
    on_note
        Called with a line that says what was left out, if anything was.

    Returns
    -------
    int
        The number of jets.

    Raises
    ------
    JetforgeError
        If tagger or dataset is broken, or the file cannot be written, or is there and holds no scores.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    tagger = load_for_scoring(run, device)
    dataset = open_dataset(data)
    _refuse_other_file(Path(out))
    names, unknown = np.array(tagger.classes), unknown_classes(tagger, dataset)
    labelled = dataset.labelled and not unknown
    scores_schema = [(f"score_{name}", pa.float64()) for name in tagger.classes]
    truth = [("label", pa.int64()), ("class", pa.string())] if labelled else []
    weighted = "weight" in dataset.manifest.jet_fields
    schema = pa.schema([*scores_schema, *truth, *([("weight", pa.float64())] if weighted else [])])
    with whole_file(Path(out)) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for jets, scores in score_dataset(tagger, dataset, split, labels=labelled, on_progress=on_progress):
            truth_columns = (jets.label, names[jets.label]) if labelled else ()
            columns = [*scores.T, *truth_columns, *([jets.weight] if weighted else [])]
            writer.write_table(pa.table([pa.array(c) for c in columns], schema=schema))
    if unknown:
        on_note(
            f"columns label and class are left out: the tagger tells {', '.join(tagger.classes)} apart and does not "
            f"know {', '.join(unknown)} of {dataset.path}"
        )
    return dataset.num_jets(split)


def _refuse_other_file(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        return
    try:
        columns = pq.read_schema(path).names
    except (pa.ArrowException, OSError):
        columns = []
    if not any(name.startswith("score_") for name in columns):
        raise DataError(f"{path}: is there already and holds no scores; choose another name")
