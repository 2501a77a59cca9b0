"""Draw the figures of the physics pages: each quantity for signal and background of our own samples.

python benchmarks/physics_figures.py [--data data/toptag] [--jets 20000] [--out docs/images] [--only NAME ...]
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

import jetforge
from jetforge import physics
from jetforge.evaluation import plot_lund_planes
from jetforge.evaluation.image_plots import plot_average_images
from jetforge.evaluation.style import BACKGROUND_COLOUR, SIGNAL_COLOUR, hep_style

Values = npt.NDArray[Any]
Samples = Mapping[str, ak.Array]

COLOURS = {"qcd": BACKGROUND_COLOUR, "top": SIGNAL_COLOUR}


class Panel(NamedTuple):
    """One histogram: what is drawn for a sample, and how."""

    label: str
    values: Callable[[ak.Array], Values]
    edges: Values
    log: bool = False


def histogram(axes: Axes, panel: Panel, samples: Samples) -> None:
    """Draw the normalised distribution of each sample, with its statistical errors."""
    for name, constituents in samples.items():
        values = np.asarray(panel.values(constituents), dtype=float)
        counts, edges = np.histogram(values, panel.edges)
        scale = 1 / (len(values) * np.diff(edges))
        axes.stairs(counts * scale, edges, color=COLOURS[name], label=name, linewidth=1.4)
        middle = 0.5 * (edges[1:] + edges[:-1])
        axes.errorbar(middle, counts * scale, np.sqrt(counts) * scale, fmt="none", color=COLOURS[name], linewidth=0.8)
    axes.set_xlabel(panel.label)
    axes.set_xlim(panel.edges[0], panel.edges[-1])
    if panel.log:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)


def distributions(*panels: Panel) -> Callable[[Samples], Figure]:
    def draw(samples: Samples) -> Figure:
        with hep_style():
            figure = Figure(figsize=(4.4 * len(panels), 3.6), layout="constrained")
            for i, panel in enumerate(panels):
                axes = figure.add_subplot(1, len(panels), i + 1)
                histogram(axes, panel, samples)
                if i == 0:
                    axes.set_ylabel("Fraction of jets per unit")
                    axes.legend()
        return figure

    return draw


def observable(name: str, label: str, edges: Values, log: bool = False) -> Panel:
    """Return the panel of an observable by its name."""
    return Panel(label, lambda jets: physics.observables(jets, [name])[name], edges, log)


def images(samples: Samples) -> Figure:
    means = {name: physics.average_image(jets) for name, jets in samples.items()}
    return plot_average_images(means, title="Mean jet images")


def lund_planes(samples: Samples) -> Figure:
    planes = {
        name: physics.lund_density(jets, bins=30, x_range=(0, 6), y_range=(-2, 6)) for name, jets in samples.items()
    }
    return plot_lund_planes(planes, pt=600)


def integrated_shapes(axes: Axes, samples: Samples) -> None:
    """Draw the mean of psi(r) and the band that holds the middle 68 % of the jets."""
    for name, jets in samples.items():
        shape = physics.integrated_shape(jets, R0=0.8, n_bins=16)
        r = np.concatenate([[0], np.linspace(0.05, 0.8, 16)])
        mean, low, high = (np.concatenate([[0], x]) for x in (shape.mean(0), *np.quantile(shape, (0.16, 0.84), axis=0)))
        axes.plot(r, mean, color=COLOURS[name], label=name)
        axes.fill_between(r, low, high, color=COLOURS[name], alpha=0.2, linewidth=0)
    axes.set_xlabel("r")
    axes.set_ylabel(r"$\psi(r)$")
    axes.set_xlim(0, 0.8)
    axes.set_ylim(0, 1.05)


def shapes(samples: Samples) -> Figure:
    panels = (
        observable("thrust", "thrust, rest frame", np.linspace(0.5, 1, 41)),
        observable("thrust_major", "thrust major, rest frame", np.linspace(0, 0.7, 41)),
        observable("planar_flow", "planar flow", np.linspace(0, 1, 41)),
    )
    with hep_style():
        figure = Figure(figsize=(9, 7), layout="constrained")
        grid = figure.subplots(2, 2).ravel()
        for axes, panel in zip(grid, panels, strict=False):
            histogram(axes, panel, samples)
        integrated_shapes(grid[3], samples)
        grid[0].set_ylabel("Fraction of jets per unit")
        grid[0].legend()
    return figure


def rejection_curve(values: Values, labels: Values) -> tuple[Values, Values]:
    """Return signal efficiency and background rejection of the Fisher discriminant of some columns."""
    half = len(values) // 2
    train, test = values[:half], values[half:]
    scale = train.std(axis=0)
    train, test = train / scale, test / scale
    signal, background = train[labels[:half] == 1], train[labels[:half] == 0]
    within = np.cov(signal.T) + np.cov(background.T) + 1e-6 * np.eye(values.shape[1])
    score = test @ np.linalg.solve(within, signal.mean(axis=0) - background.mean(axis=0))
    mistagged, efficiency, _ = roc_curve(labels[half:], score)
    seen = mistagged * np.sum(labels[half:] == 0) >= 10
    return efficiency[seen], 1 / mistagged[seen]


def energy_flow(samples: Samples) -> Figure:
    chain = [(0, 1), (1, 2), (2, 3)]
    panel = Panel(
        r"chain of three, $\beta = 1$",
        lambda jets: np.log10(physics.energy_flow_polynomial(jets, chain)),
        np.linspace(-4, 1, 41),
    )
    jets = ak.concatenate([jets[:6000] for jets in samples.values()])
    labels = np.repeat([0, 1], [len(jets[:6000]) for jets in samples.values()])
    order = np.random.default_rng(1).permutation(len(labels))
    graphs = physics.multigraphs(5)
    polynomials = physics.energy_flow_polynomials(jets, graphs[1:], beta=0.5)[order]
    with hep_style():
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        histogram(left, panel, samples)
        left.set_xlabel(r"$\log_{10}$ of the " + panel.label)
        left.set_ylabel("Fraction of jets per unit")
        left.legend()
        for degree in (2, 3, 4, 5):
            columns = [i for i, graph in enumerate(graphs[1:]) if len(graph) <= degree]
            right.plot(*rejection_curve(polynomials[:, columns], labels[order]), label=f"degree up to {degree}")
        right.set_xlabel(r"$\varepsilon_\mathrm{S}$")
        right.set_ylabel(r"$1/\varepsilon_\mathrm{B}$")
        right.set_yscale("log")
        right.set_xlim(0.2, 1)
        right.legend()
    return figure


FIGURES: dict[str, Callable[[Samples], Figure]] = {
    "subjets": distributions(
        Panel(
            "kt subjets, R = 0.2, above 10 GeV",
            lambda jets: ak.to_numpy(ak.num(physics.inclusive_subjets(jets, 0.2, algorithm="kt", pt_min=10))),
            np.arange(0.5, 16.5),
        ),
        observable("sqrt_d23", r"$\sqrt{d_{23}}$ [GeV]", np.linspace(0, 100, 41)),
    ),
    "grooming": distributions(
        observable("mass", "mass [GeV]", np.linspace(0, 300, 61)),
        observable("mass_softdrop", r"soft-drop mass [GeV], $\beta = 0$", np.linspace(0, 300, 61)),
        observable("z_g", r"$z_g$", np.linspace(0.1, 0.5, 41)),
    ),
    "lund-plane": lund_planes,
    "nsubjettiness": distributions(
        observable("tau21_wta", r"$\tau_{21}$, WTA axes", np.linspace(0, 1, 41)),
        observable("tau32_wta", r"$\tau_{32}$, WTA axes", np.linspace(0, 1, 41)),
    ),
    "energy-correlators": distributions(
        observable("n3", r"$N_3$, $\beta = 1$", np.linspace(0.5, 3.5, 41)),
        observable("d2", r"$D_2$, $\beta = 1$", np.linspace(0, 12, 41)),
    ),
    "energy-flow": energy_flow,
    "angularities": distributions(
        Panel("width about the WTA axis", lambda jets: physics.width(jets, R0=0.8, wta=True), np.linspace(0, 0.8, 41)),
        Panel(
            "tracks above 1 GeV",
            lambda jets: physics.charged_multiplicity(jets, pt_min=1.0),
            np.arange(-0.5, 80.5, 2),
        ),
    ),
    "shapes": shapes,
    "splitting-scales": distributions(
        observable("sqrt_d12", r"$\sqrt{d_{12}}$ [GeV]", np.linspace(0, 200, 41)),
        observable("sqrt_d23", r"$\sqrt{d_{23}}$ [GeV]", np.linspace(0, 100, 41)),
        observable("qw", r"$Q_W$ [GeV]", np.linspace(0, 150, 61)),
    ),
    "images": images,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", default="data/toptag", help="dataset of QCD and top jets (data/toptag)")
    parser.add_argument("--jets", type=int, default=20_000, help="number of test jets (20,000)")
    parser.add_argument("--out", default="docs/images", type=Path)
    parser.add_argument("--only", nargs="*", choices=FIGURES, default=list(FIGURES))
    arguments = parser.parse_args()
    dataset = jetforge.open(arguments.data)
    jets = dataset.read("test")[: arguments.jets]
    samples = {name: jets[jets.label == label].constituents for label, name in enumerate(dataset.classes)}
    for name in arguments.only:
        path = arguments.out / f"physics-{name}.png"
        FIGURES[name](samples).savefig(path, dpi=80)
        print(path, flush=True)


if __name__ == "__main__":
    main()
