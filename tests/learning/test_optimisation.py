import numpy as np
import pytest
import torch

from jetforge.learning.optimisation import Ranger, learning_rate_factor, make_optimizer
from jetforge.learning.published import PUBLISHED
from jetforge.learning.sections import TrainingSection

OPTIMIZERS = ("adamw", "adam", "radam", "ranger", "lion", "sgd")


def test_the_published_schedule_divides_by_ten_at_epochs_10_and_20():
    factor = learning_rate_factor(TrainingSection(**PUBLISHED["lundnet5"].settings), steps_per_epoch=7)
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


def by_epoch(schedule, epochs, steps_per_epoch=10, **settings):
    training = TrainingSection(schedule=schedule, epochs=epochs, **settings)
    factor = learning_rate_factor(training, steps_per_epoch)
    return [factor(step) for step in range(0, epochs * steps_per_epoch, steps_per_epoch)]


def test_restarts_are_those_of_lorentznet():
    """The learning rates that its released training logged (logs/top/pretrained/train-result.json), over 1e-3."""
    logged = [
        0.2, 0.4, 0.6, 0.8, 1, 0.8535534, 0.5, 0.1464466, 1, 0.9619398, 0.8535534, 0.6913417, 0.5, 0.3086583,
        0.1464466, 0.0380602, 1, 0.9903926, 0.9619398, 0.9157348, 0.8535534, 0.7777851, 0.6913417, 0.5975452, 0.5,
        0.4024548, 0.3086583, 0.2222149, 0.1464466, 0.0842652, 0.0380602, 0.0096074, 0.0048037, 0.0024018, 0.0012009,
    ]  # fmt: skip
    assert by_epoch("cosine_restarts", 35, warmup_epochs=5) == pytest.approx(logged, abs=1e-6)


@pytest.mark.parametrize("epochs", [1, 2, 3, 5, 9, 17])
def test_every_schedule_works_for_any_number_of_epochs(epochs):
    for schedule in ("cosine_restarts", "flat_exponential", "flat_cosine", "cosine_twice", "one_cycle", "steps"):
        factors = by_epoch(schedule, epochs, warmup_epochs=3)
        assert all(0 < factor <= 1 for factor in factors), schedule
        assert learning_rate_factor(TrainingSection(schedule=schedule, epochs=epochs), 10)(10 * epochs) >= 0


def test_flat_exponential_is_weavers_flat_decay():
    """Of 20 epochs the last 6 fall, each by 0.01^(1/6): MultiStepLR at 14 to 19, as weaver has it."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=range(14, 20), gamma=0.01 ** (1 / 6))
    wanted = []
    for _ in range(20):
        wanted.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert by_epoch("flat_exponential", 20) == pytest.approx(wanted)
    assert wanted[-1] == pytest.approx(0.01)


def test_flat_cosine_and_two_cosines():
    assert by_epoch("flat_cosine", 10) == pytest.approx([1] * 8 + [0.7525, 0.2575])
    assert by_epoch("cosine_twice", 8) == pytest.approx([1, 0.853553, 0.5, 0.146447] * 2, abs=1e-6)


def test_one_cycle_is_that_of_particlenet():
    """3e-4 to 3e-3 in 8 epochs and back in 8, then down to 5e-7 in 4 (arXiv:1902.08570)."""
    factors = by_epoch("one_cycle", 20)
    assert factors[:17] == pytest.approx([0.1 + 0.9 * (8 - abs(epoch - 8)) / 8 for epoch in range(17)])
    factor = learning_rate_factor(TrainingSection(schedule="one_cycle", epochs=20), 10)
    assert 3e-3 * factor(200) == pytest.approx(5e-7)


def rectified(gradients, start, rate, decay):
    """RAdam, decoupled decay, and a look back every six steps, as arXiv:1908.03265 and 1907.08610 write them."""
    b1, b2, eps = 0.95, 0.999, 1e-5
    weights, slow, m, v = start, start, 0.0, 0.0
    longest = 2 / (1 - b2) - 1
    for t, gradient in enumerate(gradients, start=1):
        m, v = b1 * m + (1 - b1) * gradient, b2 * v + (1 - b2) * gradient**2
        length = longest - 2 * t * b2**t / (1 - b2**t)
        weights = weights * (1 - rate * decay)
        step = m / (1 - b1**t)
        if length > 5:
            r = np.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
            step = r * step * np.sqrt(1 - b2**t) / (np.sqrt(v) + eps)
        weights = weights - rate * step
        if t % 6 == 0:
            slow = slow + 0.5 * (weights - slow)
            weights = slow
    return weights


def test_ranger_is_its_formula():
    random = np.random.default_rng(2)
    start, gradients = random.normal(size=(3, 4)), random.normal(size=(25, 3, 4))
    weight = torch.nn.Parameter(torch.from_numpy(start.copy()))
    training = TrainingSection(optimizer="ranger", learning_rate=0.02, weight_decay=0.1)
    optimizer = make_optimizer([weight], training)
    for gradient in gradients:
        weight.grad = torch.from_numpy(gradient)
        optimizer.step()
    np.testing.assert_allclose(weight.detach().numpy(), rectified(gradients, start, 0.02, 0.1), rtol=1e-12)


def test_a_parameter_without_a_gradient_at_first_can_join_later():
    weights = [torch.nn.Parameter(torch.ones(2, 2)) for _ in range(2)]
    optimizer = Ranger(weights, lr=0.1)
    for step in range(8):
        weights[0].grad = torch.ones(2, 2)
        weights[1].grad = torch.ones(2, 2) if step > 2 else None
        optimizer.step()
    assert all((weight != 1).all() for weight in weights)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_on_from_its_state(name, tmp_path):
    """Stopped after any step, stored, and loaded with nothing but tensors and plain values, it takes the same steps."""

    def made():
        torch.manual_seed(3)
        layer = torch.nn.Linear(4, 3)
        return layer, make_optimizer(layer.parameters(), TrainingSection(optimizer=name, learning_rate=0.01))

    def train(layer, optimizer, steps):
        for step in steps:
            optimizer.zero_grad()
            layer(torch.full((5, 4), float(step))).square().sum().backward()
            optimizer.step()

    whole, optimizer = made()
    train(whole, optimizer, range(14))
    layer, optimizer = made()
    train(layer, optimizer, range(8))
    torch.save({"layer": layer.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "state")
    state = torch.load(tmp_path / "state", weights_only=True)
    again, optimizer = made()
    again.load_state_dict(state["layer"])
    optimizer.load_state_dict(state["optimizer"])
    train(again, optimizer, range(8, 14))
    assert torch.equal(again.weight, whole.weight)
    assert torch.equal(again.bias, whole.bias)


def test_betas_are_handed_on():
    training = TrainingSection(optimizer="lion", betas=(0.9, 0.999))
    assert tuple(make_optimizer(torch.nn.Linear(2, 2).parameters(), training).param_groups[0]["betas"]) == (0.9, 0.999)
