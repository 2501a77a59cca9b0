"""The Lund plane as a density per jet, and its pictures."""

import io

import numpy as np
import pytest

from jetforge.errors import DataError
from jetforge.evaluation.lund_plots import lund_density, plot_lund_planes, plot_lund_ratio


@pytest.fixture(scope="module")
def declusterings():
    rng = np.random.default_rng(1)
    return -rng.uniform(0.5, 6.5, 30_000), rng.uniform(-2.5, 6.5, 30_000), rng.random(30_000) < 0.4


def integral(plane):
    return (plane.density * np.outer(np.diff(plane.x_edges), np.diff(plane.y_edges))).sum()


def test_the_density_integrates_to_the_mean_number_of_primary_declusterings(declusterings):
    ln_delta, ln_kt, is_primary = declusterings
    plane = lund_density(ln_delta, ln_kt, 5000, is_primary=is_primary, bins=(20, 30))
    assert plane.density.shape == (20, 30)
    assert integral(plane) == pytest.approx(is_primary.sum() / 5000)
    assert plane.counts.sum() == is_primary.sum()
    assert plane.outside == 0


def test_a_uniform_emission_is_a_flat_density():
    rng = np.random.default_rng(2)
    # Two declusterings a jet over an area of 7 x 10.
    plane = lund_density(-rng.uniform(0, 7, 400_000), rng.uniform(-3, 7, 400_000), 200_000, bins=10)
    assert plane.density == pytest.approx(np.full((10, 10), 2 / 70), rel=0.08)


def test_one_declustering_is_in_the_bin_of_its_coordinates():
    plane = lund_density([-2.25], [1.5], 1, bins=(7, 10))
    assert np.argwhere(plane.counts).tolist() == [[2, 4]]
    assert plane.density[2, 4] == pytest.approx(1)


def test_weights_count_and_the_part_outside_is_told(declusterings):
    ln_delta, ln_kt, _ = declusterings
    doubled = lund_density(ln_delta, ln_kt, 2 * 5000, weights=np.full(30_000, 2.0))
    assert doubled.density == pytest.approx(lund_density(ln_delta, ln_kt, 5000).density)
    cut = lund_density(ln_delta, ln_kt, 5000, x_range=(0.0, 3.5))
    assert cut.outside == pytest.approx(np.mean(-ln_delta > 3.5))
    assert integral(cut) == pytest.approx(6 * (1 - cut.outside))


def test_planes_share_their_colours_and_leave_empty_bins_white(declusterings):
    ln_delta, ln_kt, is_primary = declusterings
    planes = {
        "qcd": lund_density(ln_delta, ln_kt, 5000, is_primary=is_primary),
        "top $": lund_density(ln_delta, ln_kt, 5000),
    }
    figure = plot_lund_planes(planes, title="lundnet-top-500")
    meshes = [axes.collections[0] for axes in figure.axes[:2]]
    assert meshes[0].get_clim() == meshes[1].get_clim() == (0, planes["top $"].density.max())
    shown = meshes[0].get_array()
    assert np.array_equal(np.ma.getmaskarray(shown), planes["qcd"].counts.T == 0)
    assert shown.max() == planes["qcd"].density.max()
    figure.savefig(io.BytesIO(), format="png", dpi=40)


def test_the_ratio_leaves_out_bins_of_few_declusterings(declusterings):
    ln_delta, ln_kt, is_primary = declusterings
    signal = lund_density(ln_delta, ln_kt, 5000, bins=20)
    background = lund_density(ln_delta, ln_kt, 5000, is_primary=is_primary, bins=20)
    figure = plot_lund_ratio(signal, background, min_counts=20)
    shown = figure.axes[0].collections[0].get_array()
    known = (signal.counts >= 20) & (background.counts >= 20)
    assert np.array_equal(~np.ma.getmaskarray(shown), known.T)
    ratio = signal.density[known] / background.density[known]
    assert shown.filled().T[known] == pytest.approx(ratio)
    assert figure.axes[0].collections[0].get_clim() == (0.25, 4)
    figure.savefig(io.BytesIO(), format="png", dpi=40)


def test_samples_without_declusterings_are_drawn_empty():
    plane = lund_density([], [], 10)
    assert not plane.density.any()
    assert not plane.counts.any()
    for figure in (plot_lund_planes({"qcd": plane}), plot_lund_ratio(plane, plane)):
        figure.savefig(io.BytesIO(), format="png", dpi=40)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([-1.0], [1.0, 2.0], 1), {}, "two equal lengths"),
        (([-1.0], [1.0], 0), {}, "positive number of jets"),
        (([-np.inf], [1.0], 1), {}, "1 of 1 primary declusterings are not finite"),
        (([-1.0], [1.0], 1), {"is_primary": [True, False]}, "does not go with 1 declusterings"),
        (([-1.0], [1.0], 1), {"weights": [np.nan]}, "weights: 1 of 1 are not finite"),
    ],
)
def test_bad_declusterings_are_refused(arguments, options, message):
    with pytest.raises(DataError, match=message):
        lund_density(*arguments, **options)


def test_figures_refuse_what_cannot_be_compared():
    plane = lund_density([-1.0], [1.0], 1)
    with pytest.raises(DataError, match="at least one"):
        plot_lund_planes({})
    with pytest.raises(DataError, match="bins of signal and background differ"):
        plot_lund_ratio(plane, lund_density([-1.0], [1.0], 1, bins=10))
