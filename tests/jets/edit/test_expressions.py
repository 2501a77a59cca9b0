import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetforge.errors import JetforgeError
from jetforge.jets.edit.expressions import Selection

FIELDS = ("label", "pt", "eta", "mass", "flag")
CLASSES = ("qcd", "top", "class of 'w'")
VALUES = {
    "label": np.array([0, 1, 2, 1]),
    "pt": np.array([400.0, 550.0, 600.0, 800.0]),
    "eta": np.array([-2.5, 0.1, 1.0, np.nan]),
    "mass": np.array([-1.0, 0.0, 80.0, 172.0]),
    "flag": np.array([True, False, True, False]),
    "num_constituents": np.array([1, 20, 30, 40]),
}


def answers(text):
    selection = Selection(text, FIELDS, CLASSES)
    return selection.evaluate({name: VALUES[name] for name in selection.names}, 4)


def chosen(text):
    found = answers(text)
    assert not found.unknown.any()
    return np.flatnonzero(found.yes).tolist()


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("pt > 500", [1, 2, 3]),
        ("500 < pt <= 600", [1, 2]),
        ("pt > 500 and label == 1", [1, 3]),
        ("pt < 500 or mass > 100", [0, 3]),
        ("not pt > 500", [0]),
        ("class == 'top'", [1, 3]),
        ("'top' != class", [0, 2]),
        ("class == \"class of 'w'\"", [2]),
        ("class in ('qcd', 'top') and not class == 'qcd'", [1, 3]),
        ("class not in ['top']", [0, 2]),
        ("label in (0, 2)", [0, 2]),
        ("flag", [0, 2]),
        ("not flag and pt > 0", [1, 3]),
        ("flag == 1", [0, 2]),
        ("num_constituents >= 30", [2, 3]),
        ("num_constituents % 20 == 0", [1, 3]),
        ("2 * pt - 100 > 10 ** 3 + 1e1", [2, 3]),
        ("-pt < -700", [3]),
        ("2 ** -1 < .6", [0, 1, 2, 3]),
        ("abs(mass) == 1", [0]),
        ("min(pt, mass, 100) == 100", [3]),
        ("max(pt, 600) == 600", [0, 1, 2]),
        ("exp(log(pt)) > 599 and sqrt(pt) < 28 and tanh(pt) + sin(0) + cos(0) > 1", [2]),
        ("pt / (mass * 0) > 1 or label == 0", [0, 1, 2, 3]),
        ("isfinite(eta) and eta < 0.5", [0, 1]),
        ("not isfinite(eta)", [3]),
        ("label == 9007199254740993", []),
        ("  pt > 500\n and\tpt < 600 ", [1]),
        ("True", [0, 1, 2, 3]),
        ("pt<1or mass>100", [3]),
    ],
)
def test_conditions_mean_what_they_say(text, rows):
    with np.errstate(all="raise"):
        found = answers(text)
    assert np.flatnonzero(found.yes).tolist() == rows


def test_whole_numbers_are_compared_exactly():
    selection = Selection("event == 9007199254740993", ["event"], ["qcd"])
    events = np.array([9007199254740992, 9007199254740993])
    assert selection.evaluate({"event": events}, 2).yes.tolist() == [False, True]


def test_only_what_decides_must_be_a_number():
    assert chosen("mass > 0 and log(mass) > 4.5") == [3]
    assert chosen("mass <= 0 or log(mass) > 4.5") == [0, 1, 3]
    assert chosen("not (mass > 0 and sqrt(mass) > 9)") == [0, 1, 2]
    for text in ("eta < 1", "not eta < 1", "eta != 1", "abs(eta) < 1 or flag", "eta in (1, 2)", "min(eta, 0) == 0"):
        assert answers(text).unknown.tolist() == [False, False, False, True]


@given(st.lists(st.one_of(st.floats(-3, 3), st.just(float("nan"))), min_size=1, max_size=9))
def test_answers_are_those_of_three_valued_logic(values):
    """An answer is known where it is the same whatever stands for NaN, and is the usual one then."""
    text = "x > 1 and y > 0 or not x > -1"
    x, y = np.array(values), np.array(values[::-1])
    answer = Selection(text, ["x", "y"], ["qcd"]).evaluate({"x": x, "y": y}, len(x))
    for row in range(len(x)):
        # Comparisons of one value with different limits are taken as independent.
        first, second, third = (
            [v[row] > limit] if v[row] == v[row] else [False, True] for v, limit in ((x, 1), (y, 0), (x, -1))
        )
        possible = {(a and b) or not c for a in first for b in second for c in third}
        assert (answer.yes[row], answer.no[row]) == (possible == {True}, possible == {False})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ptt > 500", "jets have no field 'ptt'; did you mean 'pt'?"),
        ("class == 'tpo'", "there is no class 'tpo'; did you mean 'top'?"),
        ("sqr(pt) > 5", "there is no function 'sqr'; did you mean 'sqrt'?"),
        ("pt", "'pt' is no condition; compare it with something"),
        ("pt and eta > 0", "'pt' is no condition"),
        ("abs(eta > 2)", "'eta > 2' is a condition, not a number; is a parenthesis misplaced?"),
        ("class == 1", "class is compared with a name by == or !="),
        ("class > 'top'", "class is compared with a name by == or !="),
        ("pt == 'top'", "class is compared with a name by == or !="),
        ("pt + class > 1", "'class' is no number"),
        ("label in 3", "'3' after in is no list"),
        ("pt >", "cannot be read: invalid syntax"),
        ("(pt > 5", "cannot be read"),
        ("pt > 5) or (pt < 3", "cannot be read"),
        ("class == 'top", "cannot be read"),
        ("", "the condition is empty; write one, such as pt > 500"),
        (" \n", "the condition is empty"),
        ("pt => 500", "cannot be read: write >= for =>"),
        ("pt =< 500", "cannot be read: write <= for =<"),
        ("pt <> 500", "cannot be read: write != for <>"),
        ("pt = 500", "cannot be read: write == for ="),
        ("pt > 5 && eta < 2", "cannot be read: write and for &&"),
        ("pt > 5 || eta < 2", "cannot be read: write or for ||"),
        ("!flag", "cannot be read: write not for !"),
        ("class == 'a && b' and", "cannot be read: invalid syntax"),
        ("class == top", "no field 'top'; names of classes are put in quotes: class == 'top'"),
        ("class in (tpo, qcd)", "names of classes are put in quotes: class == 'qcd'"),
        ("class == tpo", "no field 'tpo'; names of classes are put in quotes: class == 'top'"),
        ("pT > 500", "no field 'pT'; did you mean 'pt'?"),
        ("MASS > 500", "no field 'MASS'; did you mean 'mass'?"),
        ("pt > 5\0", "cannot be read"),
        ("pt > 5; import os", "cannot be read"),
        ("_class_ == 1", "'_class_' is no field"),
        ("pt is 5", "'is' has no meaning here"),
        ("pt // 5 == 1", "'pt // 5' has no meaning here; there are comparisons"),
        ("pt.real > 1", "'pt.real' has no meaning here"),
        ("pt[0] > 1", "'pt[0]' has no meaning here"),
        ("(lambda: pt)() > 1", "'(lambda: pt)()' has no meaning here"),
        ("[pt for pt in eta] == 1", "has no meaning here"),
        ("__import__('os').system('true')", "has no meaning here"),
        ("abs(pt, eta) > 1", "abs() takes one value"),
        ("min(pt) > 1", "min() takes two values or more"),
        ("abs(x=pt) > 1", "'abs(x=pt)' has no meaning here"),
        ("min(*pt, 3) > 1", "has no meaning here"),
        ("pt > 1j", "'1j' has no meaning here"),
        ("pt > None", "'None' has no meaning here"),
        ("f'{pt}' == 'x'", "has no meaning here"),
        ("(pt := 5) > 1", "has no meaning here"),
        (f"pt > {'9' * 40}", "a number in it is too large"),
        ("pt > 1 and " * 2000 + "pt > 1", "is longer than 4000 characters"),
        ("(" * 150 + "pt" + ")" * 150 + " > 1 and " + "-" * 100 + "pt > 1", "is nested too deeply"),
        ("-" * 3900 + "pt > 1", "is nested too deeply"),
        ("(" * 300 + "pt" + ")" * 300 + " > 1", "cannot be read: too many nested parentheses"),
        ("pt > 1" + "+1" * 1900, "is nested too deeply"),
        ("pt>1 or " * 450 + "pt>1", "has too many terms"),
    ],
)  # fmt: skip
def test_what_has_no_meaning_is_one_line(text, message):
    with pytest.raises(JetforgeError) as raised:
        answers(text)
    assert message in str(raised.value)
    assert str(raised.value).startswith('selection "')
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


def test_texts_and_labels_that_are_not_there_are_named():
    with pytest.raises(JetforgeError, match="the field 'name' holds no numbers"):
        Selection("name > 1", ["name"], ["qcd"]).evaluate({"name": np.array(["x"], dtype=object)}, 1)
    with pytest.raises(JetforgeError, match="the jets carry no labels"):
        Selection("class == 'qcd'", ["pt"], ["qcd"])


@given(st.text(alphabet="ptclas()[]<>=!'\".,0123456789+-*/%&|~^ \n\teE_:@#", max_size=40))
def test_any_text_is_a_condition_or_one_error(text):
    message = ""
    try:
        answers(text)
    except JetforgeError as error:
        message = str(error)
    assert "\n" not in message


def test_comparison_is_as_numpy_for_all_operators():
    for symbol, function in (("<", np.less), ("<=", np.less_equal), (">", np.greater), (">=", np.greater_equal)):
        assert answers(f"pt {symbol} mass * 7").yes.tolist() == function(VALUES["pt"], VALUES["mass"] * 7).tolist()


def test_comments_are_refused_for_they_would_hide_conditions():
    with pytest.raises(JetforgeError, match="may not hold comments"):
        Selection("pt > 1 # hard\nand pt < 1.5", ["pt"], ["qcd"])
