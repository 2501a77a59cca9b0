"""N-subjettiness agrees with FastJet, with what fjcontrib prints, and with what CMS stores."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import awkward as ak
import fastjet
import numpy as np
import numpy.typing as npt
import pytest
from helpers.jets import (
    Momenta,
    anti_kt_jets,
    awkward_jets,
    each_jet,
    fastjet_awkward,
    flat_jets,
    pseudojets,
    read_event,
)

from jetforge.physics.clustering.subjets import exclusive_subjets
from jetforge.physics.prongs.tau import nsubjettiness, nsubjettiness_axes, nsubjettiness_ratio

Floats = npt.NDArray[np.float64]

NUMBERS = (1, 2, 3, 4, 5, 6, 7, 8)
FASTJET_AXES = {
    "kt": "KT_Axes",
    "ca": "CA_Axes",
    "antikt": "AntiKT_Axes",
    "wta_kt": "WTA_KT_Axes",
    "wta_ca": "WTA_CA_Axes",
    "onepass_kt": "OnePass_KT_Axes",
    "onepass_ca": "OnePass_CA_Axes",
    "onepass_antikt": "OnePass_AntiKT_Axes",
    "onepass_wta_kt": "OnePass_WTA_KT_Axes",
    "onepass_wta_ca": "OnePass_WTA_CA_Axes",
}
FASTJET_MEASURES = {
    ("normalised", None): "NormalizedMeasure",
    ("unnormalised", None): "UnnormalizedMeasure",
    ("normalised", 0.2): "NormalizedCutoffMeasure",
    ("unnormalised", 0.2): "UnnormalizedCutoffMeasure",
}
EXCLUSIVE = {  # axes that FastJet's awkward interface does not know: power, radius, winner-take-all
    "half_kt": (0.5, 1000.0, False),
    "wta_half_kt": (0.5, 1000.0, True),
    "genkt": (0.7, 0.3, False),
    "wta_genkt": (0.7, 0.3, True),
}


def fastjet_tau(jets: list[Momenta], axes: str, measure: str = "NormalizedMeasure", **options: float) -> Floats:
    whole = fastjet.JetDefinition(fastjet.antikt_algorithm, 1.5)
    sequence = fastjet.ClusterSequence(fastjet_awkward(*jets), whole)
    return ak.to_numpy(
        sequence.njettiness(measure_definition=measure, axes_definition=axes, njets=list(NUMBERS), R0=0.8, **options)
    )


def radius_of(axes: str) -> dict[str, float]:
    return {"axes_radius": 0.2} if "antikt" in axes else {}


@pytest.mark.parametrize("axes", list(FASTJET_AXES))
def test_all_axes_are_those_of_fastjet(generated_jets: ak.Array, axes: str) -> None:
    expected = fastjet_tau(each_jet(generated_jets), FASTJET_AXES[axes], beta=1.0, akAxesR0=0.2)
    ours = nsubjettiness(generated_jets, NUMBERS, axes=axes, **radius_of(axes))
    np.testing.assert_allclose(ours, expected, rtol=1e-9)
    if axes != "kt":  # FastJet takes kt axes for a name that it does not know
        assert np.mean(ours != nsubjettiness(generated_jets, NUMBERS, axes="kt")) > 0.2


@pytest.mark.parametrize("beta", [0.5, 1.0, 1.7, 2.0])
@pytest.mark.parametrize(("measure", "R_cutoff"), list(FASTJET_MEASURES))
def test_all_measures_are_those_of_fastjet(
    generated_jets: ak.Array, measure: str, R_cutoff: float | None, beta: float
) -> None:
    jets = generated_jets[:150]
    name = FASTJET_MEASURES[measure, R_cutoff]
    for axes in ("wta_kt", "onepass_kt"):
        expected = fastjet_tau(each_jet(jets), FASTJET_AXES[axes], name, beta=beta, Rcutoff=0.2)
        ours = nsubjettiness(jets, NUMBERS, beta=beta, axes=axes, measure=measure, R_cutoff=R_cutoff)
        # Below beta = 1, the distance of a constituent that an axis all but hits is noise to some power.
        np.testing.assert_allclose(ours, expected, rtol=1e-9 if beta >= 1 else 1e-3)
        assert np.median(np.abs(ours / expected - 1)) < 1e-11
        if R_cutoff is not None and (measure == "unnormalised" or axes == "onepass_kt"):
            assert not np.allclose(ours, nsubjettiness(jets, NUMBERS, beta=beta, axes=axes, measure=measure), rtol=1e-3)


def tau_of_formula(jet: Momenta, axes: list[tuple[float, float]], beta: float) -> float:
    points = pseudojets(jet)
    pt = np.array([p.perp() for p in points])
    dy = np.array([[p.rap() - y for y, _ in axes] for p in points])
    dphi = np.array([[p.phi() - phi for _, phi in axes] for p in points])
    dphi = np.arctan2(np.sin(dphi), np.cos(dphi))
    return float(pt @ (dy**2 + dphi**2).min(axis=1) ** (beta / 2) / (pt.sum() * 0.8**beta))


@pytest.mark.parametrize("axes", list(EXCLUSIVE))
def test_generalised_kt_axes_are_exclusive_jets_of_fastjet(generated_jets: ak.Array, axes: str) -> None:
    power, radius, wta = EXCLUSIVE[axes]
    scheme = fastjet.WTA_pt_scheme if wta else fastjet.E_scheme
    definition = fastjet.JetDefinition(fastjet.genkt_algorithm, radius, power, scheme)
    options = {} if radius > 1 else {"axes_power": power, "axes_radius": radius}
    jets = generated_jets[:100]
    ours = nsubjettiness(jets, NUMBERS[:4], beta=1.3, axes=axes, **options)
    for tau, jet in zip(ours, each_jet(jets), strict=True):
        sequence = fastjet.ClusterSequence(pseudojets(jet), definition)
        for value, n in zip(tau, NUMBERS, strict=False):
            directions = [(p.rap(), p.phi()) for p in sequence.exclusive_jets_up_to(n)]
            np.testing.assert_allclose(value, tau_of_formula(jet, directions, 1.3), rtol=1e-9)


def test_the_power_of_genkt_axes_is_one_over_beta_by_default(generated_jets: ak.Array) -> None:
    jets = generated_jets[:50]
    for beta, same in ((1.0, "kt"), (2.0, "half_kt")):
        np.testing.assert_array_equal(
            nsubjettiness(jets, beta=beta, axes="genkt"), nsubjettiness(jets, beta=beta, axes=same)
        )


def test_few_constituents_give_zero_as_in_fastjet() -> None:
    jets = [flat_jet(n) for n in (1, 2, 3, 4)]
    for axes, name in FASTJET_AXES.items():
        expected = fastjet_tau(jets, name, akAxesR0=0.2)
        ours = nsubjettiness(flat_jets(*jets), NUMBERS, axes=axes, **radius_of(axes))
        np.testing.assert_allclose(ours, expected, rtol=1e-9)
        assert np.all((ours == 0.0) == (np.array([[1], [2], [3], [4]]) <= np.array(NUMBERS)))


def flat_jet(n: int) -> Momenta:
    px, py, pz = np.array([100.0, 40.0, 10.0, 3.0]), np.array([1.0, -9.0, 5.0, 0.2]), np.array([3.0, 30.0, -4.0, 1.0])
    return np.array([px, py, pz, np.sqrt(px**2 + py**2 + pz**2) + 0.1])[:, :n]


# What the examples of fjcontrib print ------------------------------------------------------------------------------

ADVANCED = {  # name in example_advanced_usage: axes, further arguments
    "HalfKT": ("half_kt", {}),
    "KT": ("kt", {}),
    "CA": ("ca", {}),
    "AKT0.20": ("antikt", {"axes_radius": 0.2}),
    "WTA, HalfKT": ("wta_half_kt", {}),
    "WTA KT": ("wta_kt", {}),
    "WTA CA": ("wta_ca", {}),
    "GenKT Axes": ("genkt", {"axes_power": 0.5, "axes_radius": 0.2}),
    "WTA, GenKT Axes": ("wta_genkt", {"axes_power": 0.5, "axes_radius": 0.2}),
    "OnePass HalfKT": ("onepass_half_kt", {}),
    "OnePass KT": ("onepass_kt", {}),
    "OnePassAKT0.20": ("onepass_antikt", {"axes_radius": 0.2}),
    "OnePass WTA HalfKT": ("onepass_wta_half_kt", {}),
    "OnePass WTA KT": ("onepass_wta_kt", {}),
    "OnePass GenKT": ("onepass_genkt", {"axes_power": 0.5, "axes_radius": 0.2}),
    "OnePass WTA GenKT": ("onepass_wta_genkt", {"axes_power": 0.5, "axes_radius": 0.2}),
    "OnePass CA": ("onepass_ca", {}),
    "OnePass WTA CA": ("onepass_wta_ca", {}),
    "Manual": ("manual", {}),
    "OnePass Manual": ("manual", {"one_pass": True}),
}
OTHER_AXES = {  # not in this package
    "GenET, GenKT Axes", "OnePass GenET, GenKT", "N Choose M GenKT", "N Choose M WTA GenKT", "N Choose M GenET GenKT",
    "MultiPass", "MultiPass Manual",
}  # fmt: skip
FIT = {"accuracy": 1e-5, "max_steps": 10_000}  # of the advanced example


class Printed(NamedTuple):
    """A number as it is printed."""

    text: str

    def agrees(self, value: float) -> bool:
        decimals = len(self.text.split(".")[1])
        return abs(float(self.text) - value) <= 0.5 * 10.0**-decimals * (1 + 1e-6) + 1e-14


@pytest.fixture(scope="module")
def hard_jets(refs: Path) -> list[ak.Array]:
    """Return the jets of the examples, each as an array of one jet."""
    event = read_event(refs / "fjcontrib" / "data" / "single-event.dat")
    return [awkward_jets(jet) for jet in anti_kt_jets(event, 1.0, 200.0)]


def sections(text: str) -> Iterator[tuple[int, str]]:
    """Return the parts of a printed example by the number of the jet."""
    _, *parts = re.split(r"Analyzing Jet (\d):", text.split("Using the XCone")[0])
    for number, part in zip(parts[::2], parts[1::2], strict=True):
        yield int(number) - 1, part


def measure_of(title: str) -> dict[str, object]:
    found = re.search(r"(Normalized|Unnormalized) Measure \(beta = ([\d.]+)", title)
    assert found is not None
    measure = "normalised" if found[1] == "Normalized" else "unnormalised"
    return {"measure": measure, "beta": float(found[2]), "R0": 1.0}


def assert_agrees(words: list[str], values: list[float]) -> None:
    assert len(words) == len(values)
    for word, value in zip(words, values, strict=True):
        assert Printed(word).agrees(value), (words, values)


def test_tau_is_what_the_advanced_example_prints(refs: Path, hard_jets: list[ak.Array]) -> None:
    text = (refs / "fjcontrib" / "ref" / "Nsubjettiness.example_advanced_usage.ref").read_text()
    checked = 0
    for number, part in sections(text):
        jet = hard_jets[number]
        tables = part.split("Done Outputting N-subjettiness Values")[0]
        for table in re.split(r"\n(?=(?:Normalized|Unnormalized) Measure)", tables)[1:]:
            for name, *words in re.findall(
                r"^#? *(\S.*?): +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)$", table, re.M
            ):
                if name in OTHER_AXES:
                    continue
                axes, options = ADVANCED[name]
                tau = []
                for n in (1, 2, 3):
                    seeds = kt_directions(jet, n) if axes == "manual" else axes
                    tau.append(nsubjettiness(jet, n, axes=seeds, **measure_of(table), **options, **FIT)[0])
                assert_agrees(words, [*tau, tau[1] / tau[0], tau[2] / tau[1]])
                checked += 1
    assert checked == 2 * 4 * len(ADVANCED)


def kt_directions(jet: ak.Array, n: int) -> Floats:
    subjets = exclusive_subjets(jet, n, algorithm="kt")[0]
    return np.stack([ak.to_numpy(subjets.rapidity), ak.to_numpy(subjets.phi)], axis=-1)[np.newaxis]


def rows(block: str) -> list[list[str]]:
    """Return the words of the numbered rows of a printed table."""
    return [line.split()[1:] for line in block.splitlines() if re.match(r" +\d+ +-?\d", line)]


def assert_subjets_agree(jet: ak.Array, printed: list[list[str]], n: int, **options: object) -> None:
    """Check rapidity, azimuth, pT, mass, energy (and number) of printed subjets, and their shares of tau."""
    found = nsubjettiness_axes(jet, n, **options)[0]
    for k in range(n):
        members = ak.to_numpy(found.subjet == k)
        momentum = fastjet.PseudoJet(*map(float, each_jet(jet)[0][:, members].sum(axis=1)))
        values = [momentum.rap(), momentum.phi(), momentum.pt(), momentum.m(), momentum.E()]
        match = [row for row in printed if Printed(row[2]).agrees(momentum.pt())]
        assert len(match) == 1
        assert_agrees(match[0][:5], values)
        assert_agrees(match[0][-1:], [found.axes.tau[k]])
        if len(match[0]) == 7:
            assert int(match[0][5]) == members.sum()


def assert_axes_agree(jet: ak.Array, printed: list[list[str]], n: int, **options: object) -> None:
    """Check that the printed axes are ours in their order, and their pT, with that of the pseudojets behind them."""
    found = nsubjettiness_axes(jet, n, **options)[0].axes
    wta = options["axes"] == "wta_kt"
    power = 1.0 if wta else 0.5
    behind = exclusive_subjets(jet, n, algorithm=power, recombination="wta" if wta else "E")[0]
    for row, axis in zip(printed, found, strict=True):
        assert_agrees(row[:2], [axis.rapidity, axis.phi % (2 * np.pi)])
        pseudojet = behind[ak.argmin(np.abs(behind.rapidity - axis.rapidity))]
        assert_agrees(row[2:3], [pseudojet.pt])
        if not wta:
            assert_agrees(row[3:5], [pseudojet.mass, pseudojet.energy])
        if len(row) == 6:
            assert_agrees(row[5:], [axis.tau])


def test_subjets_and_axes_are_what_the_advanced_example_prints(refs: Path, hard_jets: list[ak.Array]) -> None:
    text = (refs / "fjcontrib" / "ref" / "Nsubjettiness.example_advanced_usage.ref").read_text()
    checked = 0
    for number, part in sections(text):
        lists = part.split("Outputting N-subjettiness Subjets")[1]
        for block in re.split(r"\n(?=(?:Normalized|Unnormalized) Measure)", lists)[1:]:
            axes = "wta_kt" if "Winner-Take-All KT" in block else "half_kt"
            options = {"axes": axes, **measure_of(block)}
            subjets, directions = block.split("Axes Used for Above Subjets")
            for n, subjet_table, axes_table in zip(
                (1, 2, 3), subjets.split("- -\n"), directions.split("- -\n"), strict=True
            ):
                assert_subjets_agree(hard_jets[number], rows(subjet_table), n, **options)
                assert_axes_agree(hard_jets[number], rows(axes_table), n, **options)
                checked += 1
    assert checked == 2 * 4 * 2 * 3


def test_everything_is_what_the_basic_example_prints(refs: Path, hard_jets: list[ak.Array]) -> None:
    text = (refs / "fjcontrib" / "ref" / "Nsubjettiness.example_basic_usage.ref").read_text()
    checked = 0
    for number, part in sections(text):
        jet = hard_jets[number]
        for beta, axes in ((1.0, "wta_kt"), (2.0, "half_kt")):
            options = {"axes": axes, "beta": beta, "measure": "unnormalised"}
            words = re.search(rf"^ +{beta:f} +(.*)$", part, re.M)
            assert words is not None
            ratios = [nsubjettiness_ratio(jet, n + 1, n, **options)[0] for n in (1, 2)]
            assert_agrees(words[1].split(), [*nsubjettiness(jet, **options)[0], *ratios])
            subjets = part.split(f"Subjets found using beta = {beta}")[1].split("^^^")[0]
            directions = part.split(f"Axes used for above beta = {beta}")[1].split("^^^")[0].split("-" * 40)[0]
            for n, subjet_table, axes_table in zip(
                (1, 2, 3), subjets.split("- -\n"), directions.split("- -\n"), strict=True
            ):
                assert_subjets_agree(jet, rows(subjet_table), n, **options)
                assert_axes_agree(jet, rows(axes_table), n, **options)
                checked += 1
    assert checked == 2 * 2 * 3


def test_everything_is_what_the_example_of_version_1_prints(refs: Path, hard_jets: list[ak.Array]) -> None:
    text = (refs / "fjcontrib" / "ref" / "Nsubjettiness.example_v1p0p3.ref").read_text()
    parts = text.split("Beta = 1\nkT Axes:")[1:]
    assert len(parts) == 2
    for jet, part in zip(hard_jets, parts, strict=True):
        blocks = re.split(r"One Pass Minimization Axes from kT|Beta = 1\n", part)
        for axes, block in zip(("kt", "onepass_kt"), blocks[:2], strict=True):
            tables = block.split("jet #")[1:]
            for n, table in zip((1, 2, 3), tables, strict=True):
                assert_subjets_agree(jet, rows(table), n, axes=axes, R0=1.0)
        for axes, title in (("kt", "kT"), ("onepass_kt", "OnePass")):
            found = re.search(
                rf"^ *{title}: tau1: (\S+) +tau2: (\S+) +tau3: (\S+) +tau2/tau1: (\S+) +tau3/tau2: (\S+)", part, re.M
            )
            assert found is not None
            tau = nsubjettiness(jet, axes=axes, R0=1.0)[0]
            assert_agrees(list(found.groups()), [*tau, tau[1] / tau[0], tau[2] / tau[1]])


# What CMS stores ---------------------------------------------------------------------------------------------------


def nano_fat_jets(path: Path) -> tuple[ak.Array, Floats]:
    """Return the PUPPI-weighted candidates of the AK8 jets of a NanoAOD file, and tau1 to tau4 as stored."""
    uproot = pytest.importorskip("uproot", reason="needs the extra 'dev'")
    kinematics = ("pt", "eta", "phi", "mass")
    names = ["FatJetPFCand_jetIdx", "FatJetPFCand_pfCandIdx", *(f"PFCand_{x}" for x in kinematics)]
    stored = [f"FatJet_tau{n}" for n in (1, 2, 3, 4)]
    with uproot.open(path) as file:
        events = file["Events"].arrays([*names, *stored])
    indices = events["FatJetPFCand_pfCandIdx"]
    candidates = ak.zip({x: ak.values_astype(events[f"PFCand_{x}"], np.float64)[indices] for x in kinematics})
    each_event = zip(events["FatJetPFCand_jetIdx"], candidates, ak.num(events["FatJet_tau1"]), strict=True)
    constituents = ak.Array([members[jets == k] for jets, members, number in each_event for k in range(number)])
    tau = np.stack([ak.to_numpy(ak.flatten(events[name])) for name in stored], axis=1).astype(np.float64)
    has_candidates = ak.to_numpy(ak.num(constituents)) > 0  # the file has them only above some pT
    return constituents[has_candidates], tau[has_candidates]


def test_tau_is_what_cms_stores_of_its_fat_jets(refs: Path) -> None:
    jets, stored = nano_fat_jets(refs / "formats" / "nano_tt_v15.root")
    assert len(jets) > 60
    difference = np.abs(nsubjettiness(jets, (1, 2, 3, 4)) / stored - 1)
    # Candidates and tau are stored with 10 to 12 bits; tau itself is rounded by up to 0.05 %.
    assert np.all(np.median(difference, axis=0) < 1e-3)
    assert np.all(np.quantile(difference, 0.9, axis=0) < 4e-3)
    other = np.abs(nsubjettiness(jets, (1, 2, 3, 4), axes="wta_kt") / stored - 1)
    assert np.all(np.median(other, axis=0) > 5 * np.median(difference, axis=0))
