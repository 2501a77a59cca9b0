import itertools
import math
from collections import defaultdict

import numpy as np
import pytest

from jetforge.jets.readers import open_reader
from jetforge.jets.readers.nanoaod_truth import CLASSES, Particles, classify

LAST = 1 << 13
RADIUS = 0.8
OUT = (2.0, 0.0)
IN = (0.2, -0.1)


class Record:
    """Generator particles of one event, positions relative to an axis."""

    def __init__(self, axis=(0.0, 0.0)):
        self.axis = axis
        self.rows = []

    def add(self, pid, mother=-1, at=IN, last=True):
        eta, phi = self.axis[0] + at[0], math.remainder(self.axis[1] + at[1], 2 * math.pi)
        self.rows.append((pid, mother, LAST * last, eta, phi))
        return len(self.rows) - 1

    def chain(self, pid, mother=-1, at=IN, copies=3):
        """Add a particle that radiates before it decays; return its last copy."""
        for copy in range(copies):
            mother = self.add(pid, mother, at, last=copy == copies - 1)
        return mother

    def decay(self, mother, *pids, at=IN):
        return [self.add(pid, mother, at) for pid in pids]

    def particles(self):
        pid, mother, flags, eta, phi = (np.array(column) for column in zip(*self.rows, strict=True))
        return Particles(np.array([0, len(pid)]), pid, mother, flags, eta.astype(float), phi.astype(float))

    def label(self):
        axis = np.array([self.axis])
        found = classify(self.particles(), np.zeros(1, dtype=np.int64), axis[:, 0], axis[:, 1], RADIUS)
        by_hand = label_in_plain_python(self.rows, self.axis, RADIUS)
        assert CLASSES[found[0]] == by_hand
        return by_hand


def is_new(pid):
    pid = abs(pid)
    return pid in (7, 8, 17, 18) or 32 <= pid <= 60 or 10**6 < pid < 7 * 10**6 or 9900012 <= pid <= 9900099


def label_in_plain_python(rows, axis, radius):
    """Return the class of a jet, from a tree of particles that is walked from above."""
    daughters = defaultdict(list)
    for number, row in enumerate(rows):
        daughters[row[1]].append(number)
    pids = [abs(row[0]) for row in rows]
    heavy = [pid in (6, 23, 24, 25) or is_new(pid) for pid in pids]

    def near(number):
        deta, dphi = rows[number][3] - axis[0], math.remainder(rows[number][4] - axis[1], 2 * math.pi)
        return math.hypot(deta, dphi) < radius

    def products(number):
        """Return what a particle decays to, through heavy particles; what copies radiate is none of it."""
        found = []
        for daughter in daughters[number]:
            if heavy[daughter]:
                found += products(daughter)
            elif rows[number][2] & LAST:
                found.append(daughter)
        return found

    def contained(number):
        quarks = [p for p in products(number) if pids[p] <= 5]
        leptons = [p for p in products(number) if 11 <= pids[p] <= 16]
        allowed = {6: (3,), 23: (2,), 24: (2,), 25: (2, 4)}.get(pids[number], range(2, 99))
        return len(quarks) in allowed and not leptons and near(number) and all(map(near, quarks))

    found = set()

    def walk(number, inside, in_higgs):
        if heavy[number] and rows[number][2] & LAST:
            if not inside and contained(number):
                inside = True
                if not in_higgs:
                    found.add({6: "top", 23: "z", 24: "w", 25: "higgs"}.get(pids[number], "partial"))
            if any(
                near(p) and pids[p] in (1, 2, 3, 4, 5, 11, 13, 15, 21, 22) for p in daughters[number] if not heavy[p]
            ):
                found.add("partial")
            in_higgs = in_higgs or pids[number] == 25
        for daughter in daughters[number]:
            follows = heavy[number] and heavy[daughter]
            walk(daughter, inside and follows, in_higgs and follows)

    for number in daughters[-1]:
        walk(number, False, False)
    return next((name for name in ("top", "higgs", "z", "w", "partial") if name in found), "qcd")


def top(record, b=IN, quarks=IN, pids=(2, -1), through_w=True, w=None):
    it = record.chain(6)
    record.add(5, it, b)
    mother = record.chain(24, it, at=w or quarks) if through_w else it
    record.decay(mother, *pids, at=quarks)
    return it


def higgs(record, *pids, at=IN, mother=-1):
    it = record.chain(25, mother, at)
    record.decay(it, *pids, at=at)
    return it


def through(record, pid, bosons, products, at=IN, second=None):
    """Add a particle that decays to two bosons, and these to `products`."""
    it = record.chain(pid)
    for boson, its, where in zip(bosons, products, (at, second or at), strict=True):
        record.decay(record.chain(boson, it, where), *its, at=where)
    return it


def with_gluons(record):
    it = top(record)
    for quark in [n for n, row in enumerate(record.rows) if abs(row[0]) <= 5]:
        # Far away, as their copies after that may be.
        record.add(record.rows[quark][0], quark, OUT)
        record.add(21, quark, OUT)
    record.add(21, it, OUT)


TABLE = {
    "hadronic top": (top, "top"),
    "top that radiates, and its quarks": (with_gluons, "top"),
    "top, no W in the record": (lambda r: top(r, through_w=False), "top"),
    "top, no W in the record, a quark outside": (lambda r: top(r, b=OUT, through_w=False), "partial"),
    "top whose b is outside": (lambda r: top(r, b=OUT), "w"),
    "top whose W is outside": (lambda r: top(r, quarks=OUT), "partial"),
    "top outside": (lambda r: top(r, b=OUT, quarks=OUT), "qcd"),
    "leptonic top": (lambda r: top(r, pids=(-11, 12)), "partial"),
    "leptonic top, no W in the record": (lambda r: top(r, pids=(-13, 14), through_w=False), "partial"),
    "top to a tau": (lambda r: top(r, pids=(-15, 16)), "partial"),
    "top to a charged Higgs boson": (lambda r: through(r, 6, (37, 5), ((4, -3), ())), "top"),
    "hadronic W": (lambda r: r.decay(r.chain(24), 4, -3), "w"),
    "W to quarks that have copies": (lambda r: [r.add(4, q) for q in r.decay(r.chain(24), 4, -3)], "w"),
    "W of one quark inside": (lambda r: (w := r.chain(24), r.add(4, w), r.add(-3, w, OUT)), "partial"),
    "leptonic W": (lambda r: r.decay(r.chain(-24), 11, -12), "partial"),
    "W to a neutrino, whose lepton is outside": (lambda r: (w := r.chain(24), r.add(12, w), r.add(-11, w, OUT)), "qcd"),
    "hadronic Z": (lambda r: r.decay(r.chain(23), 1, -1), "z"),
    "Z to neutrinos": (lambda r: r.decay(r.chain(23), 12, -12), "qcd"),
    "H to bb": (lambda r: higgs(r, 5, -5), "higgs"),
    "H to one b inside": (lambda r: (h := higgs(r, 5), r.add(-5, h, OUT)), "partial"),
    "H to gg": (lambda r: higgs(r, 21, 21), "partial"),
    "H to photons": (lambda r: higgs(r, 22, 22), "partial"),
    "H to taus": (lambda r: higgs(r, 15, -15), "partial"),
    "H to WW to quarks": (lambda r: through(r, 25, (24, -24), ((2, -1), (-4, 3))), "higgs"),
    "H to ZZ to quarks": (lambda r: through(r, 25, (23, 23), ((2, -2), (5, -5))), "higgs"),
    "H to four quarks": (lambda r: higgs(r, 2, -1, -4, 3), "higgs"),
    "H to WW, one W outside": (lambda r: through(r, 25, (24, -24), ((2, -1), (-4, 3)), second=OUT), "partial"),
    "H to WW, one leptonic": (lambda r: through(r, 25, (24, -24), ((2, -1), (11, -12))), "partial"),
    "H to two new ones to bb": (lambda r: through(r, 25, (36, 36), ((5, -5), (5, -5))), "higgs"),
    "A to bb": (lambda r: r.decay(r.chain(36), 5, -5), "partial"),
    "Z' to qq": (lambda r: r.decay(r.chain(32), 1, -1), "partial"),
    "Z' to one quark inside": (lambda r: (z := r.chain(32), r.add(1, z), r.add(-1, z, OUT)), "partial"),
    "Z' outside": (lambda r: r.decay(r.chain(32), 1, -1, at=OUT), "qcd"),
    "W' to WZ, W inside": (lambda r: through(r, 34, (24, 23), ((2, -1), (1, -1)), second=OUT), "w"),
    "W' to WZ, both inside": (lambda r: through(r, 34, (24, 23), ((2, -1), (1, -1))), "partial"),
    "gluino": (lambda r: r.decay(r.chain(1000021), 1, -1, 1000022), "partial"),
    "two Higgs bosons of a new one": (lambda r: through(r, 35, (25, 25), ((5, -5), (5, -5)), second=OUT), "higgs"),
    "light quarks": (lambda r: r.decay(r.add(21), 1, -1), "qcd"),
    "heavy quarks": (lambda r: [r.add(21, b) for b in r.decay(r.add(21), 5, -5)], "qcd"),
    "top and, apart from it, a W": (lambda r: (top(r), r.decay(r.chain(24), 4, -3)), "top"),
}  # fmt: skip


@pytest.mark.parametrize("axis", [(0.0, 0.0), (-1.3, math.pi), (1.9, -math.pi), (0.4, 3.1), (0.4, -3.1)])
@pytest.mark.parametrize("name", TABLE)
def test_jets_have_the_class_of_what_is_in_them(name, axis):
    make, expected = TABLE[name]
    record = Record(axis)
    make(record)
    assert record.label() == expected


def test_a_heavy_particle_counts_at_its_own_place_too():
    record = Record()
    w = record.chain(24, at=OUT)
    record.decay(w, 4, -3)
    assert record.label() == "partial"


@pytest.mark.parametrize("distance", [0.79, 0.81])
def test_the_radius_is_a_circle_around_the_axis_also_across_pi(distance):
    for angle in np.linspace(0, 2 * np.pi, 12):
        record = Record((1.0, math.pi - 0.01))
        w = record.add(24)
        record.decay(w, 2, at=(0, 0))
        record.decay(w, -1, at=(distance * math.cos(angle), distance * math.sin(angle)))
        assert record.label() == ("w" if distance < RADIUS else "partial")


@pytest.mark.parametrize("seed", range(150))
def test_random_decays_are_classified_as_by_hand(seed):
    """Decays within decays, with products inside and outside, of many jets and events at once."""
    random = np.random.default_rng(seed)
    heavy = np.array([6, 23, 24, -24, 25, 35, 36, 1000021])
    light = np.array([1, -2, 3, 5, 11, 12, -15, 21, 22, 111])
    events, axes = [], []
    for _ in range(4):
        record = Record(random.uniform(-3, 3, 2))
        for _ in range(random.integers(1, 30)):
            pid = random.choice(heavy if random.random() < 0.3 else light)
            near = IN if random.random() < 0.9 else OUT
            mothers = [n for n, row in enumerate(record.rows) if abs(row[0]) in np.abs(heavy)]
            mother = random.choice(mothers) if mothers and random.random() < 0.9 else -1
            record.add(int(pid), int(mother), near, last=random.random() < 0.9)
        events.append(record)
        axes.append(record.axis)
    offsets = np.cumsum([0, *(len(record.rows) for record in events)])
    parts = [record.particles() for record in events]
    mothers = [np.where(part.mother < 0, -1, part.mother + first) for part, first in zip(parts, offsets, strict=False)]
    joined = [np.concatenate([getattr(part, name) for part in parts]) for name in ("pid", "flags", "eta", "phi")]
    particles = Particles(offsets, joined[0], np.concatenate(mothers), *joined[1:])
    event = random.integers(0, 4, 20)
    eta, phi = np.array(axes)[event].T + random.uniform(-0.6, 0.6, (2, 20))
    found = classify(particles, event, eta, phi, RADIUS)
    jets = zip(event, eta, phi, strict=True)
    expected = [label_in_plain_python(events[i].rows, (its_eta, its_phi), RADIUS) for i, its_eta, its_phi in jets]
    assert [CLASSES[label] for label in found] == expected


def test_no_jets_and_no_particles():
    none = np.zeros(0, dtype=np.int64)
    nothing = Particles(np.zeros(4, dtype=np.int64), none, none, none, np.zeros(0), np.zeros(0))
    assert classify(nothing, np.array([2, 0]), np.zeros(2), np.zeros(2), RADIUS).tolist() == [0, 0]
    record = Record()
    top(record)
    assert classify(record.particles(), none, np.zeros(0), np.zeros(0), RADIUS).tolist() == []


@pytest.mark.parametrize("last", [True, False])
def test_circles_are_refused(last):
    record = Record()
    for mother in (1, 0):
        record.add(24, mother, last=last)
    record.add(2, record.add(24, 0))
    with pytest.raises(ValueError, match="in a circle"):
        record.label()


def test_the_same_classes_as_by_hand_in_real_events(refs):
    uproot = pytest.importorskip("uproot")
    path = refs / "formats" / "nano_tt_v15.root"
    with uproot.open(path) as file:
        names = ("pdgId", "genPartIdxMother", "statusFlags", "eta", "phi")
        stored = file["Events"].arrays([f"GenPart_{name}" for name in names]).to_list()
    events = [list(zip(*(event[f"GenPart_{name}"] for name in names), strict=True)) for event in stored]
    seen = set()
    for radius in (0.2, 0.4, 0.8, 1.5):
        with open_reader(path, settings={"match_radius": radius}) as reader:
            jets = reader.read(0, reader.num_rows)
        axes = zip(jets["eta"].tolist(), jets["phi"].tolist(), strict=True)
        by_hand = [label_in_plain_python(events[i], axis, radius) for i, axis in zip(jets["event"], axes, strict=True)]
        assert [CLASSES[label] for label in jets.label] == by_hand
        seen |= set(itertools.chain(by_hand))
    assert seen == {"qcd", "w", "top", "partial"}
