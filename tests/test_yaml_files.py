import pytest

from jetforge.errors import RecipeError
from jetforge.yaml_files import line_of, read_yaml


def written(tmp_path, text):
    path = tmp_path / "file.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_values_are_read_with_the_lines_where_they_stand(tmp_path):
    values, root = read_yaml(written(tmp_path, "a: 1\nb:\n  - x\n  - y: 2\n    z: 3\n5: five\n"), "a list")
    assert values == {"a": 1, "b": ["x", {"y": 2, "z": 3}], 5: "five"}
    places = {(): 1, ("a",): 1, ("b",): 2, ("b", 0): 3, ("b", 1): 4, ("b", 1, "z"): 5, (5,): 6}
    assert {location: line_of(root, location) for location in places} == places


def test_the_line_of_what_is_not_there_is_that_of_what_is_around_it(tmp_path):
    _, root = read_yaml(written(tmp_path, "# nothing\na:\n  b: 1\n"), "a list")
    assert [line_of(root, location) for location in (("c",), ("a", "c"), ("a", "b", "c"), ("a", 7))] == [2, 2, 3, 2]
    assert line_of(None, ("a",)) == 1


@pytest.mark.parametrize("text", ["", "# only a remark\n", "---\n"])
def test_an_empty_file_holds_nothing(tmp_path, text):
    assert read_yaml(written(tmp_path, text), "a list").values is None


def test_an_alias_is_read_once_even_around_itself(tmp_path):
    bomb = "a0: &a0 {x: 1}\n" + "".join(f"a{i + 1}: &a{i + 1} {{x: *a{i}, y: *a{i}}}\n" for i in range(50))
    assert len(read_yaml(written(tmp_path, bomb), "a list").values) == 51
    values = read_yaml(written(tmp_path, "a: &a [*a]"), "a list").values
    assert values["a"][0] is values["a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [1\nc: 2\n", ":3: not valid YAML: "),
        ("a: [", ":1: not valid YAML: "),
        ("a: 1\n--- 2\n", ":2: not valid YAML: "),
        ("a: 1\nb: !!python/none 1\n", ":2: not valid YAML: .*constructor"),
        ("a: 1\nb: \x07", ":2: not valid YAML: .*not allowed"),
        ("a: 1\n{b: 2}: 3", ":2: not valid YAML"),
        ("a: 2020-13-45\n", ": not valid YAML: month"),
        ("a: 1\nb: 2\na: 3\n", ":3: a: given twice, first in line 1"),
        ("a:\n  - b: 1\n    b: 2\n", ":3: b: given twice, first in line 2"),
        ("[" * 100_000 + "]" * 100_000, ":1: .*more than 100 levels"),
        ("- " * 100_000 + "1", ":1: .*more than 100 levels"),
        (b"\xff\xfe\x00\x80", ": not a text file; a list is YAML"),
    ],
)
def test_mistakes_are_one_line_that_names_the_line(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(RecipeError, match=f"^{path}{message}") as caught:
        read_yaml(path, "a list")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    path = tmp_path / "absent.yaml"
    with pytest.raises(RecipeError, match=f"^{path}: cannot be read: No such file"):
        read_yaml(path, "a list")
    with pytest.raises(RecipeError, match=r"^LIST=absent: the list cannot be read: No such file"):
        read_yaml(path, "a list", "LIST=absent: the list")
