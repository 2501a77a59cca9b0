"""Pictures of the Lund plane show the densities, errors and limits that they are given."""

import io

import awkward as ak
import numpy as np
import pytest
from helpers.jets import awkward_jets, spread_jet

import jetforge
from jetforge.errors import DataError, JetforgeError
from jetforge.evaluation import (
    LundDensity,
    lund_density,
    plot_lund_jet,
    plot_lund_planes,
    plot_lund_ratio,
    plot_lund_slices,
)
from jetforge.physics.lund.theory import leading_order_density

BINS = {"bins": 20, "x_range": (-1.0, 6.0), "y_range": (-4.0, 5.0)}


@pytest.fixture(scope="module")
def jets():
    return awkward_jets(*(spread_jet(seed, 20 + seed % 40) for seed in range(400)))


@pytest.fixture(scope="module")
def planes(jets):
    return {"qcd": lund_density(jets, **BINS), "top $": lund_density(jets, plane="all", **BINS)}


def drawn(figure):
    figure.savefig(io.BytesIO(), format="png", dpi=40)
    return figure


def place(axes, x, y):
    """Return where on the page a point of the axes is."""
    return axes.transData.transform((x, y))


def flat_plane(values, errors, counts=100):
    values = np.array(values, dtype=float)
    edges = [np.arange(n + 1.0) for n in values.shape]
    full = np.full(values.shape, counts)
    return LundDensity(values, np.array(errors, dtype=float), full, *edges, 0.0, 1.0, "ln_inv_delta", "ln_kt", 1.0)


def test_planes_share_their_colours_and_leave_empty_bins_white(planes):
    figure = drawn(plot_lund_planes(planes, title="lundnet-top-500"))
    meshes = [axes.collections[0] for axes in figure.axes[:2]]
    assert meshes[0].get_clim() == meshes[1].get_clim() == (0, planes["top $"].density.max())
    shown = meshes[0].get_array()
    assert np.array_equal(np.ma.getmaskarray(shown), planes["qcd"].counts.T == 0)
    assert shown.max() == planes["qcd"].density.max()


def test_a_logarithmic_scale_spans_all_bins_that_are_filled(planes):
    figure = drawn(plot_lund_planes(planes, log=True))
    densities = np.concatenate([plane.density.ravel() for plane in planes.values()])
    assert figure.axes[0].collections[0].get_clim() == (densities[densities > 0].min(), densities.max())


def test_the_opposite_axes_are_in_delta_and_kt(planes):
    axes = drawn(plot_lund_planes({"qcd": planes["qcd"]})).axes[0]
    top, right = axes.child_axes
    assert top.get_xlabel() == r"$\Delta$"
    assert place(top, 0.1, 1.0)[0] == pytest.approx(place(axes, np.log(10.0), 0.0)[0])
    assert place(right, 1.0, 20.0)[1] == pytest.approx(place(axes, 0.0, np.log(20.0))[1])


def test_the_opposite_axes_know_the_radius_that_delta_is_divided_by(jets):
    plane = lund_density(jets, y="ln_inv_z", R0=0.4, bins=20)
    axes = drawn(plot_lund_planes({"qcd": plane})).axes[0]
    top, right = axes.child_axes
    assert axes.get_xlabel() == r"$\ln(R/\Delta)$"
    assert place(top, 0.1, 1.0)[0] == pytest.approx(place(axes, np.log(4.0), 0.0)[0])
    assert place(right, 1.0, 0.02)[1] == pytest.approx(place(axes, 0.0, np.log(50.0))[1])


def test_the_kinematic_limit_is_a_diagonal(planes):
    figure = drawn(plot_lund_planes({"qcd": planes["qcd"]}, pt=500.0))
    (line,) = figure.axes[0].lines
    assert line.get_ydata() + line.get_xdata() == pytest.approx(np.log(250.0))
    assert figure.axes[0].get_ylim() == (-4.0, 5.0)


def test_the_ratio_leaves_out_bins_of_few_declusterings(planes):
    signal, background = planes["top $"], planes["qcd"]
    figure = drawn(plot_lund_ratio(signal, background, min_counts=20))
    shown = figure.axes[0].collections[0].get_array()
    known = (signal.counts >= 20) & (background.counts >= 20)
    assert known.any()
    assert np.array_equal(~np.ma.getmaskarray(shown), known.T)
    ratio = signal.density[known] / background.density[known]
    assert shown.filled().T[known] == pytest.approx(ratio)


def test_the_ratio_leaves_out_what_is_not_significant():
    # ln 2 is 4.9 standard deviations away for errors of 10 % each, ln 1.2 only 1.3.
    signal, background = flat_plane([[2.0, 1.2]], [[0.2, 0.12]]), flat_plane([[1.0, 1.0]], [[0.1, 0.1]])
    for least, masked in ((0.0, [False, False]), (1.2, [False, False]), (2.0, [False, True]), (5.0, [True, True])):
        figure = drawn(plot_lund_ratio(signal, background, min_significance=least))
        shown = figure.axes[0].collections[0].get_array()
        assert np.ma.getmaskarray(shown).ravel().tolist() == masked
        assert ("σ" in figure.axes[0].get_title("right") or "sigma" in figure.axes[0].get_title("right")) == (least > 0)


@pytest.mark.parametrize("along", ["x", "y"])
def test_slices_show_densities_and_their_errors(jets, along):
    edges = ([0.0, 1.0, 3.0], [-3.0, 0.0, 1.0, 4.0])
    plane = lund_density(jets, edges=edges)
    expected = {"quark": leading_order_density(np.full((2, 3), 0.2), 5.0, pt=500.0)}
    figure = drawn(plot_lund_slices({"qcd": plane}, along=along, expected=expected, title="slices"))
    panels = figure.axes
    assert len(panels) == (2 if along == "y" else 3)
    for k, axes in enumerate(panels):
        heights = plane.density[k] if along == "y" else plane.density[:, k]
        errors = plane.error[k] if along == "y" else plane.error[:, k]
        (stairs,) = axes.patches
        assert stairs.get_data().values == pytest.approx(heights)
        bars = axes.collections[0].get_segments()
        assert [bar[1, 1] - bar[0, 1] for bar in bars] == pytest.approx(2 * errors)
        assert axes.lines[-1].get_ydata() == pytest.approx(np.full(len(heights), expected["quark"][0, 0]))


def test_the_diagram_of_a_jet_has_all_its_declusterings(jets):
    tree = jetforge.lund_tree(jets[:1])
    for given in (jets[:1], tree):
        axes = drawn(plot_lund_jet(given, title="one jet")).axes[0]
        links, points = axes.collections[:2]
        assert len(links.get_segments()) == len(tree[0]) - 1
        np.testing.assert_array_equal(points.get_offsets(), np.stack([-tree.ln_delta[0], tree.ln_kt[0]], axis=1))
        counts = f"{ak.sum(tree.is_primary)} primary declusterings, {len(tree[0])} in all"
        assert axes.texts[0].get_text() == counts


def test_a_leaf_has_one_colour_and_the_primary_plane_another(jets):
    tree = jetforge.lund_tree(jets[:1])[0]
    axes = drawn(plot_lund_jet(jets[:1])).axes[0]
    shades = [tuple(shade) for shade in axes.collections[1].get_facecolor()]
    primary = {shade for shade, is_primary in zip(shades, tree.is_primary, strict=True) if is_primary}
    assert len(primary) == 1
    for i, one in enumerate(tree):
        if not one.is_primary:
            assert shades[i] not in primary
            assert tree.is_primary[one.parent] or shades[i] == shades[one.parent]


def test_samples_without_declusterings_are_drawn_empty():
    plane = lund_density(awkward_jets(spread_jet(1, 1), spread_jet(2, 1)))
    assert not plane.counts.any()
    for figure in (
        plot_lund_planes({"qcd": plane}),
        plot_lund_planes({"qcd": plane}, log=True),
        plot_lund_ratio(plane, plane),
    ):
        drawn(figure)


def test_figures_refuse_what_cannot_be_compared(jets, planes):
    plane, other = planes["qcd"], lund_density(jets, y="ln_inv_z", bins=20)
    with pytest.raises(DataError, match="at least one"):
        plot_lund_planes({})
    with pytest.raises(DataError, match=r"planes: b is in ln_inv_delta and ln_inv_z with R0 = 1, a in .* and ln_kt"):
        plot_lund_planes({"a": plane, "b": other})
    with pytest.raises(DataError, match="kinematic limit is drawn in ln_inv_delta and ln_kt"):
        plot_lund_planes({"b": other}, pt=500.0)
    with pytest.raises(DataError, match="bins of background differ from those of signal"):
        plot_lund_ratio(plane, lund_density(jets, bins=10))
    with pytest.raises(DataError, match="background is in ln_inv_delta and ln_inv_z"):
        plot_lund_ratio(plane, other)
    with pytest.raises(DataError, match="at least one"):
        plot_lund_slices({})
    with pytest.raises(DataError, match="planes: b is in ln_inv_delta and ln_inv_z"):
        plot_lund_slices({"a": plane, "b": other})
    with pytest.raises(DataError, match="expected: LO is of type"):
        plot_lund_slices({"a": plane}, expected={"LO": "x"})
    with pytest.raises(DataError, match=r"expected is .*; it must be densities by their labels"):
        plot_lund_slices({"a": plane}, expected=[1.0])
    with pytest.raises(DataError, match=r"expected: LO has shape \(2,\)"):
        plot_lund_slices({"a": plane}, expected={"LO": [1.0, 2.0]})
    with pytest.raises(JetforgeError, match="along 'z' is not known; choose one of x, y"):
        plot_lund_slices({"a": plane}, along="z")
    with pytest.raises(DataError, match="2 jets; a Lund diagram shows one"):
        plot_lund_jet(jets[:2])
    with pytest.raises(DataError, match="no declustering"):
        plot_lund_jet(awkward_jets(spread_jet(1, 1)))


def compared(first, second):
    """Return the three figures that compare two densities, each as a call."""
    both = {"a": first, "b": second}
    return (lambda: plot_lund_planes(both), lambda: plot_lund_ratio(first, second), lambda: plot_lund_slices(both))


@pytest.mark.parametrize("change", ["R0", "x", "y", "x_edges", "y_edges"])
def test_densities_that_are_not_in_the_same_bins_are_not_compared(change):
    plane = flat_plane(np.ones((2, 3)), np.ones((2, 3)))
    changed = {"R0": 0.4, "x": "ln_z", "y": "ln_m", "x_edges": plane.x_edges + 1, "y_edges": 2 * plane.y_edges}
    message = "the bins of .* differ from those of" if "edges" in change else "is in .* with R0 = .* in .* with R0 = 1"
    for figure in compared(plane, plane._replace(**{change: changed[change]})):
        with pytest.raises(DataError, match=message):
            figure()
    for figure in compared(plane, plane._replace(x_edges=plane.x_edges.copy())):
        drawn(figure())


@pytest.mark.parametrize("wrong", [3, None, "x", (1, 2)])
def test_what_is_no_density_is_refused(planes, wrong):
    for figure in compared(planes["qcd"], wrong):
        with pytest.raises(DataError, match=r"planes: .* is a .*, no LundDensity; make it with lund_density"):
            figure()
    for figure in (plot_lund_planes, plot_lund_slices):
        with pytest.raises(DataError, match=r"planes is .*; a figure needs at least one density"):
            figure(wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_counts": "x"}, "min_counts is 'x'; it must be a whole number, 0 or more"),
        ({"min_counts": -3}, "min_counts is -3; it must be"),
        ({"min_counts": 2.5}, "min_counts is 2.5; it must be"),
        ({"min_significance": np.nan}, "min_significance is nan; it must be"),
        ({"min_significance": -1}, "min_significance is -1; it must be"),
        ({"min_significance": "2"}, "min_significance is '2'; it must be"),
    ],
)
def test_limits_of_the_ratio_are_checked(planes, options, message):
    with pytest.raises(JetforgeError, match=message):
        plot_lund_ratio(planes["top $"], planes["qcd"], **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"log": 1}, "log is 1; it must be True or False"),
        ({"pt": 0.0}, "pt is 0; it must be"),
        ({"pt": "500"}, "pt is '500'; it must be"),
    ],
)
def test_options_of_the_planes_are_checked(planes, options, message):
    with pytest.raises(JetforgeError, match=message):
        plot_lund_planes({"qcd": planes["qcd"]}, **options)
