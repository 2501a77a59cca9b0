"""Measured numbers as people write them, for the terminal and for the report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jetforge.evaluation.bins import BinnedRejection
from jetforge.evaluation.intervals import Interval


def rejection_table(metrics: Mapping[str, Any]) -> list[dict[str, str]]:
    """Headline numbers of an evaluation, ready to print.

    Parameters
    ----------
    metrics : mapping
        What `evaluate_scores` or `evaluate_classes` returns, or `metrics.json` read back.

    Returns
    -------
    list of dict
        Rows with the keys "quantity" and "value"; for more than two classes also "signal", which is empty
        for numbers of all classes together.
    """
    rows = [
        {"quantity": "AUC", "value": format_error(metrics.get("auc"), metrics.get("auc_error"))},
        {
            "quantity": "accuracy",
            "value": format_error(metrics.get("accuracy"), metrics.get("accuracy_error")),
        },
        *_rejection_rows(metrics.get("rejection", {})),
    ]
    if "signals" not in metrics:
        return rows
    rows[0]["quantity"] = "AUC (one versus one, mean)"
    rows = [{"signal": "", **row} for row in rows]
    for signal, numbers in metrics["signals"].items():
        auc = format_error(numbers.get("auc"), numbers.get("auc_error"))
        rows.append({"signal": signal, "quantity": f"AUC against {metrics['background']}", "value": auc})
        rows += [{"signal": signal, **row} for row in _rejection_rows(numbers["rejection"])]
    return rows


def bin_table(bins: Sequence[BinnedRejection], name: str = "pT [GeV]") -> list[dict[str, str]]:
    """Rejection in bins, ready to print; `name` heads the column of the bins.

    "> x" is the lower limit of a rejection that is infinite because no background jet of the bin survives.
    """
    rows = []
    for entry in bins:
        row = {
            name: f"{entry.low_edge:g} to {entry.high_edge:g}",
            "signal jets": f"{entry.num_signal}",
            "background jets": f"{entry.num_background}",
            "AUC": entry.note or format_error(entry.auc, entry.auc_error),
        }
        for column, number in (
            ("εS, one threshold", entry.signal_efficiency),
            ("1/εB, one threshold", entry.global_rejection),
            ("1/εB, own threshold", entry.local_rejection),
        ):
            row[column] = "" if number is None else format_interval(*number)
        rows.append(row)
    return rows


def format_rejection(rejection: Mapping[str, float | None] | Interval) -> str:
    """Write a rejection with its 68.27 % interval, such as "1298 -40 +46".

    Parameters
    ----------
    rejection : mapping or Interval
        With `value`, `low`, `high`; None and infinity mean the same.

    Returns
    -------
    str
        "> 543 (no background jet survives)" where the rejection is infinite, with the lower limit.
    """
    numbers = rejection._asdict() if isinstance(rejection, Interval) else rejection
    value, low, high = (
        math.inf if numbers[key] is None else float(numbers[key] or 0.0) for key in ("value", "low", "high")
    )
    text = format_interval(value, low, high)
    return f"{text} (no background jet survives)" if math.isinf(value) else text


def format_interval(value: float, low: float, high: float) -> str:
    """Write "value -down +up", rounded to two digits of the smaller error; "> low" of an infinite value."""
    if math.isinf(value):
        return f"> {_plain_number(low)}"
    down, up = value - low, high - value
    errors = [error for error in (down, up) if error > 0 and math.isfinite(error)]
    if not errors:
        return _plain_number(value)
    decimals = _decimals(min(errors))
    above = "∞" if math.isinf(up) else _rounded(max(up, 0.0), decimals)
    return f"{_rounded(value, decimals)} -{_rounded(max(down, 0.0), decimals)} +{above}"


def format_error(value: float | None, error: float | None) -> str:
    """Write "value ± error", rounded to two digits of the error; without one, to four decimals."""
    if value is None:
        return "-"
    if error is None or not error > 0 or not math.isfinite(error):
        return f"{value:.4f}"
    decimals = _decimals(error)
    return f"{_rounded(value, decimals)} ± {_rounded(error, decimals)}"


def _rejection_rows(rejection: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {"quantity": f"1/εB at εS = {efficiency}", "value": format_rejection(numbers)}
        for efficiency, numbers in rejection.items()
    ]


def _decimals(error: float) -> int:
    """Decimals that show two significant digits of `error`; negative for errors of 100 and more."""
    return 1 - math.floor(math.log10(float(f"{error:.1e}")))


def _rounded(number: float, decimals: int) -> str:
    return f"{round(number, decimals):.{max(decimals, 0)}f}"


def _plain_number(number: float) -> str:
    """Three significant digits, never in powers of ten below a million."""
    digits = 2 - math.floor(math.log10(abs(number))) if number else 0
    return _rounded(number, digits) if abs(number) < 1e6 else f"{number:.3g}"
