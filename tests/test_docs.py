"""The documentation agrees with the code: names, options, messages, presets and the order of the floors."""

import ast
import importlib
import importlib.util
import math
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from jetforge.learning.recipe import Recipe, load_recipe
from jetforge.learning.sections import TrainingSection
from jetforge.physics import list_observables
from jetforge.physics.lund import FLOOR, Z_FLOOR

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SOURCE = ROOT / "src" / "jetforge"
PAGES = sorted(DOCS.rglob("*.md"))
FLOORS = (
    "physics",
    "jets",
    "events",
    "representations",
    "taggers",
    "learning",
    "evaluation",
    "deploy",
    "studies",
    "cli",
)
BELOW_ALL = ("_version", "errors", "files", "yaml_files")


def named(page: Path) -> ModuleType | Any:
    return page.relative_to(ROOT).as_posix()


def resolve(name: str) -> Any:
    """Import the longest module that a dotted name begins with, and walk the rest."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            found = getattr(found, attribute)
        return found
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=named)
def test_names_of_code_exist(page):
    for name in set(re.findall(r"\bjetforge(?:\.[A-Za-z_]\w*)+", page.read_text())):
        if name.removeprefix("jetforge.") not in ("scheduler", "python"):
            resolve(name)


def imports(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports anywhere, and the names that it imports from packages."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_package_has_its_floor():
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert packages == set(FLOORS)
    text = (DOCS / "architecture.md").read_text()
    places = [text.index(f" │ {floor} ") for floor in reversed(FLOORS)]
    assert places == sorted(places), "the drawing has another order"


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floor_imports_only_from_below(floor):
    allowed = {*FLOORS[: FLOORS.index(floor) + 1], *BELOW_ALL}
    for path in (SOURCE / floor).rglob("*.py"):
        for module in imports(path):
            package, _, rest = module.partition(".")
            if package == "jetforge":
                assert rest.split(".")[0] in allowed, f"{path.relative_to(ROOT)} imports {module}"


@pytest.mark.parametrize("name", BELOW_ALL)
def test_the_ground_imports_no_floor(name):
    for module in imports(SOURCE / f"{name}.py"):
        assert not module.startswith("jetforge.") or module.split(".")[1] in BELOW_ALL


def headings(page: Path) -> set[str]:
    """Return the anchors of a page, as Python-Markdown makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    anchors = set(re.findall(r"^::: (\S+)$", text, re.MULTILINE))
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        kept = re.sub(r"[^\w\s-]", "", heading.encode("ascii", "ignore").decode()).strip().lower()
        anchors.add(re.sub(r"[-\s]+", "-", kept))
    return anchors


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=named)
def test_internal_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.is_file(), f"{target} does not exist"
        if anchor:
            assert anchor in headings(there), f"{target}: no such heading"


def test_pages_state_the_numbers_of_jets_of_the_recipes():
    text = (ROOT / "README.md").read_text() + (DOCS / "benchmarks.md").read_text()
    for name in ("demo", "toptag-lundnet5", "lundnet-top-500"):
        wanted = load_recipe(ROOT / "recipes" / f"{name}.yaml").generate
        assert wanted is not None
        number = wanted.jets if name == "demo" else round(wanted.jets * wanted.split[0])
        assert f"{number:,}" in text, f"recipes/{name}.yaml has {number:,} jets"


def test_every_page_is_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text()
    assert set(re.findall(r"[\w/-]+\.md", text)) == {page.relative_to(DOCS).as_posix() for page in PAGES}


def presets_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("samples", ROOT / "benchmarks" / "samples.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_samples_page_has_the_table_of_presets():
    text = (DOCS / "samples.md").read_text()
    shown = text.split("<!-- presets -->")[1].split("<!-- /presets -->")[0].strip()
    assert shown == presets_script().preset_table(), "print it anew: python benchmarks/samples.py table"


def test_pages_show_every_figure():
    shown = {name for page in PAGES for name in re.findall(r"\]\((?:\.\./)?images/([\w.-]+)\)", page.read_text())}
    assert shown == {path.name for path in (DOCS / "images").iterdir()}
    assert all((DOCS / "images" / name).stat().st_size < 150_000 for name in shown)


def commands() -> dict[str, Any]:
    from jetforge.cli.main import app

    group = typer.main.get_command(app)
    return group.commands  # type: ignore[attr-defined]


def test_command_line_page_has_every_option():
    text = (DOCS / "reference" / "cli.md").read_text()
    sections = dict(re.findall(r"^## ([\w-]+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    assert sections.keys() == commands().keys()
    for name, command in commands().items():
        options = {o for p in command.params if p.param_type_name == "option" for o in p.opts if o.startswith("--")}
        assert set(re.findall(r"^\| `(--[\w-]+)`", sections[name], re.MULTILINE)) == options - {"--help"}
        assert command.epilog.split(": ", 1)[1].split(";")[0] in sections[name], "the example of --help is missing"


def test_command_line_page_has_the_defaults_of_the_recipe():
    text = (DOCS / "reference" / "cli.md").read_text()
    rows = re.findall(r"^\| `--([\w-]+)` \| ([\d.]+|\w+-true|cosine|none) \|", text.split("## train")[1], re.MULTILINE)
    shown = {name.replace("-", "_"): default for name, default in rows}
    for name, field in TrainingSection.model_fields.items():
        if name in shown:
            assert shown[name] == ("none" if field.default is None else str(field.default))


def test_readme_names_every_command():
    shown = re.findall(r"^\| `jetforge ([\w-]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert shown == list(commands())


def fields(model: Any, prefix: str = "") -> Iterator[tuple[str, Any, bool]]:
    """Yield name, default and whether it must be given, of each field of a recipe."""
    for name, field in model.model_fields.items():
        inner = next(
            (t for t in (field.annotation, *getattr(field.annotation, "__args__", ())) if hasattr(t, "model_fields")),
            None,
        )
        if inner is not None:
            yield from fields(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field.default, field.is_required()


def test_recipe_page_has_every_field_with_its_default():
    import yaml

    rows = re.findall(r"^\| `([\w.]+)` \| (?:`(.*?)`)? ?\|", (DOCS / "howto" / "recipe.md").read_text(), re.MULTILINE)
    shown = {
        name: default for name, default in rows if name not in ("generate", "tagger", "transfer", "distill", "pretrain")
    }
    expected = {name: (default, required) for name, default, required in fields(Recipe)}
    assert shown.keys() == expected.keys()
    for name, (default, required) in expected.items():
        plain = list(default) if isinstance(default, tuple) else default
        assert (shown[name] == "") == required, name
        assert required or yaml.safe_load(shown[name]) == plain, name


def texts_of_source() -> list[str]:
    """Return every string of the package, with … for what an f-string fills in."""
    texts = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                texts.append("".join(p.value if isinstance(p, ast.Constant) else "…" for p in node.values))  # type: ignore[misc]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return texts


def test_lund_page_states_the_floors():
    exponents = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    text = (DOCS / "lund-tree.md").read_text()
    for floor in (FLOOR, Z_FLOOR):
        assert f"10{str(round(math.log10(floor))).translate(exponents)}" in text


def test_errors_page_quotes_what_is_raised():
    texts = texts_of_source()
    quoted = re.findall(r"^\| `(.+?)` \|", (DOCS / "howto" / "errors.md").read_text(), re.MULTILINE)
    assert len(quoted) > 20
    for message in quoted:
        pattern = re.compile(".*".join(re.escape(piece.strip()) for piece in message.split("…")))
        assert any(pattern.search(text) for text in texts), f"nothing raises: {message}"


def observable_rows() -> str:
    rows = ["| name | formula | source | safe |", "| --- | --- | --- | --- |"]
    for row in list_observables():
        formula = row.formula.replace("|", "\\|")
        rows.append(f"| `{row.name}` | {formula} | {row.source} | {row.safe} |")
    return "\n".join(rows)


def test_observables_page_has_every_quantity():
    text = (DOCS / "physics" / "observables.md").read_text()
    shown = text.split("<!-- observables -->")[1].split("<!-- /observables -->")[0].strip()
    assert shown == observable_rows(), "the table of jetforge.physics.list_observables() has changed"


def test_every_format_has_the_page_that_its_card_makes():
    from jetforge.cli._cards import card_page
    from jetforge.jets.readers import get_reader, list_formats

    pages = {path.stem: path.read_text() for path in (DOCS / "data").glob("*.md") if path.stem != "index"}
    assert sorted(pages) == sorted(list_formats())
    for name, page in pages.items():
        assert page == card_page(get_reader(name)), f"jetforge info {name} --markdown > docs/data/{name}.md"
    index = (DOCS / "data" / "index.md").read_text()
    assert all(f"({name}.md)" in index for name in pages), "the table of formats lacks one"
