import pytest
import torch

from jetforge.learning.optimisation import learning_rate_factor, make_optimizer
from jetforge.learning.recipe import PUBLISHED_TRAINING, TrainingSection


def test_the_published_schedule_divides_by_ten_at_epochs_10_and_20():
    factor = learning_rate_factor(TrainingSection(**PUBLISHED_TRAINING), steps_per_epoch=7)
    by_epoch = [factor(7 * epoch) for epoch in range(30)]
    assert by_epoch == pytest.approx([1] * 10 + [0.1] * 10 + [0.01] * 10)
    assert factor(7 * 10 - 1) == 1


def test_the_cosine_warms_up_and_ends_at_one_percent():
    training = TrainingSection(epochs=10, warmup_epochs=2)
    factor = learning_rate_factor(training, steps_per_epoch=10)
    values = [factor(step) for step in range(100)]
    assert values[:20] == sorted(values[:20])
    assert values[20:] == sorted(values[20:], reverse=True)
    assert max(values) == pytest.approx(1)
    assert values[0] == pytest.approx(1 / 21)
    assert factor(100) == pytest.approx(0.01)


def test_adamw_decays_matrices_and_no_vectors():
    optimizer = make_optimizer(torch.nn.Linear(3, 2).parameters(), TrainingSection(weight_decay=0.5))
    decays = {
        parameter.ndim: group["weight_decay"] for group in optimizer.param_groups for parameter in group["params"]
    }
    assert decays == {2: 0.5, 1: 0.0}


def test_frozen_parameters_are_not_trained():
    layer = torch.nn.Linear(3, 2)
    layer.bias.requires_grad_(False)
    optimizer = make_optimizer(layer.parameters(), TrainingSection(optimizer="adam"))
    assert [p.ndim for group in optimizer.param_groups for p in group["params"]] == [2]
