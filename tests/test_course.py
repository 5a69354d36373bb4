"""The course's own tools: answers, predictions, verdicts, profiles, and students' notebooks out of the instructor's."""

from __future__ import annotations

import json
import re
import sys
from configparser import ConfigParser
from pathlib import Path

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lab
from lab.course import check, predict, profile, verdict
from lab.course.__main__ import main as course
from lab.course.answers import Exercise, exercise_of, read_exercises, said_of, seal, sealed
from lab.course.making import make, student, without_solution
from lab.course.verdict_lines import judged, strays
from lab.store import RunError

COURSE = Path(__file__).parents[1] / "notebooks" / "course"
ANSWERS = """
05-1: {choice: b, why: Twice as many., hint: Count again., wrong: [{answer: c, hint: That is the other one.}]}
05-2: {number: 0.25, within: 0.01, why: A quarter., hint: Divide., wrong: [{answer: 0.5, hint: Of two steps.}]}
05-3: {choice: true, why: It is., hint: Look at the picture.}
"""


ALIKE = "All verdicts are as expected, within their tolerances."


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "answers.yaml").write_text(ANSWERS)
    make(tmp_path, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "answers.json"


@pytest.mark.parametrize(
    ("exercise", "answer", "said"),
    [
        ("05-1", "b", "right. Twice as many."),
        ("05-1", " B ", "right. Twice as many."),
        ("05-1", "(b)", "right. Twice as many."),
        ("05-1", "b)", "right. Twice as many."),
        ("05-1", "B.", "right. Twice as many."),
        ("05-1", "(c)", "not yet. That is the other one."),
        ("05-1", "(ab)", "not yet. Count again."),
        ("05-1", "()", "not yet. Count again."),
        ("05-1", "a", "not yet. Count again."),
        ("05-1", "c", "not yet. That is the other one."),
        ("05-1", 2, "2 was given, but a choice, such as 'a' is wanted."),
        ("05-2", 0.255, "right. A quarter."),
        ("05-2", "0.25", "right. A quarter."),
        ("05-2", 0.27, "not yet. Divide."),
        ("05-2", 0.5, "not yet. Of two steps."),
        ("05-2", "many", "'many' was given, but a number is wanted."),
        ("05-2", float("nan"), "nan was given, but a number is wanted."),
        ("05-2", True, "True was given, but a number is wanted."),
        ("05-3", True, "right. It is."),
        ("05-3", False, "not yet. Look at the picture."),
        ("05-1", ..., "not answered yet. Put your answer in place of the dots."),
        ("05-1", "...", "not answered yet. Put your answer in place of the dots."),
        ("05-2", " ... ", "not answered yet. Put your answer in place of the dots."),
    ],
)
def test_an_answer_is_right_or_gets_a_hint(answers, capsys, exercise: str, answer, said: str) -> None:
    check(exercise, answer)
    assert capsys.readouterr().out == f"{exercise}: {said}\n"


def test_an_exercise_that_is_not_there_is_refused(answers) -> None:
    with pytest.raises(lab.RecipeError, match=r"Unknown exercise '5-1'\. Did you mean '05-1'\?"):
        check("5-1", "b")


def test_what_is_handed_out_shows_no_answer(answers: Path) -> None:
    text = answers.read_text()
    words = ("Twice", "Count", "other one", "quarter", "0.25", '"b"', "true", "Divide")
    assert not [word for word in words if word in text]
    assert sealed({"x": Exercise(choice="b", why="", hint="")})["x"]["choice"] not in text  # salted by the exercise


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"choice": "a", "number": 1, "why": "", "hint": ""}, "either a choice or a number"),
        ({"why": "", "hint": ""}, "either a choice or a number"),
        ({"choice": "a", "hint": ""}, "why Field required"),
        ({"number": 1, "within": -1, "why": "", "hint": ""}, "greater than or equal to 0"),
        ({"number": 1, "why": "", "hint": "", "hnt": ""}, "hnt Extra inputs"),
    ],
)
def test_an_exercise_that_makes_no_sense_is_named(spec: dict, words: str) -> None:
    with pytest.raises(lab.RecipeError, match="Exercise 01-1: ") as refused:
        exercise_of("01-1", spec)
    assert words in str(refused.value)


def test_a_prediction_is_kept_and_shown_again(tmp_path: Path, capsys) -> None:
    predict("02", folder=tmp_path)
    predict("02", "...", folder=tmp_path)
    predict("02", "It <b>dies</b> 🙂\nearly", folder=tmp_path)
    predict("02", "It lives", folder=tmp_path)
    predict("02", "It lives", folder=tmp_path)
    predict("02", folder=tmp_path)
    predict("02", ..., folder=tmp_path)
    predict("03", folder=tmp_path)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("In chapter 02 you have predicted nothing.")
    assert said[1].startswith("Nothing is predicted yet. Write what you expect in place of the dots")
    assert said[-4:-2] == ["You predicted: It lives", "You predicted: It lives"]
    assert said[-2].startswith("That was before, and it stands.")
    assert said[-1].startswith("In chapter 03 you have predicted nothing.")
    kept = json.loads((tmp_path / "predictions.json").read_text())
    assert [made["text"] for made in kept["02"]] == ["It <b>dies</b> 🙂\nearly", "It lives"]
    assert lab.runs.table(tmp_path).empty


def test_a_prediction_may_be_an_order_or_a_number(tmp_path: Path, capsys) -> None:
    for expected in ([...], ["...", ...], ["scratch", "whole"], 0.9):
        predict("08", expected, folder=tmp_path)
    predict("08", folder=tmp_path)
    kept = json.loads((tmp_path / "predictions.json").read_text())["08"]
    assert [made["text"] for made in kept] == ["scratch, whole", "0.9"]
    assert capsys.readouterr().out.splitlines()[-1] == "You predicted: 0.9"


def test_in_a_notebook_nothing_predicted_is_said_in_a_box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr("IPython.get_ipython", object)
    monkeypatch.setattr("IPython.display.display", lambda data, *, raw: shown.append(data) if raw else None)
    predict("<02>", folder=tmp_path)
    assert "In chapter <02> you have predicted nothing." in shown[0]["text/plain"]
    assert 'role="alert"' in shown[0]["text/html"]
    assert "In chapter &lt;02&gt;" in shown[0]["text/html"]


def test_damaged_predictions_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "predictions.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        predict("02", "mine", folder=tmp_path)
    assert (tmp_path / "predictions.json").read_text() == "{"


@pytest.mark.parametrize(
    ("values", "bounds", "result"),
    [
        ([1.0, 2.0], {"above": 0.5}, "PASS"),
        ([1.0, 0.5], {"above": 0.5}, "INCONCLUSIVE"),
        ([0.1, 0.5], {"above": 0.5}, "FAIL"),
        ([0.1], {"below": 0.5}, "PASS"),
        ([0.6123, 0.7123], {"above": 0.5, "below": 0.65}, "INCONCLUSIVE"),
        ([float("nan")], {"above": 0.5}, "FAIL"),
        ([-float("inf")], {"below": 1.0}, "PASS"),
        ([float("inf")], {"above": 0.5}, "PASS"),
        ([float("inf")], {"above": 0.5, "below": 1.0}, "FAIL"),
    ],
)
def test_a_verdict_has_stable_words_and_leaves_its_numbers(tmp_path, capsys, values, bounds, result) -> None:
    verdict("02", "It holds.", values, **bounds, tolerance=0.1, folder=tmp_path)
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{result}  02  It holds. Asked for: ")
    assert not any(str(value) in first for value in values if value not in bounds.values())
    assert all(f"{value:.3g}" in last for value in values)
    kept = json.loads((tmp_path / "verdicts" / "02.json").read_text())
    assert (kept["result"], kept["tolerance"]) == (result, 0.1)


@pytest.mark.parametrize(
    ("values", "bounds", "said"),
    [
        ([1.0, 0.75], {"above": 0.5}, "Measured: 1, 0.75. The margin is 0.25 or more."),
        ([0.75, 0.9], {"above": 0.5, "below": 1}, "Measured: 0.75, 0.9. The margin is 0.1 or more."),
        ([1.0, 0.25, 0.4], {"above": 0.5}, "Measured: 1, 0.25, 0.4. 1 of 3 are there; the farthest misses by 0.25."),
        ([0.25, 0.4], {"above": 0.5}, "Measured: 0.25, 0.4. None is there; the nearest misses by 0.1."),
        ([0.75], {"below": 0.5}, "Measured: 0.75. It misses by 0.25."),
        ([0.9967], {"above": 0.5}, "Measured: 0.997. The margin is 0.49 or more."),
        ([0.0033], {"above": 0.5}, "Measured: 0.0033. It misses by 0.49."),
        ([0.6], {"above": 0.5}, "Measured: 0.6. The margin is 0.1 or more."),  # as doubles the difference is less
        ([float("nan")], {"above": 0.5}, "Measured: nan. It is no number."),
        ([float("nan"), 0.4], {"above": 0.5}, "Measured: nan, 0.4. None is there; 1 of 2 is no number."),
        ([float("nan"), 0.6], {"above": 0.5}, "Measured: nan, 0.6. 1 of 2 are there; 1 of 2 is no number."),
        ([-float("inf")], {"below": 1}, "Measured: -inf. The margin is inf or more."),
        ([-float("inf")], {"above": 1}, "Measured: -inf. It misses by inf."),
    ],
)
def test_a_verdict_says_by_how_much(tmp_path, capsys, values, bounds, said) -> None:
    verdict("02", "It holds.", values, **bounds, tolerance=0.1, folder=tmp_path)
    assert capsys.readouterr().out.splitlines()[-1].strip() == said


def test_long_verdicts_break_between_words_and_nbval_does_not_see_their_numbers(tmp_path, capsys) -> None:
    sanitise = ConfigParser()
    sanitise.read(Path(__file__).parent / "notebooks" / "sanitize.cfg")
    said = []
    for values in ([1.0, 2.0], [1.5, 2.5]):
        verdict("02", "It holds, " * 20, values, above=0.5, tolerance=0.1, folder=tmp_path)
        said.append(capsys.readouterr().out)
    assert max(map(len, said[0].splitlines())) <= 96
    assert said[0] != said[1]
    pattern, other = sanitise["measured"]["regex"], sanitise["measured"]["replace"]
    assert re.sub(pattern, other, said[0]) == re.sub(pattern, other, said[1])


def test_a_verdict_says_what_its_values_are_of(tmp_path, capsys) -> None:
    verdict("02", "It holds.", [1.0, 2.0], above=0.5, tolerance=0.1, unit="group", folder=tmp_path)
    verdict("02", "It holds.", [1.0], above=0.5, tolerance=0.1, unit="group", folder=tmp_path)
    said = capsys.readouterr().out.splitlines()[::2]
    assert [line.rpartition(" at ")[2] for line in said] == ["each of 2 groups.", "one group."]


@given(st.lists(st.floats(-2, 2), min_size=1), st.floats(-1, 1))
def test_what_passes_above_fails_below_and_the_other_way_round(values: list[float], bound: float) -> None:
    if bound in values:
        return
    opposite = {"PASS": "FAIL", "FAIL": "PASS", "INCONCLUSIVE": "INCONCLUSIVE"}
    assert judged(values, None, bound) == opposite[judged(values, bound, None)]


def test_a_verdict_that_asks_for_nothing_is_refused(tmp_path: Path) -> None:
    for values, bounds in (([], {"above": 1.0}), ([1.0], {})):
        with pytest.raises(ValueError, match="A verdict needs"):
            verdict("02", "", values, **bounds, tolerance=0.1, folder=tmp_path)


def test_verdicts_are_compared_within_their_tolerances(tmp_path: Path, capsys) -> None:
    for name, values in (("a", [1.0, 2.0]), ("b", [1.05, 2.0]), ("c", [1.2, 2.0]), ("d", [1.0]), ("e", [0.0, 0.1])):
        verdict("02", "", values, above=0.5, tolerance=0.1, folder=tmp_path / name)
    found = {name: strays(tmp_path / name / "verdicts", tmp_path / "a" / "verdicts") for name in "abcdef"}
    assert found["a"] == found["b"] == []
    assert found["c"] == ["02: off by 0.2, where 0.1 is allowed."]
    assert found["d"] == ["02: PASS with 1 values, not PASS."]
    assert found["e"] == ["02: FAIL with 2 values, not PASS."]
    assert found["f"] == ["02: no verdict was measured."]
    assert strays(tmp_path / "f" / "verdicts", tmp_path / "a" / "verdicts", "02") == found["f"]
    assert strays(tmp_path / "f" / "verdicts", tmp_path / "a" / "verdicts", "03") == []


@pytest.mark.parametrize("what", [["--compare"], ["--execute", "executed"]])
def test_a_chapter_that_is_not_there_is_refused(what: list[str], tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lab.course", *what, "--chapter=99"])
    with pytest.raises(SystemExit) as refused:
        course()
    assert refused.value.code == 2
    assert "begins with '99'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--compare", "--instructor=none"], "there is no folder none\n"),
        (["--compare", "--instructor=bare"], f"there is no folder {Path('bare', 'verdicts')}\n"),
        (["--instructor=none", "--students=made"], "there is no folder none\n"),
        (["--instructor=bare", "--students=made"], "no ipynb file is in bare\n"),
        (["--execute=executed", "--students=none"], "there is no folder none\n"),
        (["--execute=executed", "--students=bare"], "no ipynb file is in bare\n"),
    ],
)
def test_a_folder_that_is_not_there_is_refused(
    words: list[str], said: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    (tmp_path / "bare").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lab.course", *words])
    with pytest.raises(SystemExit) as refused:
        course()
    assert refused.value.code == 2
    assert capsys.readouterr().err.endswith(f"error: {said}")
    assert [path.name for path in tmp_path.iterdir()] == ["bare"]


def test_verdicts_of_another_course_are_compared_with_its_own(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["lab.course", "--compare", "--instructor", str(tmp_path)])
    verdict("xx", "", [1.0], above=0.5, tolerance=0.1, folder=tmp_path)
    capsys.readouterr()
    assert (course(), capsys.readouterr().out) == (1, "xx: no verdict was measured.\n")
    for value, said in ((1.2, (1, "xx: off by 0.2, where 0.1 is allowed.\n")), (1.05, (0, f"{ALIKE}\n"))):
        verdict("xx", "", [value], above=0.5, tolerance=0.1, folder=tmp_path / "runs")
        capsys.readouterr()
        assert (course(), capsys.readouterr().out) == said


def test_the_profile_is_the_parameter_s_or_the_environment_s_or_smoke(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_PROFILE", raising=False)
    assert profile() == "smoke"
    monkeypatch.setenv("LAB_PROFILE", "full")
    assert profile() == "full"
    assert profile(smoke=3, full=10) == 10
    assert profile("smoke", smoke=3, full=10) == 3
    with pytest.raises(lab.RecipeError, match=r"Unknown profile 'ful'\. Did you mean 'full'\?"):
        profile("ful")


def test_a_solution_leaves_dots_for_every_name_that_it_gives() -> None:
    solution = "### BEGIN SOLUTION\nanswer = x + 1\nrate = 0.1\nif rate:\n    inner = 2\n### END SOLUTION\n"
    assert without_solution(f"x = 1\n{solution}check(answer)") == "x = 1\nanswer = ...\nrate = ...\ncheck(answer)"
    assert without_solution("### BEGIN SOLUTION\nBecause of this.\n### END SOLUTION") == ""
    two = "### BEGIN SOLUTION\na = 1\n### END SOLUTION\n"
    assert without_solution(two + "b\n" + two) == "a = ...\nb\na = ..."


@pytest.mark.parametrize("quote", ['"', "'"])
def test_a_solution_in_quotes_leaves_its_quotes(quote: str) -> None:
    solution = f"### BEGIN SOLUTION\nanswer = {quote}b{quote}\nn = 2\n### END SOLUTION\n"
    assert without_solution(solution) == f"answer = {quote}...{quote}\nn = ..."


def test_what_is_written_is_written_between_quotes() -> None:
    """`answer = b` would be a NameError, and not a hint."""
    texts = {name for name, exercise in EXERCISES.items() if isinstance(exercise.choice, str)}
    met = set[str]()
    for path in sorted(COURSE.glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if asked := re.search(r'course\.check\("([^"]+)", answer\)', cell.source):
                met.add(asked[1])
                assert ('answer = "..."' in cell.source) == (asked[1] in texts)
            if "course.predict(" in cell.source and "prediction" in cell.source:
                assert 'prediction = "..."' in cell.source
    assert texts <= met


def test_no_letter_is_right_in_most_exercises() -> None:
    """Whoever always takes the middle one learns nothing."""
    letters = [exercise.choice for exercise in EXERCISES.values() if isinstance(exercise.choice, str)]
    assert max(map(letters.count, letters)) <= len(letters) / 2
    assert {*letters} == {"a", "b", "c"}


@pytest.mark.parametrize(
    "text", ["### BEGIN SOLUTION\na = 1", "a = 1\n### END SOLUTION", "x ### BEGIN SOLUTION\n### END SOLUTION"]
)
def test_a_mark_without_its_other_half_is_refused(text: str) -> None:
    with pytest.raises(lab.RecipeError, match="must stand in pairs"):
        without_solution(text)


def test_a_student_s_notebook_has_no_outputs_and_no_solutions(tmp_path: Path) -> None:
    cell = nbformat.v4.new_code_cell("### BEGIN SOLUTION\na = 1\n### END SOLUTION\nprint(a)", execution_count=3)
    cell.outputs = [nbformat.v4.new_output("stream", text="1\n")]
    said = nbformat.v4.new_markdown_cell("### BEGIN SOLUTION\nOne.\n### END SOLUTION")
    made = student(nbformat.v4.new_notebook(cells=[cell, said], metadata={"widgets": {}}))
    assert "widgets" not in made.metadata
    assert [(cell.source, cell.outputs, cell.execution_count) for cell in made.cells] == [
        ("a = ...\nprint(a)", [], None)
    ]


def test_a_student_s_cell_that_judges_is_folded_and_holds_nothing_else() -> None:
    sources = ("x = 1", 'course.verdict("02", "It holds.", [1], above=0)')
    made = student(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in sources]))
    assert [cell.metadata.get("jupyter") for cell in made.cells] == [None, {"source_hidden": True}]
    for path in CHAPTERS:
        judging = [cell for cell in nbformat.read(path, as_version=4).cells if "course.verdict(" in cell.source]
        assert judging
        assert all(cell.source.startswith("course.verdict(") for cell in judging)


@pytest.mark.parametrize("path", sorted(COURSE.glob("*.ipynb")), ids=lambda path: path.stem)
def test_what_came_out_is_folded_until_a_student_has_run_it(path: Path) -> None:
    text = "\n\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
    for said in ("What came out", "What this does not show"):
        assert text.count(said) == text.count(f"<details><summary><b>{said}</b> (open it after the run)</summary>\n\n")
    assert "What this does not show" in text
    assert text.count("<details>") == text.count("\n\n</details>")  # an empty line, or Markdown stays as it is typed


def test_what_students_get_is_made_of_what_the_instructor_has(tmp_path: Path) -> None:
    made = make(COURSE / "instructor", tmp_path)
    kept = {path.name for path in COURSE.iterdir() if path.is_file()}
    assert {path.name for path in made} == kept
    assert [path.name for path in made if path.read_text() != (COURSE / path.name).read_text()] == []


CHAPTERS = sorted((COURSE / "instructor").glob("*.ipynb"))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_has_what_each_of_them_has(path: Path) -> None:
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    text, number = "\n".join(cell.source for cell in code), path.name[:2]
    assert path.stat().st_size < 100_000  # without the state of widgets, which nobody needs
    assert code[0].metadata["tags"] == ["parameters"]
    assert all("#" in line for line in code[0].source.splitlines())
    for part in ("course.only(", "lab.Panel(", "lock=", f'course.predict("{number}")', f'"{number}",\n'):
        assert part in text
    exercises = read_exercises(COURSE / "instructor" / "answers.yaml")
    asked = set(re.findall(r'course\.check\("([^"]+)"', text))
    assert asked == {name for name in exercises if name.startswith(number)}
    assert len(asked) >= 3


def test_verdicts_that_are_expected_belong_to_chapters() -> None:
    numbers = {path.name[:2] for path in CHAPTERS}
    assert {path.stem[:2] for path in (COURSE / "instructor" / "verdicts").glob("*.json")} == numbers


EXERCISES = read_exercises(COURSE / "instructor" / "answers.yaml")
FRACTIONS = {name: exercise for name, exercise in EXERCISES.items() if exercise.number and exercise.number % 1}


def test_the_answers_of_the_course_say_each_its_own_why() -> None:
    assert len({exercise.why for exercise in EXERCISES.values()}) == len(EXERCISES)


@pytest.mark.parametrize("name", FRACTIONS)
def test_an_answer_of_the_course_is_right_with_two_digits(name: str) -> None:
    exercise = FRACTIONS[name]
    assert said_of(name, seal(name, exercise), f"{exercise.number:.2g}").startswith("right. ")


@pytest.mark.parametrize("name", EXERCISES)
def test_a_mistake_that_is_known_gets_its_hint(name: str) -> None:
    sealed_one = seal(name, EXERCISES[name])
    for mistake in EXERCISES[name].wrong:
        assert said_of(name, sealed_one, mistake.answer) == f"not yet. {mistake.hint}"
