"""`jetforge info`."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from jetforge.cli._terminal import print_table
from jetforge.errors import DataError, JetforgeError

EPILOG = (
    "Examples: jetforge info presets; jetforge info taggers; jetforge info lundnet5; jetforge info jetclass; "
    "jetforge info data/toptag --verify"
)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=EPILOG)(info)


def info(
    what: Annotated[
        str, typer.Argument(help="presets, taggers, formats, a tagger, a format, or the directory of a dataset or run.")
    ],
    verify: Annotated[bool, typer.Option("--verify", help="Read every part and check its checksum.")] = False,
    provenance: Annotated[bool, typer.Option("--provenance", help="Print all that is known of its making.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print what a format is as Markdown.")] = False,
) -> None:
    """Tell what presets, taggers and formats there are, what one is, or what a dataset or a run holds."""
    from jetforge.jets.readers import list_formats
    from jetforge.taggers import list_taggers

    if what == "presets":
        _presets()
    elif what == "taggers":
        _taggers()
    elif what == "formats":
        _formats()
    elif what in list_formats() and not Path(what).exists():
        _format(what, markdown)
    elif what in list_taggers() and not Path(what).exists():
        _tagger(what)
    elif (Path(what) / "tagger.json").is_file():
        _run(Path(what))
    elif (Path(what) / "recipe.yaml").is_file():
        from jetforge.learning.layout import refuse_unfinished

        refuse_unfinished(Path(what))
    else:
        _suggest(what)
        _dataset(Path(what), verify, provenance)


def _suggest(what: str) -> None:
    """Answer a name that is no path with what may have been meant."""
    if Path(what).exists():
        return
    from jetforge.jets.readers import list_formats
    from jetforge.taggers import list_taggers

    lists = ("presets", "taggers", "formats")
    near = difflib.get_close_matches(what, (*lists, *list_formats(), *list_taggers()), n=1)
    if near:
        raise JetforgeError(f"there is no '{what}'; did you mean '{near[0]}'?")
    listing = ", ".join(f"jetforge info {name}" for name in lists)
    raise JetforgeError(f"{what}: no such directory; to list names: {listing}")


def _presets() -> None:
    from jetforge.events.presets import PRESETS

    rows = []
    for p in PRESETS.values():
        settings = dict(line.replace(" ", "").split("=") for line in p.settings)
        rows.append(
            {
                "preset": p.name,
                "R": f"{p.radius:g}",
                "pT [GeV]": f"> {p.pt_min:g}" if p.pt_max is None else f"{p.pt_min:g} to {p.pt_max:g}",
                "within": f"|y| < {p.rapidity_max:g}" if p.rapidity_max is not None else f"|eta| < {p.eta_max:g}",
                "top": "matched" if p.match_top else "",
                "pTHat [GeV]": f"> {settings['PhaseSpace:pTHatMin']}",
                "MPI": settings.get("PartonLevel:MPI", "on"),
                "source": p.source.split()[0].rstrip(","),
            }
        )
    print_table(rows)


def _taggers() -> None:
    from jetforge.errors import TaggerError
    from jetforge.taggers import create_tagger, list_taggers

    rows, absent = [], []
    for name in list_taggers():
        try:
            tagger = create_tagger(name)
        except TaggerError as error:  # a package that not everyone installs
            absent.append(str(error))
            continue
        rows.append(
            {
                "tagger": name,
                "representation": tagger.representation.name,
                "parameters": f"{tagger.num_parameters():,}",
            }
        )
    print_table(rows)
    for reason in absent:
        print(reason)


def _tagger(name: str) -> None:
    from jetforge.representations import representation_to_dict
    from jetforge.taggers import create_tagger, tagger_arguments, tagger_summary

    tagger = create_tagger(name)
    settings = representation_to_dict(tagger.representation)
    print(f"{name}: {tagger_summary(name)}")
    print(f"parameters     {tagger.num_parameters():,}")
    print(f"representation {settings.pop('name')}")
    for key, value in settings.items():
        print(f"    {key}: {json.dumps(value)}")
    print("arguments")
    for key, value in tagger_arguments(name).items():
        print(f"    {key}: {json.dumps(value)}")
    print(f"boundaries     {', '.join(tagger.boundaries())}")


def _formats() -> None:
    from jetforge.jets.readers import get_reader, list_formats

    rows = []
    for name in list_formats():
        reader = get_reader(name)
        rows.append({"format": name, "holds": reader.card.title, "a row is": reader.rows_are[:-1]})
    print_table(rows)


def _format(name: str, markdown: bool) -> None:
    from jetforge.cli._cards import card_page, card_text
    from jetforge.jets.readers import get_reader

    print(card_page(get_reader(name)) if markdown else card_text(get_reader(name)), end="" if markdown else "\n")


def _dataset(path: Path, verify: bool, provenance: bool) -> None:
    from jetforge.jets import open_dataset
    from jetforge.jets.classes import shown_classes

    dataset = open_dataset(path)
    if verify:
        dataset.verify()
    manifest = dataset.manifest
    rows = [
        {"split": split, "jets": f"{dataset.num_jets(split):,}", "parts": len(manifest.parts[split])}
        for split in manifest.parts
    ]
    print_table(rows, f"{path}: {shown_classes(dataset.classes)}" + (", every part is whole" if verify else ""))
    print(f"constituents  {', '.join(manifest.constituent_fields)}\njets          {', '.join(manifest.jet_fields)}")
    if provenance:
        print(json.dumps(manifest.provenance, indent=1))
    else:
        print("made with     " + _made(manifest.provenance))


def _made(provenance: Mapping[str, Any]) -> str:
    """Say in a few words where the jets of a dataset are from."""
    plan = provenance.get("plan", {})
    if "sources" in plan:
        files = [source["file"] for source in plan["sources"]]
        formats = ", ".join(dict.fromkeys(source["format"] for source in plan["sources"]))
        return f"jetforge convert, from {', '.join(files[:3])}{', ...' if len(files) > 3 else ''} ({formats})"
    if "operation" in plan:
        return f"jetforge {plan['operation']}, from {', '.join(one['name'] for one in plan['inputs'])}"
    made = {"presets": [p["name"] for p in plan.get("presets", [])], "seed": plan.get("seed"),
            **(plan.get("versions") or {})}  # fmt: skip
    return ", ".join(f"{name} {value}" for name, value in made.items())


def _run(path: Path) -> None:
    from jetforge.taggers import load_tagger

    tagger = load_tagger(path)
    trained_on = tagger.provenance.get("dataset", "not recorded")
    print(f"{path}: {tagger.name}, {tagger.num_parameters():,} parameters, {' vs '.join(tagger.classes)}")
    print(f"trained on     {trained_on}\nrepresentation {tagger.representation!r}")
    if tagger.representation.view is not None:
        print(f"view           {', '.join(f'{k} {v}' for k, v in tagger.representation.view.to_dict().items())}")
    metrics = path / "metrics.json"
    if metrics.is_file():
        print_table(_measured(metrics, path), str(metrics))


def _measured(metrics: Path, run: Path) -> list[dict[str, str]]:
    """Return the rows to print of what an evaluation measured."""
    from jetforge.evaluation import rejection_table

    try:
        numbers = json.loads(metrics.read_text())
        if "auc" in numbers:
            return rejection_table(numbers)
    except (ValueError, TypeError, KeyError, AttributeError):
        pass  # what a damaged file lacks is found where it is used
    raise DataError(f"{metrics}: not the numbers of an evaluation; measure again with jetforge evaluate {run}")
