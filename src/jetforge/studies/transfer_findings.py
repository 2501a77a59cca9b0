"""What a transfer study says of the published findings (arXiv:2203.06210), each with its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jetforge.studies.transfer_grid import SCRATCH, TransferStudy

if TYPE_CHECKING:
    from jetforge.studies.cells import MeasuredCell
    from jetforge.studies.transfer_report import Series

# An AUC that is reached to within this is the same.
CLOSE = 0.001
_ONE_SEED = ", 1 seed"


def findings(
    study: TransferStudy, lines: Sequence[Series], classes: Mapping[str, Sequence[str]]
) -> list[dict[str, str]]:
    """Return the findings that the trials say something of, as rows of a table.

    Parameters
    ----------
    study
        What was tried.
    lines
        What it gave.
    classes
        Those of each sample, by its name.

    Returns
    -------
    list of dict
        ``finding``, what was ``found``, and whether it ``holds``: yes, no, or unclear where the error is larger
        than what decides.
    """
    return [
        *_few_jets(study, lines),
        *_frozen(study, lines),
        *_other_signal(study, lines, classes),
        *_few_epochs(study, lines),
    ]


def _few_jets(study: TransferStudy, lines: Sequence[Series]) -> Iterator[dict[str, str]]:
    for line in _of_mode(study, lines, "finetune"):
        scratch = _scratch_of(line, lines)
        if scratch is None:
            continue
        most = max(scratch.cells)
        tenth = _tenth(line, most)
        if tenth == most:
            continue
        difference, error = _difference(line.cells[tenth], scratch.cells[most])
        yield _row(
            f"{line.name}: with {tenth:,} jets as good as from scratch with {most:,}, to within {CLOSE}",
            f"AUC {difference:+.5f}{_error(error)}",
            _verdict(difference + CLOSE, error),
        )


def _frozen(study: TransferStudy, lines: Sequence[Series]) -> Iterator[dict[str, str]]:
    frozen = []
    for line in _of_mode(study, lines, "frozen"):
        scratch = _scratch_of(line, lines)
        if scratch is None:
            continue
        frozen.append((line, scratch))
        most = max(scratch.cells)
        tenth = _tenth(line, most)
        if tenth in scratch.cells and tenth != most:
            difference, error = _difference(line.cells[tenth], scratch.cells[tenth])
            yield _row(
                f"{line.name}: with {tenth:,} jets at least as good as from scratch with as many",
                f"AUC {difference:+.5f}{_error(error)}",
                _verdict(difference, error),
            )
    yield from _compare_losses(study, frozen)


def _compare_losses(study: TransferStudy, frozen: Sequence[tuple[Series, Series]]) -> Iterator[dict[str, str]]:
    """Yield whether each frozen LundNet loses less to its training from scratch than each frozen ParticleNet.

    They are compared with the most jets that all four were trained with.
    """
    lund, clouds = (
        [pair for pair in frozen if study.sources[pair[0].trial.source].tagger.name.startswith(kind)]
        for kind in ("lundnet", "particlenet")
    )
    for ours, ours_alone in lund:
        for theirs, theirs_alone in clouds:
            shared = set(ours.cells) & set(ours_alone.cells) & set(theirs.cells) & set(theirs_alone.cells)
            if not shared:
                continue
            size = max(shared)
            loss, error = _difference(ours_alone.cells[size], ours.cells[size])
            other, other_error = _difference(theirs_alone.cells[size], theirs.cells[size])
            yield _row(
                f"{ours.name}: with {size:,} jets it loses less to its training from scratch than {theirs.name}",
                f"AUC lost {loss:.5f}{_error(error)} and {other:.5f}{_error(other_error)}",
                _verdict(other - loss, math.hypot(error, other_error)),
            )


def _other_signal(
    study: TransferStudy, lines: Sequence[Series], classes: Mapping[str, Sequence[str]]
) -> Iterator[dict[str, str]]:
    """Yield for each source of another signal whether it helps where there are few jets."""
    for line in _of_mode(study, lines, "finetune"):
        scratch = _scratch_of(line, lines)
        if scratch is None or set(classes[study.sources[line.trial.source].sample]) == set(classes[study.target]):
            continue
        tenth = _tenth(line, max(scratch.cells))
        if tenth not in scratch.cells:
            continue
        difference, error = _difference(line.cells[tenth], scratch.cells[tenth])
        yield _row(
            f"{line.name}: another signal helps: with {tenth:,} jets better than from scratch with as many",
            f"AUC {difference:+.5f}{_error(error)}",
            _verdict(difference, error),
        )


def _few_epochs(study: TransferStudy, lines: Sequence[Series]) -> Iterator[dict[str, str]]:
    for line in _of_mode(study, lines, "finetune"):
        scratch, most = _scratch_of(line, lines), max(line.cells)
        if scratch is None or most not in scratch.cells:
            continue
        # What every seed from scratch gets to.
        wanted = min(max(row["val_auc"] for row in cell.epochs) for cell in scratch.cells[most]) - CLOSE
        ours, theirs = (_epochs_to(cells[most], wanted) for cells in (line.cells, scratch.cells))
        yield _row(
            f"{line.name}: with {most:,} jets fewer epochs than from scratch to its best validation AUC less {CLOSE}",
            f"{'never' if ours is None else f'{ours:.3g}'} and {theirs:.3g} epochs",
            ("yes" if ours is not None and theirs is not None and ours < theirs else "no") + _of_one_seed(line, most),
        )


def _of_mode(study: TransferStudy, lines: Sequence[Series], mode: str) -> list[Series]:
    return [line for line in lines if line.trial.source != SCRATCH and study.modes[line.trial.mode].mode == mode]


def _scratch_of(line: Series, lines: Sequence[Series]) -> Series | None:
    own = (o for o in lines if o.trial.source == SCRATCH and o.trial.architecture == line.trial.architecture)
    return next(own, None)


def _tenth(line: Series, most: int) -> int:
    """Return the number of jets closest to a tenth of the most."""
    return min(line.cells, key=lambda size: abs(math.log(10 * size / most)))


def _difference(one: Sequence[MeasuredCell], other: Sequence[MeasuredCell]) -> tuple[float, float]:
    """Return the difference of the mean AUCs, and the error that the spread of the seeds gives it."""
    values = [np.array([cell.auc for cell in cells]) for cells in (one, other)]
    error = math.sqrt(sum(v.var(ddof=1) / len(v) for v in values)) if min(map(len, values)) > 1 else math.nan
    return float(values[0].mean() - values[1].mean()), error


def _epochs_to(cells: Sequence[MeasuredCell], auc: float) -> float | None:
    """Return the mean number of epochs until a validation AUC, None where a seed does not get there."""
    reached = [next((int(row["epoch"]) + 1 for row in cell.epochs if row["val_auc"] >= auc), None) for cell in cells]
    return None if None in reached else float(np.mean([epoch for epoch in reached if epoch is not None]))


def _error(error: float) -> str:
    return "" if math.isnan(error) else f" ± {error:.5f}"


def _of_one_seed(line: Series, size: int) -> str:
    return _ONE_SEED if len(line.cells[size]) == 1 else ""


def _verdict(margin: float, error: float) -> str:
    """Say whether a margin is positive: unclear where it is smaller than its error, which one seed leaves unknown."""
    if abs(margin) < error:
        return "unclear"
    return ("yes" if margin > 0 else "no") + (_ONE_SEED if math.isnan(error) else "")


def _row(finding: str, found: str, holds: str) -> dict[str, str]:
    return {"finding": finding, "found": found, "holds": holds}
