"""The jets that a recipe trains on, and what they must have."""

from __future__ import annotations

import numpy as np

from jetforge.errors import DataError
from jetforge.jets.dataset import Dataset, open_dataset
from jetforge.jets.edit.fields import each_part
from jetforge.learning.distill import check_unlabelled
from jetforge.learning.recipe import Recipe
from jetforge.learning.unlabelled import WithUnlabelled
from jetforge.taggers import Tagger


def dataset_of(recipe: Recipe) -> Dataset:
    """Return the dataset of a recipe, with as many training jets as it asks for.

    Raises
    ------
    DataError
        If there is no whole dataset, or it has fewer training jets.
    """
    dataset, num_jets = open_dataset(recipe.data), recipe.training.train_jets
    if num_jets is None or num_jets == dataset.num_jets("train"):
        return dataset
    return dataset.first("train", num_jets)


def with_unlabelled(recipe: Recipe, dataset: Dataset) -> Dataset:
    """Return a dataset with the jets without labels that a recipe learns from beside it.

    Raises
    ------
    DataError
        If there is no such dataset, or its jets go with nothing.
    """
    if recipe.distill is None or recipe.distill.unlabelled is None:
        return dataset
    unlabelled = open_dataset(recipe.distill.unlabelled)
    check_unlabelled(f"distill.unlabelled: {recipe.distill.unlabelled}", dataset, unlabelled)
    return WithUnlabelled(dataset, unlabelled)


def initialise(tagger: Tagger, dataset: Dataset, learnt_from: Dataset) -> None:
    """Fit the representation unless the recipe gives its normalisation; write down where the data came from.

    ``learnt_from`` is the dataset itself, or `with_unlabelled`: a run is of all jets that it learns from.
    """
    if not tagger.representation.fitted:
        columns = dataset.present(tagger.representation.columns)
        tagger.representation.fit(dataset.blocks("train", block_jets=20_000, columns=columns))
    if len(dataset.classes) == len(tagger.classes):
        tagger.classes = dataset.classes
    tagger.provenance = {
        **tagger.provenance,
        "dataset": str(dataset.path),
        "jets": {split: learnt_from.num_jets(split) for split in dataset.splits},
        "fingerprint": learnt_from.fingerprint,
        **dataset.manifest.provenance,
    }


def check_pretrainable(dataset: Dataset) -> None:
    """Refuse a dataset without jets to learn from or to validate with.

    Raises
    ------
    DataError
        Naming the split.
    """
    for split in ("train", "val"):
        if not dataset.num_jets(split):
            raise DataError(f"{dataset.path}: no jets in the split '{split}'; training needs train and val")


def check_trainable(dataset: Dataset) -> None:
    """Refuse a dataset that a tagger cannot be trained on.

    Raises
    ------
    DataError
        If its jets have no labels, one of the splits train and val lacks jets or a class, or weights make no sense.
    """
    if not dataset.labelled:
        raise DataError(f"{dataset.path}: its jets have no labels: a tagger cannot be trained on them")
    if len(dataset.classes) < 2:
        raise DataError(f"{dataset.path}: one class only ({dataset.classes[0]}); a tagger needs two or more")
    for split in ("train", "val"):
        if not dataset.num_jets(split):
            raise DataError(f"{dataset.path}: no jets in the split '{split}'; training needs train and val")
        seen: set[int] = set()
        for index in range(len(dataset.parts(split))):
            seen.update(np.unique(dataset.read_part(split, index, columns=()).label).tolist())
            if len(seen) == len(dataset.classes):
                break
        else:
            there = ", ".join(dataset.classes[label] for label in sorted(seen))
            raise DataError(
                f"{dataset.path}: the split '{split}' holds {there} only, of {len(dataset.classes)} classes"
            )
        if "weight" in dataset.manifest.jet_fields:
            _check_weights(dataset, split)


def _check_weights(dataset: Dataset, split: str) -> None:
    """Refuse weights by which a class counts for nothing, or for less: the weighted loss and AUC would be NaN."""
    totals = np.zeros(len(dataset.classes))
    jets = 0
    for _, _, fields in each_part(dataset, split, ("label", "weight")):
        label = fields["label"]
        if (bad := ~(np.isfinite(fields["weight"]) & (fields["weight"] >= 0))).any():
            jet = int(np.argmax(bad))
            raise DataError(
                f"{dataset.path}: jet {jets + jet} of the split '{split}' has the weight {fields['weight'][jet]:g}; "
                "training needs finite weights of 0 or more: mend the weights, or make the dataset without them"
            )
        jets += len(label)
        known = (label >= 0) & (label < len(totals))  # others are refused when the jets are read
        totals += np.bincount(label[known], fields["weight"][known], minlength=len(totals))
    for name, total in zip(dataset.classes, totals, strict=True):
        if not total > 0:
            raise DataError(
                f"{dataset.path}: the weights of the class '{name}' in the split '{split}' add up to {total:g}; "
                "training needs a positive sum for every class: mend the weights, or make the dataset without them"
            )
