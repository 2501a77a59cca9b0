"""The report is one file, whole, safe and the same each time."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from helpers.jets import awkward_jets, spread_jet

from jetforge.errors import JetforgeError
from jetforge.evaluation.lund_plots import plot_lund_planes
from jetforge.evaluation.metrics import evaluate_scores
from jetforge.evaluation.plots import plot_learning_curve, plot_scores
from jetforge.evaluation.report import save_figures, write_report
from jetforge.physics.lund.plane import lund_density

EVIL = "<script>alert('x')</script> & \"co\""


class Page(HTMLParser):
    """Reads a page: tags with attributes, text, and whether every tag is closed."""

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def metrics():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 1000)
    return evaluate_scores(labels, rng.normal(labels, 1.0), classes=["qcd", EVIL])


@pytest.fixture(scope="module")
def learning():
    return plot_learning_curve([{"epoch": 1, "train_loss": 0.5}, {"epoch": 2, "train_loss": 0.4}])


def write(path, metrics, learning):
    plane = lund_density(awkward_jets(spread_jet(1, 10), spread_jet(2, 20)))
    return write_report(
        path,
        title=EVIL,
        metrics=metrics,
        figures={"Learning curve": learning, f"Lund {EVIL}": [plot_lund_planes({"qcd": plane})]},
        tables={"Learning curve": [{"epoch": 1, EVIL: -0.25}, {"epoch": 2, "loss": None}], "Empty": []},
        notes={"Learning curve": EVIL, "Remark": "text only"},
        provenance={
            "dataset": {"path": EVIL, "seeds": [1, 2], "parts": [{"sha256": "ab" * 32}], "none": {}},
            EVIL: 0.1,
        },
        command=f"jetforge evaluate {EVIL}",
    )


def test_the_page_is_well_formed_and_asks_nothing_of_the_net(tmp_path, metrics, learning):
    path = write(tmp_path / "deep" / "report.html", metrics, learning)
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "iframe"}
    assert "script>" not in re.sub(r"&lt;/?script&gt;", "", text)
    sources = [attrs["src"] for _, attrs in page.tags if "src" in attrs]
    assert [source.split(";")[0] for source in sources] == ["data:image/svg+xml", "data:image/png"]
    assert not re.search(r"url\(|@import|https?://", re.sub(r'src="[^"]*"', "", text))
    assert ("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}) in page.tags


def test_every_word_given_is_on_the_page(tmp_path, metrics, learning):
    page = Page(write(tmp_path / "report.html", metrics, learning).read_text(encoding="utf-8"))
    text = "".join(page.text)
    assert text.count(EVIL) == 9
    for words in (
        "text only",
        "1, 2",
        "ab" * 32,
        "−0.25",
        "jetforge evaluate",
        "exact binomial",
        "1,000 jets",
    ):
        assert words in text
    assert "0.3" in text
    assert [tag for tag, _ in page.tags].count("table") == 2


def test_figures_are_embedded_whole(tmp_path, metrics, learning):
    text = write(tmp_path / "report.html", metrics, learning).read_text(encoding="utf-8")
    svg, png = (base64.b64decode(data) for data in re.findall(r"base64,([^\"]*)", text))
    assert svg.rstrip().endswith(b"</svg>")
    assert png.startswith(b"\x89PNG")


def test_a_large_figure_is_embedded_as_png(tmp_path, metrics):
    rng = np.random.default_rng(2)
    figure = plot_scores(np.arange(30_000) % 2, rng.random(30_000), bins=4000)
    path = write_report(tmp_path / "report.html", title="t", metrics=metrics, figures={"Scores": figure})
    assert "data:image/png" in path.read_text(encoding="utf-8")
    assert path.stat().st_size < 500_000


def test_figures_are_saved_and_those_of_an_earlier_report_removed(tmp_path, learning):
    folder = tmp_path / "figures"
    both = save_figures({"Learning curves": [learning, learning]}, folder)
    assert [path.name for path in both] == [
        "learning-curves.pdf", "learning-curves.png", "learning-curves-2.pdf", "learning-curves-2.png",
    ]  # fmt: skip
    assert both[0].read_bytes().startswith(b"%PDF")
    (folder / "notes.txt").write_text("mine")
    assert save_figures({"Learning curves": learning}, folder) == both[:2]
    assert set(folder.iterdir()) == {*both, folder / "notes.txt"}
    save_figures({"Learning curves": learning}, folder, only=True)
    assert set(folder.iterdir()) == {*both[:2], folder / "notes.txt"}


def test_the_same_evaluation_gives_the_same_bytes(tmp_path, metrics, learning):
    first = write(tmp_path / "first.html", metrics, learning).read_bytes()
    assert first == write(tmp_path / "second.html", metrics, learning).read_bytes()


def test_a_report_takes_the_place_of_the_former_one(tmp_path, metrics):
    for title in ("first", "second"):
        path = write_report(tmp_path / "report.html", title=title, metrics=metrics)
    assert "<h1>second</h1>" in path.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_that_is_no_unicode_is_written_as_its_bytes(tmp_path, metrics):
    path = write_report(tmp_path / "report.html", title="run-\udce9", metrics=metrics)
    assert r"<h1>run-\udce9</h1>" in path.read_text(encoding="utf-8")


def test_a_place_that_cannot_be_written_is_named_and_left_clean(tmp_path, metrics):
    (tmp_path / "folder").mkdir()
    with pytest.raises(JetforgeError, match=r"cannot write .*folder"):
        write_report(tmp_path / "folder", title="t", metrics=metrics)
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
