"""The style is ours inside and nobody's outside."""

import subprocess
import sys

import matplotlib as mpl

from jetforge.evaluation.style import hep_style, new_axes


def test_the_settings_of_the_caller_are_left_as_they_were():
    before = dict(mpl.rcParams)
    with hep_style():
        assert mpl.rcParams["xtick.direction"] == "in"
        _, axes = new_axes()
    assert dict(mpl.rcParams) == before
    assert axes.xaxis.get_major_ticks()[0].get_tickdir() == "in"


def test_importing_the_evaluation_opens_no_window_system_and_no_torch():
    code = (
        "import sys, jetforge.evaluation\n"
        "assert not {'torch', 'tkinter', 'PyQt5', 'PyQt6', 'gi', 'wx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
