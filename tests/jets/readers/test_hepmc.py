import gzip
import sys

import numpy as np
import pytest

from jetforge.errors import DataError, JetforgeError
from jetforge.jets import Jets
from jetforge.jets.readers import open_reader, recognise
from jetforge.jets.readers.containers import hepmc_text

pytest.importorskip("pyhepmc", reason="needs the extra 'generate'")
pytest.importorskip("fastjet", reason="needs the extra 'generate'")

from helpers.written import assert_same
from helpers.written.hepmc import LARGEST, write


def lines_of(path):
    return path.read_text().split("\n")


def write_lines(path, lines):
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("version", [3, 2])
@pytest.mark.parametrize("by", ["hand", "pyhepmc"])
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("weighted", [True, False])
def test_every_number_of_every_jet_comes_back_in_order(tmp_path, version, by, zipped, weighted):
    written = write(tmp_path, version=version, by=by, zipped=zipped, weighted=weighted)
    assert recognise(written.path) == "hepmc"
    assert written.counts.max() == LARGEST
    assert written.counts.min() == 1
    with open_reader(written.path) as reader:
        assert (reader.rows_are, reader.num_rows, reader.classes) == ("events", 60, ())
        assert_same(reader.read(0, 60), written)
        event = written.fields["event"]
        for start, stop in ((7, 31), (31, 40), (59, 60), (2, 3), (20, 20), (0, 1)):
            assert_same(reader.read(start, stop), written, *np.searchsorted(event, (start, stop)))
        jets = reader.read(0, 60)
        assert (jets.columns["pid"].dtype, jets.columns["charge"].dtype) == (np.int32, np.float32)
        assert jets.columns["charge"].tolist() == [
            {211: 1, 321: 1, -211: -1, -2212: -1}.get(pid, 0) for pid in jets.columns["pid"].tolist()
        ]


@pytest.mark.parametrize("unit", ["GEV", "MEV"])
@pytest.mark.parametrize("version", [3, 2])
def test_the_unit_is_that_of_each_event(tmp_path, unit, version):
    written = write(tmp_path, num=10, unit=unit, version=version)
    assert {line for line in lines_of(written.path) if line.startswith("U ")} == {"U GEV MM", "U MEV MM"}
    with open_reader(written.path) as reader:
        assert_same(reader.read(0, 10), written)


def test_neutrinos_are_clustered_on_request(tmp_path):
    written = write(tmp_path, num=10, neutrinos=True)
    with open_reader(written.path, settings={"neutrinos": "yes"}) as reader:
        assert_same(reader.read(0, 10), written)


def test_particles_near_the_beam_are_left_out_on_request(tmp_path):
    written = write(tmp_path, num=20)
    with open_reader(written.path, settings={"particle_eta_max": 1.0}) as reader:
        columns = reader.read(0, 20).columns
    assert len(columns["px"]) > 0
    assert np.abs(np.arcsinh(columns["pz"] / np.hypot(columns["px"], columns["py"]))).max() <= 1


@pytest.mark.parametrize("zipped", [False, True])
def test_ranges_are_read_on_from_where_the_last_one_ended(tmp_path, monkeypatch, zipped):
    written = write(tmp_path, zipped=zipped)
    opened = []
    plain = hepmc_text.EventText._open
    monkeypatch.setattr(hepmc_text.EventText, "_open", lambda self: opened.append(0) or plain(self))
    with open_reader(written.path) as reader:
        rewinds = []
        rewind = gzip.GzipFile.rewind
        monkeypatch.setattr(gzip.GzipFile, "rewind", lambda self: rewinds.append(0) or rewind(self))
        parts = [reader.read(start, start + 15) for start in range(0, 60, 15)]
        assert_same(Jets.concatenate(parts), written)
        assert len(opened) == 2  # to check, and to read
        # The look at the first event is behind where reading begins.
        assert len(rewinds) <= 1


def test_events_without_particles_have_no_jets(tmp_path):
    lines = lines_of(write(tmp_path, num=6).path)
    begin = [i for i, line in enumerate(lines) if line.startswith("E ")]
    for event in (4, 3, 0):
        del lines[begin[event] + 1 : begin[event + 1]]
        lines[begin[event] : begin[event] + 1] = [f"E {event} 0 0", "U GEV MM"]
    with open_reader(write_lines(tmp_path / "some.hepmc", lines)) as reader:
        assert set(reader.read(0, 6)["event"]) == {1, 2, 5}
        assert set(reader.read(2, 5)["event"]) == {2}
        assert len(reader.read(3, 5)) == 0
    header, footer = lines[:2], lines[-3:]
    with open_reader(write_lines(tmp_path / "none.hepmc", [*header, *footer])) as reader:
        assert reader.num_rows == 0


def test_line_breaks_of_windows_and_blank_lines_do_no_harm(tmp_path):
    written = write(tmp_path, num=10)
    path = tmp_path / "windows.hepmc"
    path.write_bytes(written.path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    with open_reader(path) as reader:
        assert_same(reader.read(0, 10), written)
    path.write_bytes(written.path.read_bytes().rstrip(b"\n"))
    with open_reader(path) as reader:
        assert_same(reader.read(0, 10), written)


def first(lines, kind, nth=0):
    return [i for i, line in enumerate(lines) if line.startswith(kind)][nth]


def edited(kind, old, new, nth=0):
    def edit(lines):
        place = first(lines, kind, nth)
        assert old in lines[place]
        lines[place] = lines[place].replace(old, new)

    return edit


def removed(kind, nth=0):
    def edit(lines):
        del lines[first(lines, kind, nth)]

    return edit


def repeated(kind, nth=0):
    def edit(lines):
        place = first(lines, kind, nth)
        lines.insert(place, lines[place])

    return edit


BAD = [
    (3, removed("HepMC::Asciiv3-END"), "END_EVENT_LISTING is missing: cut"),
    (3, lambda lines: lines.extend(lines[:50]), "more behind the end of the listing.* split them"),
    (3, lambda lines: lines.__delitem__(slice(40, None)), "END_EVENT_LISTING is missing: cut"),
    (3, removed("P ", 7), "row 1: line .*not as many particles"),
    (3, repeated("P ", 7), "row 1: line .*used twice"),
    (3, removed("P ", 3), "row 0: line .*not as many particles"),
    (3, removed("E ", 0), "line .*none that may stand here"),
    (3, removed("E ", 1), "row 0: line .*none that may stand here"),
    (3, removed("U ", 1), "row 1: line .*does not say its units"),
    (3, edited("U ", "MEV", "MEW", 1), "row 1: line .*does not say its units"),
    (3, edited("U ", " MM", "", 1), "row 1: line .*does not say its units"),
    (3, edited("E ", "E 1000 2 5", "E 1000 2 50"), "row 0: line .*not as many particles"),
    (3, edited("E ", "E 1000 2 5", "E 1000 3 5"), "row 0: line .*not as many vertices"),
    (3, edited("E ", "E 1000 2 5", "E 1000 2 99999999999"), "row 0: line .*not the numbers"),
    (3, edited("E ", "E 1000 2 5", "E 1000 2"), "row 0: line .*not the numbers"),
    (3, edited("V ", "V -1", "V -7"), "row 0: line .*none of this event's"),
    (3, edited("V ", "[1,2]", "[1,77]"), "row 0: line .*none of this event's"),
    (3, edited("V ", "[1,2]", "[1,2"), "row 0: line .*not the numbers"),
    (3, edited("P ", "P 1 0", "P 9 0"), "row 0: line .*none of this event's"),
    (3, edited("P ", "P 1 0 2212", "P 1 0 22x2"), "row 0: line .*not the numbers"),
    (3, edited("P ", "e+00 ", "q+00 "), "row 0: line .*not the numbers"),
    (3, edited("P ", "P ", "Q ", 5), "row 1: line .*none that may stand here"),
    (3, edited("W ", "W 1", "W 1 1", 1), "row 0: the event cannot be read .*number of weights"),
    (3, edited("A ", "A 0", "A \0"), "a byte of 0 .*damaged"),
    (3, edited("HepMC::Asciiv3-START", "START", "STOP"), "it does not begin as a HepMC file"),
    (2, removed("HepMC::IO_GenEvent-END"), "END_EVENT_LISTING is missing: cut"),
    (2, removed("P ", 7), "row 1: line .*not as many particles"),
    (2, repeated("P ", 7), "row 1: line .*not as many particles"),
    (2, removed("V ", 2), "row 1: line .*not as many"),
    (2, removed("U ", 1), "row 1: line .*does not say its units"),
    (2, edited("V ", " 2 1 0", " 2 1 0 7"), "row 0: line .*not the numbers"),
    (2, edited("E ", " 2 17 -4 ", " 3 17 -4 "), "row 0: line .*not the numbers"),
    (2, edited("E ", " 2 17 -4 1 ", " 2 17 -4 3 "), "row 0: line .*not the numbers"),
    (2, edited("P ", " 0 0 -1 0", " 0 0 -1 2"), "row 0: line .*not the numbers"),
]  # fmt: skip


@pytest.mark.parametrize(("version", "edit", "message"), BAD)
def test_what_breaks_a_rule_is_refused_with_its_row_and_line(tmp_path, version, edit, message):
    lines = lines_of(write(tmp_path, num=6, version=version).path)
    edit(lines)
    path = write_lines(tmp_path / "bad.hepmc", lines)
    with pytest.raises(DataError, match=message) as raised, open_reader(path, "hepmc") as reader:
        reader.read(0, reader.num_rows)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("nan 1.0e+01 1.0e+01 2.0e+01", "row 2: particle 0 .*not a finite momentum"),
        ("1.0e+01 1.0e+01 1.0e+01 1.0e+01", r"row 2: particle 0 .*below \|p\|"),
        ("1.0e+01 1.0e+01 1.0e+01 -2.0e+01", "row 2: particle 0 .*is negative"),
    ],
)
def test_momenta_that_are_none_are_refused(tmp_path, values, message):
    lines = lines_of(write(tmp_path, num=6).path)
    place = first(lines, "E ", 2)
    place += next(i for i, line in enumerate(lines[place:]) if line.startswith("P ") and line.endswith(" 1"))
    words = lines[place].split()
    lines[place] = " ".join([*words[:4], values, *words[8:]])
    with open_reader(write_lines(tmp_path / "bad.hepmc", lines)) as reader:
        with pytest.raises(DataError, match=message):
            reader.read(0, 6)
        assert len(reader.read(3, 6)) > 0


@pytest.mark.parametrize(("pid", "mass"), [("211", "1.395700000e-01"), ("22", "0.000000000e+00")])
def test_energy_momentum_and_mass_belong_together(tmp_path, pid, mass):
    lines = lines_of(write(tmp_path, num=6).path)
    place = first(lines, "E ", 2)
    place += next(i for i, line in enumerate(lines[place:]) if line.startswith("P ") and line.endswith(" 1"))
    words = lines[place].split()
    lines[place] = " ".join([*words[:3], pid, "3.0e+01 4.0e+01 1.2e+02", "1.4e+02", mass, "1"])
    path = write_lines(tmp_path / "bad.hepmc", lines)
    with (
        open_reader(path) as reader,
        pytest.raises(DataError, match=r"row 2: particle 0: energy 140, momentum 130 and mass .*on_shell=no"),
    ):
        reader.read(0, 6)
    with open_reader(path, settings={"on_shell": "no"}) as reader:
        assert len(reader.read(0, 6)) > 0
    # A mass of zero says nothing of other particles.
    lines[place] = lines[place].replace(" 22 ", " 130 ")
    if mass.startswith("0"):
        with open_reader(write_lines(path, lines)) as reader:
            assert len(reader.read(0, 6)) > 0


def test_weights_are_of_all_events_or_of_none_and_finite(tmp_path):
    lines = lines_of(write(tmp_path, num=6).path)
    del lines[first(lines, "W ", 0)]
    del lines[first(lines, "W ", 3)]
    with (
        open_reader(write_lines(tmp_path / "some.hepmc", lines)) as reader,
        pytest.raises(DataError, match="row 3: some events have a weight and others have none"),
    ):
        reader.read(0, 6)
    # HepMC3 takes no "nan", HepMC2 does.
    lines = lines_of(write(tmp_path, num=6, version=2).path)
    words = lines[first(lines, "E ", 4)].split()
    lines[first(lines, "E ", 4)] = " ".join([*words[:-1], "inf"])
    with (
        open_reader(write_lines(tmp_path / "infinite.hepmc", lines)) as reader,
        pytest.raises(DataError, match="row 4: the weight is inf"),
    ):
        reader.read(0, 6)


@pytest.mark.parametrize("share", [0.3, 0.7, 0.999])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_cut_file_is_refused(tmp_path, share, zipped):
    data = write(tmp_path, zipped=zipped).path.read_bytes()
    path = tmp_path / "cut.hepmc"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DataError, match=r"cut\.hepmc.*(cut|damaged)"):
        open_reader(path, "hepmc")


@pytest.mark.parametrize("length", [1 << 18, 1 << 21])
def test_lines_longer_than_pyhepmc_reads_are_refused(tmp_path, length):
    lines = lines_of(write(tmp_path, num=6).path)
    lines[first(lines, "A ", 0)] += "x" * length
    with pytest.raises(DataError, match="line 8: the line is longer than 262,143 bytes"):
        open_reader(write_lines(tmp_path / "long.hepmc", lines))


def test_without_pyhepmc_the_error_says_what_to_install(tmp_path, monkeypatch):
    path = write(tmp_path, num=2).path
    monkeypatch.setitem(sys.modules, "pyhepmc", None)
    assert recognise(path) == "hepmc"
    with pytest.raises(JetforgeError, match=r"pip install 'jetforge\[generate\]'"):
        open_reader(path)


def test_other_text_is_not_of_this_format(tmp_path):
    path = tmp_path / "other.txt"
    path.write_text("E 1 2 3\nP 1 0 22 0 0 1 1 0 1\n")
    with pytest.raises(DataError, match="of none of the known formats"):
        recognise(path)
