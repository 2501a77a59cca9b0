"""The `jetforge` command."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import warnings
from typing import Any, NoReturn

import typer

from jetforge._version import __version__
from jetforge.cli import (
    convert,
    datasets,
    distill,
    edit,
    evaluate,
    finetune,
    generate,
    import_weights,
    info,
    predict,
    pretrain,
    run,
    train,
)
from jetforge.errors import Interrupted, JetforgeError

# Typer may carry its own copy of click: its base class of wrong usage is found through what Typer exports.
_UsageProblem: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")

_INTERRUPTED = 130

app = typer.Typer(
    name="jetforge",
    help="From proton collisions to a measured jet tagger.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (
    generate,
    datasets,
    convert,
    edit,
    info,
    train,
    pretrain,
    finetune,
    distill,
    import_weights,
    evaluate,
    predict,
    run,
):
    module.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"jetforge {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass


def main() -> None:
    """Run the command line: exit 0 done, 1 failed with one line, 2 wrong usage, 130 interrupted."""
    # OpenMP's threads would go on spinning after each operation, on cores that our own threads want (PyTorch and
    # OpenMP read this when they are loaded, which is later).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # One line is the rule: the libraries' own chatter stays out unless asked for.
    if os.environ.setdefault("PYTHONWARNINGS", "ignore") == "ignore":
        warnings.simplefilter("ignore")
    try:
        code = app(standalone_mode=False)
        if code == _INTERRUPTED:
            # Typer turns Ctrl-C into this code and says nothing.
            raise KeyboardInterrupt
    except _UsageProblem as error:
        error.show()
        code = error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        code = _fail("interrupted; what was finished is kept: run the same command again to go on", _INTERRUPTED)
    except JetforgeError as error:
        code = _fail(str(error), _INTERRUPTED if isinstance(error, Interrupted) else 1)
    except BrokenPipeError:
        # Whoever read our output has gone: nothing is left to be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:
        code = _fail(f"{error.filename or ''}: {error.strerror or error}".removeprefix(": "), 1)
    sys.exit(code or 0)


def program() -> NoReturn:
    """Be the program `jetforge`: run the command line, then end at once: taking apart what was imported takes long."""
    try:
        main()
        code = 0
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else 1
    with contextlib.suppress(OSError):  # whoever read our output may have gone
        sys.stdout.flush()
        sys.stderr.flush()
    logging.shutdown()
    atexit._run_exitfuncs()
    os._exit(code)


def _fail(message: str, code: int) -> int:
    typer.echo(f"jetforge: {message}", err=True)
    return code
