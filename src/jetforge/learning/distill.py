"""Distillation: a student network learns from a teacher's scores, and from what it makes of a jet.

The loss of a jet is ``(1 - weight) CE + weight T^2 KL(teacher || student)``: the cross entropy with its label, and the
divergence of the student's probabilities from the teacher's, both softened by the temperature T (arXiv:1503.02531).
With several teachers the target is the mean of their softened probabilities. Two more terms may be added, each by its
factor:

``features``: the mean squared difference between what the first teacher embeds, each number in units of its spread over
the training jets, and a linear map, learnt beside the student and then forgotten, of what the student embeds
(arXiv:1412.6550).
``relations``: how much the distances between the jets of a batch differ between the two embeddings, each in units of
the mean distance, by Huber's loss (arXiv:1904.05068, equation 7).

Teacher and student each read the jets by their own representations. A teacher runs once over the jets; what it gives is
kept on disk, see `jetforge.learning.kept_outputs`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from jetforge.errors import DataError, RecipeError, TaggerError
from jetforge.jets.dataset import Dataset
from jetforge.learning.kept_outputs import KeptOutputs, state_digest
from jetforge.learning.layout import refuse_unfinished, refuse_without_head
from jetforge.learning.recipe import Recipe
from jetforge.learning.sections import DistillSection
from jetforge.representations import DenseBatch, representation_to_dict
from jetforge.taggers import Tagger, load_tagger, weights_sha256


def with_teachers(recipe: Recipe) -> tuple[Recipe, tuple[Tagger, ...]]:
    """Return a recipe that says which weights its teachers have, and the teachers.

    Parameters
    ----------
    recipe
        Any recipe; one without a distillation is returned as it is, without teachers.

    Raises
    ------
    RecipeError
        If a teacher is not the one that the recipe was written for.
    TaggerError
        If there is no whole tagger, or its training is unfinished.
    """
    distill = recipe.distill
    if distill is None:
        return recipe, ()
    for path in distill.teachers:
        refuse_unfinished(Path(path))
    teachers = tuple(load_tagger(path) for path in distill.teachers)
    for path, teacher in zip(distill.teachers, teachers, strict=True):
        refuse_without_head(path, teacher)
    found = tuple(weights_sha256(path) for path in distill.teachers)
    for path, there, wanted in zip(distill.teachers, found, distill.teacher_sha256 or found, strict=True):
        if there != wanted:
            raise RecipeError(
                f"distill.teachers: {path} has the sha256 {there[:12]}..., not {wanted[:12]}...: it was trained again "
                "since this recipe was written; take another teacher, or leave teacher_sha256 out"
            )
    resolved = distill.model_copy(update={"teacher_sha256": found})
    return recipe.model_copy(update={"distill": resolved}), teachers


def check_teachers(teachers: Sequence[Tagger], distill: DistillSection, dataset: Dataset) -> None:
    """Refuse teachers that do not tell the classes of a dataset apart.

    Raises
    ------
    TaggerError
        Naming the teacher and the classes.
    """
    for path, teacher in zip(distill.teachers, teachers, strict=True):
        if set(teacher.classes) != set(dataset.classes):
            raise TaggerError(
                f"distill.teachers: {path} tells {', '.join(teacher.classes)} apart, the jets of {dataset.path} are "
                f"{', '.join(dataset.classes)}; take a teacher of the same classes, or fine-tune it first"
            )


def teacher_outputs(
    teachers: Sequence[Tagger], distill: DistillSection, dataset: Dataset, folder: Path, device: torch.device | str
) -> list[KeptOutputs]:
    """Return what each teacher gives for the jets of a dataset: its logits in the order of the dataset's classes.

    The first teacher's are followed by what it embeds, where that is learnt from.

    Parameters
    ----------
    teachers, distill
        Of the recipe.
    dataset
        The jets.
    folder
        Where the outputs are kept, each teacher's in a directory of its own.
    device
        Where the teachers run.
    """
    return [
        _outputs_of(teacher, distill.learns_features and number == 0, dataset, folder / str(number), device)
        for number, teacher in enumerate(teachers)
    ]


def _outputs_of(
    teacher: Tagger, embedding: bool, dataset: Dataset, folder: Path, device: torch.device | str
) -> KeptOutputs:
    order = [teacher.classes.index(name) for name in dataset.classes]

    def outputs(batch: Any) -> DenseBatch:
        if not embedding:
            return DenseBatch(teacher(batch)[:, order].float())
        jets = teacher.embed(batch)
        return DenseBatch(torch.cat([teacher.classify(jets)[:, order].float(), jets.float()], dim=1))

    settings = [
        teacher.name, teacher.arguments, representation_to_dict(teacher.representation), order, embedding,
        state_digest(teacher),
    ]  # fmt: skip
    fingerprint = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    return KeptOutputs(
        teacher, outputs, teacher.representation, what=("teacher", "distill.cache"), fingerprint=fingerprint,
        dataset=dataset, folder=folder, device=device,
    )  # fmt: skip


class Distillation(nn.Module):
    """What a student loses by not being like its teachers.

    Parameters
    ----------
    distill
        The recipe's section.
    rows
        The teachers' outputs for the training jets, shape (n_jets, width): the logits of each teacher, then what the
        first one embeds, where that is learnt from.
    num_classes
        Number of classes.
    width
        Width of what the student embeds; 0 where that is not asked for.
    """

    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(self, distill: DistillSection, rows: torch.Tensor, num_classes: int, width: int = 0) -> None:
        super().__init__()
        self.settings = distill
        self.num_classes, self.num_teachers = num_classes, len(distill.teachers)
        embedded = rows[:, num_classes * self.num_teachers :]
        self.map: nn.Linear | None = None
        if distill.features:
            mean, spread = embedded.double().mean(0), embedded.double().std(0)
            # A number that does not vary has nothing to be learnt.
            self.register_buffer("mean", mean.float(), persistent=False)
            self.register_buffer("spread", torch.where(spread > 1e-6, spread, 1.0).float(), persistent=False)
            self.map = nn.Linear(width, embedded.shape[1])

    def soft_target(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the teachers' mean softened probabilities, shape (n_jets, n_classes)."""
        logits = rows[:, : self.num_classes * self.num_teachers].reshape(-1, self.num_teachers, self.num_classes)
        return torch.softmax(logits.float() / self.settings.temperature, dim=2).mean(1)

    def forward(self, logits: torch.Tensor, embedded: torch.Tensor | None, rows: torch.Tensor) -> torch.Tensor:
        """Return what each jet adds to the loss beside its label, shape (n_jets,).

        Parameters
        ----------
        logits
            Of the student, shape (n_jets, n_classes).
        embedded
            By the student, shape (n_jets, width); needed for ``features`` and ``relations``.
        rows
            Of the teachers, shape (n_jets, width).
        """
        settings = self.settings
        own = functional.log_softmax(logits.float() / settings.temperature, dim=1)
        divergence = functional.kl_div(own, self.soft_target(rows), reduction="none").sum(1)
        loss = settings.weight * settings.temperature**2 * divergence
        if embedded is None:
            return loss
        theirs = rows[:, self.num_classes * self.num_teachers :].float()
        if self.map is not None:
            wanted = (theirs - self.mean) / self.spread
            loss = loss + settings.features * (self.map(embedded.float()) - wanted).square().mean(1)
        if settings.relations:
            loss = loss + settings.relations * relation_loss(embedded.float(), theirs)
        return loss


def relation_loss(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Return how much the distances from each jet to the others differ (arXiv:1904.05068, equations 4 to 7).

    Parameters
    ----------
    student, teacher
        Embedded jets, shapes (n_jets, any width).

    Returns
    -------
    Tensor, shape (n_jets,)
    """
    if len(student) < 2:
        return student.new_zeros(len(student))
    # In half precision the differences of squares would be lost.
    with torch.autocast(student.device.type, enabled=False):
        ours, theirs = (_distances(rows) for rows in (student, teacher))
    return functional.smooth_l1_loss(ours, theirs, reduction="none").sum(1) / (len(student) - 1)


def _distances(rows: torch.Tensor) -> torch.Tensor:
    """Return all distances between rows in units of their mean, shape (n, n)."""
    rows = rows - rows.mean(0)
    products = rows @ rows.T
    squares = products.diagonal()
    squared = (squares[:, None] + squares - 2 * products).clamp(min=0)
    # The root has no derivative at 0, where a jet meets itself.
    distances = torch.where(squared > 0, squared, 1.0).sqrt() * (squared > 0)
    return distances / distances.sum().clamp(min=1e-12) * (len(rows) * (len(rows) - 1))


def check_unlabelled(where: str, labelled: Dataset, unlabelled: Dataset) -> None:
    """Refuse jets without labels that go with nothing.

    Parameters
    ----------
    where
        What the error begins with.
    labelled, unlabelled
        The jets.

    Raises
    ------
    DataError
        If there are none to train on, they are jets of the labelled dataset, or lack a column of constituents that
        those have.
    """
    there = {part.sha256: split for split, parts in labelled.manifest.parts.items() for part in parts}
    for part in unlabelled.parts("train"):
        if part.jets and part.sha256 in there:
            raise DataError(
                f"{where}: {unlabelled.path / part.file} holds {there[part.sha256]} jets of {labelled.path}; give jets "
                "that are not among the labelled ones"
            )
    missing = [
        name for name in labelled.manifest.constituent_fields if name not in unlabelled.manifest.constituent_fields
    ]
    if missing:
        raise DataError(
            f"{where}: its constituents lack {', '.join(missing)}, which those of {labelled.path} have; make both "
            "in the same way"
        )
