"""What studies write down of what they measured, and read again when they are run again.

What cannot be read, or is of something else than what is there now, is measured again: nothing here raises.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from jetforge.evaluation.metrics import EFFICIENCIES

Found = TypeVar("Found")


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, frozen=True)


class Rejection(_Part):
    """A background rejection with its limits, each None where it is infinite."""

    value: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
    low: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None
    high: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None


class Metrics(_Part):
    """Of `jetforge.evaluation.metrics.evaluate_scores`: what studies read."""

    auc: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
    num_jets: int
    rejection: Mapping[str, Rejection]

    @model_validator(mode="after")
    def _all_efficiencies_are_there(self) -> Self:
        if not self.rejection.keys() >= {f"{efficiency:g}" for efficiency in EFFICIENCIES}:
            raise ValueError("rejections are missing")
        return self


class Epoch(_Part):
    """A row of `metrics.jsonl`: what studies read."""

    epoch: int
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    preparation_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class CellRecord(_Part):
    """What is measured of a training.

    Attributes
    ----------
    measured
        Which weights, on which jets, with which scores.
    metrics
        What came out.
    num_parameters
        Of the tagger.
    """

    measured: Mapping[str, Any]
    metrics: Metrics
    num_parameters: int


def read_record(path: Path) -> dict[str, Any]:
    """Return the mapping in a JSON file, an empty one where there is none."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def kept(kind: type[Found], found: Any) -> Found | None:
    """Return what an earlier call found, None where it is not of this kind."""
    try:
        return TypeAdapter(kind).validate_json(json.dumps(found), strict=True)
    except ValidationError:
        return None


def kept_entry(kind: type[Found], record: Mapping[str, Any], name: str, of: Any) -> Found | None:
    """Return the entry ``{"of": ..., "found": ...}`` of a record, None where there is none of the very same."""
    entry = record.get(name)
    return kept(kind, entry.get("found")) if isinstance(entry, dict) and entry.get("of") == of else None
