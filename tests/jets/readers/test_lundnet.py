import gzip
import json

import numpy as np
import pytest
from helpers.written import assert_same
from helpers.written.lundnet import HEADER, write
from hypothesis import given
from hypothesis import strategies as st

from jetforge.errors import DataError
from jetforge.jets.readers import open_reader, recognise
from jetforge.jets.readers.containers.json_momenta import Keys, Parser
from jetforge.jets.readers.contents import look_into
from jetforge.jets.readers.lundnet import LundNetReader

VARIANTS = {
    "as published": {},
    "with a header and a footer": {"header": HEADER},
    "all digits of doubles": {"digits": 17},
    "not zipped": {"suffix": ".json"},
    "lists": {"kind": "lists"},
    "without the jet": {"with_jet": False},
    "lists without the jet": {"kind": "lists", "with_jet": False, "digits": 17},
    "blanks and line breaks of Windows": {"separators": (" ,\t", " : "), "line_break": "\r\n", "header": HEADER},
}
TRUTH = '{"E":5.0,"px":3.0,"py":0.0,"pz":4.0}'
JET = f"[{TRUTH},{TRUTH}]"


def same(jets, written, start=0, stop=None):
    assert_same(jets, written, start, stop)
    assert jets.fields.keys() == written.fields.keys()
    low = int(written.counts[:start].sum())
    for name, values in written.columns.items():
        np.testing.assert_array_equal(jets.columns[name], values[low : low + len(jets.columns[name])], err_msg=name)


def lines_in(path, *lines):
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
    return path


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_number_of_every_jet_comes_back_in_order(tmp_path, variant):
    written = write(tmp_path, **VARIANTS[variant])
    assert recognise(written.path) == "lundnet"
    with open_reader(written.path) as reader:
        assert (reader.num_rows, reader.classes) == (60, ())
        for start, stop in ((0, 60), (7, 31), (31, 40), (45, 46), (59, 60), (20, 20), (0, 0), (0, 3)):
            same(reader.read(start, stop), written, start, stop)


@pytest.mark.parametrize("size", [1, 100, 5000])
def test_blocks_that_end_anywhere_give_the_same(tmp_path, monkeypatch, size):
    monkeypatch.setattr("jetforge.jets.readers.containers.jet_lines._BLOCK", size)
    written = write(tmp_path, num=8, header=HEADER)
    with open_reader(written.path) as reader:
        for start, stop in ((0, 8), (3, 7), (7, 8)):
            same(reader.read(start, stop), written, start, stop)


def test_the_sample_that_its_authors_once_published(refs):
    path = refs / "formats" / "jetsgame_constit.json.gz"
    if not path.is_file():
        pytest.skip(f"no reference file: {path} is absent")
    assert recognise(path) == "lundnet"
    with gzip.open(path) as file:
        truth = [json.loads(line) for line in file]
    with open_reader(path) as reader:
        jets = reader.read(0, reader.num_rows)
    assert np.diff(jets.offsets).tolist() == [len(entries) - 1 for entries in truth]
    for name, key in zip(("px", "py", "pz", "energy"), ("px", "py", "pz", "E"), strict=True):
        assert jets.columns[name].tolist() == [entry[key] for entries in truth for entry in entries[1:]]
    assert jets["energy"].tolist() == [entries[0]["E"] for entries in truth]
    assert (jets["pt"] > 2000).all()


def test_the_last_line_needs_no_line_break_and_empty_lines_are_no_jets(tmp_path):
    path = tmp_path / "jets.json"
    path.write_text(f"\n{JET}\n \t\n\n{JET}")
    with open_reader(path) as reader:
        assert reader.num_rows == 2
        assert np.diff(reader.read(0, 2).offsets).tolist() == [1, 1]


def test_momenta_in_mev_become_gev(tmp_path):
    gev = write(tmp_path, digits=17)
    jets = [[{key: 1000 * x for key, x in entry.items()} for entry in json.loads(line)]
            for line in gzip.decompress(gev.path.read_bytes()).splitlines()]  # fmt: skip
    path = lines_in(tmp_path / "mev.json.gz", *map(json.dumps, jets))
    with open_reader(path, settings={"unit": "MeV"}) as reader:
        assert_same(reader.read(0, 60), gev)


def test_keys_in_any_order_and_further_ones(tmp_path):
    first = {"pz": 4, "Charge": -1, "py": 0, "px": 3, "E": 5, "pt": 3, "phi": 0.0, "rap": 1.0986}
    other = dict(reversed([*first.items()])) | {"Charge": 1}
    with open_reader(lines_in(tmp_path / "more.json.gz", json.dumps([first, other, first])), "lundnet") as reader:
        jets = reader.read(0, 1)
    assert set(jets.columns) == {"px", "py", "pz", "energy", "charge"}
    assert jets.columns["charge"].tolist() == [-1, 1, -1]
    assert jets.columns["energy"].tolist() == [5, 5, 5]


def test_which_entry_is_the_jet_can_be_said(tmp_path):
    # Groomed, say: the first entry is more than the sum of the others.
    small = '{"E":0.5,"px":0.3,"py":0.0,"pz":0.4}'
    path = lines_in(tmp_path / "groomed.json.gz", *[f"[{TRUTH},{small},{small},{small}]"] * 3)
    with pytest.raises(DataError, match=r"too large for constituents.* first=jet or first=constituent"):
        open_reader(path)
    for first, counts in (("constituent", [4, 4, 4]), ("jet", [3, 3, 3])):
        with open_reader(path, settings={"first": first}) as reader:
            jets = reader.read(0, 3)
        assert np.diff(jets.offsets).tolist() == counts
        assert ("pt" in jets.fields) == (first == "jet")


def test_two_equal_constituents_are_not_a_jet_and_its_constituent(tmp_path):
    written = write(tmp_path, with_jet=False)
    text = gzip.decompress(written.path.read_bytes()).decode()
    path = lines_in(tmp_path / "pair.json.gz", JET, *text.splitlines(), "[]")
    with open_reader(path) as reader:
        assert np.diff(reader.read(0, 62).offsets).tolist() == [2, *written.counts, 0]


def test_entries_of_zeros_are_padding(tmp_path):
    path = lines_in(tmp_path / "padded.json.gz", "[[3,0,4,5],[3,0,-4,5],[0,0,0,0.0]]", "[[0,0,0,0]]", "[[0,1,0,1]]")
    with open_reader(path, settings={"first": "constituent"}) as reader:
        jets = reader.read(0, 3)
    assert np.diff(jets.offsets).tolist() == [2, 0, 1]
    assert jets.columns["py"].tolist() == [0, 0, 1]


NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)


@given(st.lists(NUMBERS | st.floats(-1e99, 1e99).map(repr), min_size=4, max_size=4))
def test_numbers_are_those_that_python_reads(texts):
    text = np.frombuffer(f"[[{','.join(texts)}]]\n".encode(), dtype=np.uint8)
    parsed = Parser(Keys.of(("px", "py", "pz", "E"), are_named=False)).parse(text, 0, 1)
    wanted = [float(number) for number in texts]
    if parsed.problem:
        assert max(map(abs, wanted)) > 9e99
    else:
        # Those below 1e-300 are taken for zeros.
        np.testing.assert_allclose(parsed.values[0], wanted, rtol=0, atol=1e-299)
        assert [x for x in parsed.values[0] if abs(x) > 1e-299] == [x for x in wanted if abs(x) > 1e-299]


LINE = '[{"E":5.0,"px":-3e0,"py":0,"pz":4.25}, {"px":1,"py":2,"E":30,"pz":4}]'


def as_json(line):
    """Return the numbers of a line, None if it is no list of four-momenta."""
    try:
        entries = json.loads(line, object_pairs_hook=list)
    except ValueError:
        return None
    if type(entries) is not list or not all(type(entry) is list for entry in entries):
        return None
    pairs = [pair for entry in entries for pair in entry]
    if not all(type(pair) is tuple and type(pair[1]) in (int, float) and abs(pair[1]) < 1e99 for pair in pairs):
        return None
    if not all(sorted(key for key, _ in entry) == ["E", "px", "py", "pz"] for entry in entries):
        return None
    return [[float(dict(entry)[key]) for key in ("E", "px", "py", "pz")] for entry in entries]


@given(st.lists(st.tuples(st.integers(0, len(LINE)), st.integers(0, 2), st.sampled_from([*'[]{},:"-+.e0x1 \t\\N', ""])),
                min_size=1, max_size=3))  # fmt: skip
def test_lines_are_taken_that_are_jets_in_json_and_no_others(changes):
    line = LINE
    for place, length, new in changes:
        line = line[:place] + new + line[place + length :]
    text = np.frombuffer(f"{line}\n".encode(), dtype=np.uint8)
    parsed = Parser(Keys.of(("E", "px", "py", "pz"), are_named=True)).parse(text, 0, 1)
    wanted = as_json(line)
    if line.strip().startswith('"') or not line.strip():
        assert len(parsed.counts) == 0
    elif wanted is None:
        assert parsed.problem
    else:
        assert (parsed.problem, parsed.counts.tolist(), parsed.values.tolist()) == (0, [len(wanted)], wanted)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"[{TRUTH},{TRUTH[:-1]}", "row 2: the line is no list of four-momenta in JSON, near "),
        (f"{JET} {JET}", "row 2: the line is no list"),
        (f"[{JET}]", "row 2: an entry is of another kind"),
        (TRUTH, "row 2: the line is no list"),
        ("null", "row 2: the line is no list"),
        (JET.replace("3.0", "NaN", 1), "row 2: a component is no finite number, near .*NaN"),
        (JET.replace("3.0", "-Infinity", 1), "row 2: a component is no finite number"),
        (JET.replace("3.0", "null", 1), "row 2: a component is no finite number"),
        (JET.replace("3.0", '"3.0"', 1), "row 2: a component is no finite number"),
        (JET.replace("3.0", "03", 1), "row 2: a component is no finite number"),
        (JET.replace("3.0", "3.", 1), "row 2: the line is no list"),
        (JET.replace("3.0", "3\0", 1), "row 2: the line is no list"),
        (JET.replace("3.0", "3e999", 1), "row 2: a component is larger than 1e100"),
        (JET.replace('"px"', '"pt"', 1), "row 2: an entry has a key that the file's first entry lacks"),
        (JET.replace('"px"', '"py"', 1), "row 2: an entry has a key twice"),
        (JET.replace('"px":3.0,', "", 1), "row 2: an entry lacks a key"),
        (JET.replace(TRUTH, "{}", 1), "row 2: an entry lacks a key"),
        (JET.replace(TRUTH, "[3,0,4,5]", 1), "row 2: an entry is of another kind than the file's first"),
        (JET.replace("5.0", "5.1", 1), "row 2: its first entry is not the sum of the others.*option first=jet"),
        (f"[{TRUTH}]", "row 2: its first entry is not the sum"),
        ("[]", "row 2: the line is empty; its first entry should be the jet"),
        (JET.replace("5.0", "4.0"), "row 2: the jet's energy is not above its pz"),
    ],
)
def test_strange_lines_are_refused_with_their_row(tmp_path, monkeypatch, line, message):
    monkeypatch.setattr("jetforge.jets.readers.lundnet._PROBE_ROWS", 2)
    path = lines_in(tmp_path / "strange.json.gz", JET, '"a header"', JET, line, JET)
    with open_reader(path) as reader:
        assert reader.num_rows == 4
        assert len(reader.read(0, 2)) == 2
        for start, stop in ((0, 3), (2, 3)):
            with pytest.raises(DataError, match=message) as raised:
                reader.read(start, stop)
            assert str(path) in str(raised.value)
        assert len(reader.read(1, 2)) == 1


def test_a_jet_damaged_into_a_header_is_refused(tmp_path):
    path = lines_in(tmp_path / "header.json.gz", JET, JET.replace("[", '"', 1), JET)
    with pytest.raises(DataError, match="row 1: the line is no list of four-momenta in JSON"):
        open_reader(path)


@pytest.mark.parametrize("entries", ["[1,2,3,4,5]", "[1,2,3]", "[]"])
def test_lists_of_another_length_are_refused(tmp_path, entries):
    path = lines_in(tmp_path / "lists.json.gz", "[[3,0,4,5],[6,0,8,10]]", f"[[3,0,4,5],{entries}]")
    with (
        pytest.raises(DataError, match="row 1: an entry has more or fewer than four numbers"),
        open_reader(path) as reader,
    ):
        reader.read(1, 2)


@pytest.mark.parametrize(
    "text",
    [
        '[{"delta_R":0.9,"kt":6.4,"m":181.7,"pt":2015.9,"pt1":2009.3,"pt2":7.0,"varphi":1.9,"z":0.003}]\n',
        '"a header alone"\n',
        "[]\n[]\n",
        "[[1,2,3]]\n",
        '[["px","py","pz","E"]]\n',
        '[{"px":1,"py":2,"pz":3}]\n',
        f'{{"jets":[{JET}]}}\n',
        f"[{JET}]\n",
        "[\n[[1,2,3,4]]\n]\n",
        "px py pz E\n",
    ],
)
def test_other_text_is_not_taken_for_jets(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text)
    assert not LundNetReader.recognises(look_into(path))
    with pytest.raises(DataError, match="no lists of four-momenta with px, py, pz, E"):
        open_reader(path, "lundnet")


@pytest.mark.parametrize("key", ["jet_pt", "energy", "weight", "two words"])
def test_a_key_that_is_no_name_of_a_column_is_refused(tmp_path, key):
    path = lines_in(tmp_path / "key.json.gz", json.dumps([{"px": 3, "py": 0, "pz": 4, "E": 5, key: 1}]))
    with pytest.raises(DataError, match=f"a key '{key}', which is no name of a column"):
        open_reader(path, "lundnet")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.97, 0.9999])
def test_a_cut_zipped_file_is_refused_when_it_is_opened(tmp_path, share):
    path = write(tmp_path).path
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DataError, match=r"cut or damaged|not a whole gzip file"):
        open_reader(path, "lundnet")


def test_a_plain_file_cut_within_a_line_is_refused(tmp_path):
    path = write(tmp_path, suffix=".json").path
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="row 59: the line is no list"):
        open_reader(path)


def test_a_line_of_absurd_length_is_refused(tmp_path):
    path = tmp_path / "long.json.gz"
    path.write_bytes(gzip.compress((JET + "\n[" + " " * (18 << 20)).encode(), 1))
    with pytest.raises(DataError, match="a line is longer than 16,777,216 bytes"):
        open_reader(path, "lundnet")


def test_a_file_made_to_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("jetforge.jets.readers.containers.limits._ALWAYS_ALLOWED", 1 << 20)
    path = tmp_path / "bomb.json.gz"
    path.write_bytes(gzip.compress(f"{JET}\n".encode() + b"[]\n" * (1 << 20), 9))
    with pytest.raises(DataError, match=r"claims .* bytes in"):
        open_reader(path, "lundnet")
