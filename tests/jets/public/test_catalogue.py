"""The catalogue of public data sets: every entry holds to the rules, and mistakes in one of your own are named."""

import re
from urllib.parse import urlsplit

import pytest

from jetforge.errors import DataError, JetforgeError
from jetforge.jets.public import FileList, PublicFile, get_set, load_catalogue
from jetforge.jets.public.catalogue import CATALOGUE_VARIABLE, DIGITS, choose
from jetforge.jets.public.listing import listed_files
from jetforge.jets.readers import list_formats


@pytest.fixture(scope="module")
def sets():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(CATALOGUE_VARIABLE, raising=False)
        return load_catalogue()


def test_every_set_says_what_it_is_and_how_to_cite_it(sets):
    assert len(sets) == 26
    assert {one.name for one in sets.values()} == set(sets)
    assert len({one.title for one in sets.values()}) == len(sets)
    for one in sets.values():
        assert one.format in list_formats()
        assert re.search(r"arXiv:|doi:|record \d", one.citation), one.name
        assert one.home.startswith("https://")
        assert one.doi is None or one.doi in one.citation or one.citation.startswith("as "), one.name
        if any(file.name.endswith((".tar", ".gz")) for file in one.files) or one.lists:
            assert one.pattern is not None or one.format == "lundnet", one.name


def test_every_file_has_an_address_and_what_is_known_of_it_is_well_formed(sets):
    addresses = []
    for one in sets.values():
        for file in (*one.files, *one.lists):
            addresses.append(file.url)
            assert urlsplit(file.url).scheme == "https"
            assert file.size is None or file.size > 0
            if file.checksum is not None:
                algorithm, _, value = file.checksum.partition(":")
                assert re.fullmatch(f"[0-9a-f]{{{DIGITS[algorithm]}}}", value), file.name
    assert len(addresses) == len(set(addresses)) == 350


def test_files_of_one_set_differ(sets):
    for one in sets.values():
        sums = [file.checksum for file in (*one.files, *one.lists) if file.checksum]
        assert len(sums) == len(set(sums)), one.name


def test_known_sizes_add_up(sets):
    assert sets["aspen-open-jets"].known_size == 207_292_621_489
    assert sets["aspen-open-jets"].size_is_known
    assert not sets["atlas-toptag-2024"].size_is_known
    assert [file.group for file in sets["toptag"].files] == ["train", "val", "test"]


def test_an_unknown_name_suggests_the_nearest(monkeypatch):
    monkeypatch.delenv(CATALOGUE_VARIABLE, raising=False)
    assert get_set("toptag").format == "toptag"
    for name, nearest in (("toptga", "toptag"), ("JetClass", "jetclass"), ("aspen", "aspen-open-jets")):
        with pytest.raises(JetforgeError, match=f"did you mean '{nearest}'"):
            get_set(name)
    with pytest.raises(JetforgeError, match="jetforge datasets"):
        get_set("")


def test_files_are_chosen_by_name_pattern_or_group(sets):
    files = sets["toptag"].files
    assert [file.name for file in choose(files, ["t*"], "toptag")] == ["train.h5", "test.h5"]
    assert [file.name for file in choose(files, ["val", "test.h5"], "toptag")] == ["val.h5", "test.h5"]
    assert choose(files, [], "toptag") == list(files)
    with pytest.raises(JetforgeError, match=r"'trian'.*train.h5.*groups are train, val, test"):
        choose(files, ["trian"], "toptag")


OWN = """\
ours:
  title: Our jets
  format: columns
  citation: to appear
  page: https://example.org/jets
  url: https://example.org/{name}?download=1
  files:
    - {name: a.h5, size: 10, checksum: "sha256:SUM", group: train, class: qcd}
    - {name: b.h5, url: "http://example.org/other"}
""".replace("SUM", "A0" * 32)


def test_a_catalogue_of_ones_own_comes_in_addition(tmp_path, monkeypatch):
    path = tmp_path / "ours.yaml"
    path.write_text(OWN)
    monkeypatch.setenv(CATALOGUE_VARIABLE, str(path))
    first, second = get_set("ours").files
    assert first.url == "https://example.org/a.h5?download=1"
    assert first.checksum == "sha256:" + "a0" * 32
    assert (first.class_name, first.group) == ("qcd", "train")
    assert (second.url, second.size, second.checksum) == ("http://example.org/other", None, None)
    assert get_set("toptag").files
    assert list(load_catalogue(path)) == ["ours"]
    path.write_text(OWN.replace("ours:", "toptag:"))
    assert get_set("toptag").title == "Our jets"


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("name: a.h5", "name: ../a.h5", 8, "ours.files.0.name: .*no folder"),
        ("name: a.h5", "name: /etc/a.h5", 8, "no folder"),
        ("name: a.h5", "name: a/b.h5", 8, "no folder"),
        ("name: a.h5", 'name: "a\\\\b.h5"', 8, "no folder"),
        ("name: a.h5", "name: .a", 8, "begins with no dot"),
        ("name: a.h5", "name: a.h5.part", 8, "cannot end in"),
        ("name: a.h5", "name: a.h5.sha256", 8, "cannot end in"),
        ("name: a.h5", "name: B.h5", 1, "b.h5 is named twice"),
        ('"http://example.org/other"', "file:///etc/passwd", 9, "https:// or http://"),
        ('"http://example.org/other"', "ftp://example.org/b", 9, "https:// or http://"),
        ('"http://example.org/other"', "'https://'", 9, "https:// or http://"),
        ('"http://example.org/other"', "'https://example.org:99999/b'", 9, "https:// or http://"),
        ("size: 10", "size: 0", 8, "greater than 0, not 0"),
        ("size: 10", "size: '10'", 8, "valid integer"),
        ("sha256:", "sha3:", 8, "sha256 .64 digits"),
        ("A0A0", "A0", 8, "algorithm:hex"),
        ("format: columns", "format: colums", 1, "no format 'colums'; did you mean 'columns'"),
        ("  title: Our jets\n", "", 1, "ours.title: is missing"),
        ("  page: https://example.org/jets\n", "", 1, "a doi or a page"),
        ("{name}?", "", 1, "{name} where the name"),
        ("  citation:", "  citations:", 1, "citation: is missing"),
        ("group:", "gruop:", 8, "gruop: there is no such field"),
        ("ours:", "Ours!:", 1, "pattern"),
        ("  title: Our jets\n", "  title: Our jets\n  title: Ours\n", 3, "given twice, first in line 2"),
        ("files:", "files: [", 8, "not valid YAML"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path, old, new, line, words):
    path = tmp_path / "ours.yaml"
    assert old in OWN
    path.write_text(OWN.replace(old, new))
    with pytest.raises(JetforgeError, match=words) as caught:
        load_catalogue(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert "\n" not in str(caught.value)


def test_what_is_no_catalogue_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "ours.yaml"
    monkeypatch.setenv(CATALOGUE_VARIABLE, str(path))
    with pytest.raises(JetforgeError, match=f"JETFORGE_CATALOGUE={path}: the catalogue cannot be read: No such file"):
        load_catalogue()
    for content in (b"", b"- a\n- b\n", b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(JetforgeError, match=f"{path}:.*catalogue"):
            load_catalogue()


def listing(form):
    described = {"name": "list.txt", "url": "https://example.org/list.txt", "form": form, "group": "train"}
    return FileList.model_validate(described)


def test_a_file_index_of_cern_names_files(tmp_path):
    path = tmp_path / "list.json"
    path.write_text(
        '[{"checksum": "adler32:0197b224", "size": 5, "filename": "x", '
        '"uri": "root://eospublic.cern.ch//eos/opendata/atlas/set_000.h5.gz"}]'
    )
    (file,) = listed_files(path, listing("cern"))
    assert file == PublicFile(
        name="set_000.h5.gz", url="https://opendata.cern.ch/eos/opendata/atlas/set_000.h5.gz", size=5,
        checksum="adler32:0197b224", group="train",
    )  # fmt: skip


def test_a_list_of_addresses_names_files(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text(
        "# all\nhttps://example.org/a/Res2P_0000.parquet?download=true\n\nhttps://example.org/b/QCD_0001.parquet\n"
    )
    assert [file.name for file in listed_files(path, listing("urls"))] == ["Res2P_0000.parquet", "QCD_0001.parquet"]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("cern", ""), ("cern", "{}"), ("cern", '[{"size": 1}]'), ("cern", "[]"), ("cern", '[{"uri": "root://else/x"}]'),
        ("cern", '[{"uri": "https://example.org/x", "size": -1}]'), ("urls", "\n"), ("urls", "<html>"),
        ("urls", "https://example.org/"), ("urls", "https://example.org/a/%2e%2e"), ("urls", "file:///etc/passwd"),
    ],
)  # fmt: skip
def test_what_is_no_list_is_refused(tmp_path, form, text):
    path = tmp_path / "list.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=str(path)):
        listed_files(path, listing(form))
