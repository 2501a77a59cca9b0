"""The sections of a recipe: what each field may be, and what it is if it is not given."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

_Fraction = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """Some fields of a YAML file; an unknown one is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class GenerateSection(Section):
    """Which jets to generate where the dataset does not exist yet; see `jetforge.generate`."""

    presets: Annotated[tuple[str, ...], Field(min_length=1)]
    jets: Annotated[int, Field(gt=0)]
    seed: Annotated[int, Field(ge=0)] = 1
    split: tuple[float, float, float] = (0.8, 0.1, 0.1)
    part_jets: Annotated[int, Field(gt=0)] = 2000


class TaggerSection(Section):
    """Which tagger, and its arguments beyond the number of classes."""

    name: str
    arguments: dict[str, Any] = {}

    @field_validator("arguments")
    @classmethod
    def _leave_out_what_follows(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        for name in ("name", "num_classes"):
            if name in arguments:
                raise ValueError(f"'{name}' is not given here: it follows from the recipe and the dataset")
        if "representation" in arguments:
            raise ValueError("'representation' is not given here: it is a section of the recipe itself")
        return arguments


class AuxiliarySection(Section):
    """A second thing to learn beside the class: a number of each jet, from what the tagger embeds.

    ``target`` is ``mass``, the logarithm of the mass of a jet's constituents, or the name of a field of the jets.
    """

    target: Annotated[str, Field(min_length=1)]
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1


class TrainingSection(Section):
    """How the tagger is trained.

    The defaults are a modern schedule: AdamW, linear warm-up, cosine decay. `jetforge.learning.optimisation` describes
    optimisers and schedules, `jetforge.learning.published` says how the taggers' papers trained them.
    """

    epochs: Annotated[int, Field(gt=0)] = 15
    batch_size: Annotated[int, Field(gt=0)] = 256
    accumulate: Annotated[int, Field(gt=0)] = 1
    bucket: bool = False
    optimizer: Literal["adamw", "adam", "radam", "ranger", "lion", "sgd"] = "adamw"
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-3
    betas: tuple[_Fraction, _Fraction] | None = None
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    schedule: Literal[
        "cosine", "steps", "constant", "flat_cosine", "flat_exponential", "cosine_restarts", "cosine_twice", "one_cycle"
    ] = "cosine"
    warmup_epochs: Annotated[float, Field(ge=0)] = 1.0
    gradient_clip: Annotated[float, Field(gt=0)] | None = 1.0
    label_smoothing: _Fraction = 0.0
    auxiliary: AuxiliarySection | None = None
    monitor: Literal["val_auc", "val_accuracy", "val_loss"] = "val_auc"
    early_stopping: Annotated[int, Field(gt=0)] | None = None
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    compile: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    train_jets: Annotated[int, Field(gt=0)] | None = None
    cache_jets: Annotated[int, Field(ge=0)] = 500_000
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 5.0

    @field_validator("betas")
    @classmethod
    def _moments_have_betas(cls, betas: Any, info: ValidationInfo) -> Any:
        if betas is not None and info.data.get("optimizer") == "sgd":
            raise ValueError("betas are of Adam and its relatives, sgd has none")
        return betas


class TransferMode(Section):
    """Which of what is taken over learns anew, and how fast; see `jetforge.learning.transfer`.

    Settings that are None are chosen by the mode; one that has no meaning for the mode is refused.
    """

    mode: Literal["finetune", "frozen", "gradual", "adapters"] = "finetune"
    boundary: str | None = None
    new_head: bool = False
    rate_divisor: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = None
    unfreeze_every: Annotated[int, Field(gt=0)] | None = None
    rank: Annotated[int, Field(gt=0)] | None = None
    cached: bool | None = None

    @model_validator(mode="after")
    def _refuse_what_has_no_meaning(self) -> Self:
        for name, modes in _MODES_OF.items():
            if getattr(self, name, None) is not None and self.mode not in modes:
                raise ValueError(f"{name} is for the mode {' or '.join(modes)}, not for {self.mode}; leave it out")
        return self


class TransferSection(TransferMode):
    """What a training takes over from an earlier run, and which of it learns anew."""

    source: Annotated[str, Field(min_length=1)]
    cache: str | None = None
    source_sha256: str | None = None

    @model_validator(mode="after")
    def _refuse_a_place_for_nothing(self) -> Self:
        if self.cache is not None and self.cached is False:
            raise ValueError("cache is a directory for what cached: false forbids; leave one of them out")
        return self


# Modes of a transfer that know a setting.
_MODES_OF = {
    "boundary": ("frozen",),
    "layer_decay": ("finetune", "gradual"),
    "unfreeze_every": ("gradual",),
    "rank": ("adapters",),
    "cached": ("frozen",),
    "cache": ("frozen",),
}


class DistillMode(Section):
    """What a student learns of its teachers; see `jetforge.learning.distill`."""

    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 3.0
    weight: Annotated[float, Field(ge=0, le=1)] = 0.9
    features: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    relations: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0

    @property
    def learns_features(self) -> bool:
        """Whether what a teacher embeds is learnt from, and not its scores alone."""
        return self.features > 0 or self.relations > 0

    @model_validator(mode="after")
    def _something_is_learnt(self) -> Self:
        if self.weight == 0 and not self.learns_features:
            raise ValueError("weight, features and relations are all 0: nothing is learnt from a teacher; raise one")
        return self


class DistillSection(DistillMode):
    """From which teachers a student learns, and what of them."""

    teachers: Annotated[tuple[str, ...], Field(min_length=1)]
    unlabelled: str | None = None
    cache: str | None = None
    teacher_sha256: tuple[str, ...] | None = None

    @field_validator("teachers")
    @classmethod
    def _each_counts_once(cls, teachers: tuple[str, ...]) -> tuple[str, ...]:
        for number, teacher in enumerate(teachers):
            if teacher in teachers[:number]:
                raise ValueError(f"{teacher} is given twice; give each teacher once")
        return teachers

    @model_validator(mode="after")
    def _a_checksum_each(self) -> Self:
        if self.teacher_sha256 is not None and len(self.teacher_sha256) != len(self.teachers):
            raise ValueError(
                f"teacher_sha256: {len(self.teacher_sha256)} checksums for {len(self.teachers)} teachers; give one "
                "each, or leave them out"
            )
        return self


class PretrainSection(Section):
    """What is learnt of jets without their labels; see `jetforge.learning.pretrain`.

    ``mask`` is for the objective ``masked``, all others are for ``contrastive``: see also
    `jetforge.representations.augment.Augmentation`.
    """

    objective: Literal["masked", "contrastive"]
    mask: Annotated[float, Field(gt=0, lt=1)] = 0.3
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1
    projection: Annotated[int, Field(gt=0)] = 64
    rotate: bool = True
    shift: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    smear: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.1
    split: _Fraction = 0.1

    @model_validator(mode="after")
    def _refuse_what_has_no_meaning(self) -> Self:
        for name, field in type(self).model_fields.items():
            objective = "masked" if name == "mask" else "contrastive"
            if name != "objective" and objective != self.objective and getattr(self, name) != field.default:
                raise ValueError(f"{name} is for the objective {objective}, not for {self.objective}; leave it out")
        return self


class EvaluationSection(Section):
    """On which split, and with which interval, the tagger is measured."""

    split: Literal["train", "val", "test"] = "test"
    interval: Literal["exact", "bootstrap"] = "bootstrap"
