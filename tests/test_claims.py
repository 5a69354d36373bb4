"""Claims: what each check calls a pass, a failure and inconclusive; the line and the numbers that are left."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from small_comparisons import Asked, Outcome, Pretended, noise, rate_of
from wording import NOT_EPOCHS, Act, bad, complaint, options

from lab.__main__ import main
from lab.checks import checks, margin
from lab.claims import KEYS, Claim, numbers
from lab.compare import Comparison
from lab.plans import Plan
from lab.recipe import Recipe, RecipeError
from lab.verdicts import Verdict, oriented, verdict

CLAIMS = Path(__file__).parents[1] / "recipes" / "claims"
OF_COMPARISONS = [path for path in sorted(CLAIMS.glob("*.yaml")) if "\ncomparisons:" in path.read_text()]
FEW = {
    "modify": {"name": "subset", "per_class": 10},
    "model": {"name": "mlp", "width": 16},
    "batch_size": 25,
    "epochs": 2,
}
RECIPES = {"a": Recipe(), "b": Recipe(optimizer="adam"), "c": Recipe(optimizer="rmsprop")}
SEEDS = 8

pytestmark = pytest.mark.usefixtures("one_thread")


def outcome_of(given: Mapping[str, float], tuned: Mapping[str, float]) -> Outcome:
    """Mean accuracies by arm, at the rates given and tuned, with a noise of about 0.2 points of its own for each."""

    def outcome(asked: Asked) -> float:
        phase, name, rate, seed = asked
        if phase == "search":
            return 0.5 - abs(rate - rate_of(RECIPES[name]))
        return {"given": given, "tuned": tuned}[phase][name] + noise(seed * (2 + ord(name) - ord("a")))

    return outcome


def made(given: Mapping[str, float], tuned: Mapping[str, float] | None = None) -> Comparison:
    """A comparison that trained nothing, run to its end."""
    arms = {name: RECIPES[name] for name in given}
    plan = Plan(arms=arms, seeds=SEEDS, trials=3, tuning_seeds=1, tune=tuned is not None)
    comparison = Pretended(plan, outcome_of(given, tuned or {}))
    comparison.run()
    return comparison


# -- checks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (
            {"a": 0.6, "b": 0.9},
            {"a": 0.8, "b": 0.7},
            "PASS In low, a - b: -30.0 points (95% interval -30.4 to -29.7, 8 seeds); "
            "in high, a - b: 10.0 points (95% interval 9.6 to 10.3, 8 seeds).",
        ),
        ({"a": 0.6, "b": 0.9}, {"a": 0.7, "b": 0.8}, "FAIL No pair of arms changes places."),
        ({"a": 0.6, "b": 0.9}, {"a": 0.7, "b": 0.7}, "INCONCLUSIVE No pair of arms changes places."),
        ({"a": 0.9, "b": 0.9}, {"a": 0.7, "b": 0.8}, "INCONCLUSIVE No pair of arms changes places."),
        (
            {"a": 0.6, "b": 0.9, "c": 0.9},
            {"a": 0.7, "b": 0.8, "c": 0.9},
            "INCONCLUSIVE No pair of arms changes places.",
        ),
    ],
    ids=["turned round", "not turned round", "gone", "new", "one pair without a difference"],
)
def test_rankings_flip_when_a_shown_difference_turns_round(
    low: dict[str, float], high: dict[str, float], said: str
) -> None:
    found = checks.build(checks.parse("ranking_flips"), {"low": made(low), "high": made(high)})
    assert f"{found.result} {found.margin}" == said


def test_the_flip_with_the_largest_smaller_difference_is_told() -> None:
    low = made({"a": 0.50, "b": 0.90, "c": 0.65})
    high = made({"a": 0.90, "b": 0.85, "c": 0.76})  # a and b: 40 and 5 points; a and c: 15 and 14
    found = checks.build(checks.parse({"name": "ranking_flips"}), {"low": low, "high": high})
    assert found.result == "PASS"
    assert found.margin.startswith("In low, a - c: -15.1 points")
    assert "; in high, a - c: 13.9 points" in found.margin


def test_which_comparison_comes_first_can_be_named() -> None:
    check = checks.parse({"name": "ranking_flips", "first": "x", "second": "y"})
    found = checks.build(check, {"x": made({"a": 0.6, "b": 0.9}), "y": made({"a": 0.9, "b": 0.6})})
    assert found.result == "PASS"
    assert found.margin.startswith("In x, a - b: -")
    assert "; in y, a - b: " in found.margin


EQUAL = {"a": 0.9, "b": 0.9, "c": 0.9}
HALF_A_POINT = {"a": 0.9, "b": 0.905, "c": 0.9}
TWO_POINTS = {"a": 0.9, "b": 0.92, "c": 0.9}
FAR = {"a": 0.9, "b": 0.95, "c": 0.9}


@pytest.mark.parametrize(
    ("tuned", "within", "result"),
    [
        (EQUAL, 0.02, "PASS"),
        (HALF_A_POINT, 0.02, "PASS"),  # a difference that is shown, and too small to count
        (EQUAL, 0.0001, "INCONCLUSIVE"),  # no difference shown, and none ruled out
        (TWO_POINTS, 0.02, "INCONCLUSIVE"),  # shown, but whether it is beyond what is allowed is not
        (FAR, 0.02, "FAIL"),
        ({name: 1.8 - mean for name, mean in FAR.items()}, 0.02, "FAIL"),  # the other way round
    ],
)
def test_no_difference_wants_every_interval_inside(tuned: dict[str, float], within: float, result: str) -> None:
    check = checks.parse({"name": "no_difference", "within": within})
    comparison = made(dict.fromkeys(tuned, 0.5), tuned)
    found = checks.build(check, {"tuned": comparison})
    assert found.result == result
    assert found.margin.startswith(f"Allowed: {100 * within:g} points; widest: ")


def test_no_difference_may_be_asked_at_the_rates_given_of_any_comparison() -> None:
    comparison = made(FAR, EQUAL)
    for at, result in (("given", "FAIL"), ("tuned", "PASS")):
        check = checks.parse({"name": "no_difference", "which": "mine", "at": at})
        assert checks.build(check, {"mine": comparison}).result == result


def test_the_interval_that_reaches_furthest_is_told() -> None:
    found = checks.build(checks.parse("no_difference"), {"tuned": made(EQUAL, FAR)})
    assert found.margin.startswith("Allowed: 2 points; widest: b - ")
    assert ": 5." in found.margin


def pair(difference: float) -> dict[str, float]:
    """Tuned accuracies of a and b."""
    return {"a": 0.8 + difference, "b": 0.8}


@pytest.mark.parametrize(
    ("difference", "within", "result"),
    [
        (0.05, 0.02, "PASS"),
        (-0.05, 0.02, "FAIL"),
        (0.0, 0.02, "FAIL"),  # if better at all, by less than counts
        (0.0, 0.0001, "INCONCLUSIVE"),  # neither shown nor ruled out
    ],
)
def test_better_wants_a_difference_that_is_shown(difference: float, within: float, result: str) -> None:
    comparisons = {"mine": made(pair(0.0), pair(difference))}
    found = checks.build(checks.parse({"name": "better", "which": "mine", "within": within}), comparisons)
    assert found.result == result
    assert found.margin.startswith("a - b: ")
    turned = checks.parse({"name": "better", "which": "mine", "a": "b", "b": "a", "within": within})
    assert checks.build(turned, comparisons).result == {0.05: "FAIL", -0.05: "PASS"}.get(difference, result)


def test_better_may_be_asked_at_the_rates_given() -> None:
    comparisons = {"mine": made(pair(0.0), pair(0.05))}
    asked = checks.parse({"name": "better", "which": "mine", "at": "given", "within": 0.02})
    assert checks.build(asked, comparisons).result == "FAIL"


@pytest.mark.parametrize(
    ("first", "second", "result"),
    [
        (0.05, 0.0, "PASS"),
        (0.05, -0.05, "PASS"),  # no longer better, even worse
        (0.05, 0.05, "FAIL"),
        (-0.05, 0.0, "FAIL"),
        (-0.05, 0.05, "FAIL"),
        (0.0, 0.0, "INCONCLUSIVE"),  # never shown to be better
        (0.05, 0.01, "INCONCLUSIVE"),  # perhaps by more than allowed, perhaps not
    ],
)
def test_better_only_first_wants_a_difference_there_and_none_later(first: float, second: float, result: str) -> None:
    check = checks.parse({"name": "better_only_first", "within": 0.01})
    comparisons = {
        "first": made(pair(0.0), pair(first)),
        "second": made(pair(0.0), pair(second)),
    }
    found = checks.build(check, comparisons)
    assert found.result == result
    assert found.margin.startswith(f"In first, a - b: {'-' if first < 0 else ''}")
    assert "; in second, a - b: " in found.margin


def test_the_difference_is_counted_from_a_whichever_arm_is_ahead() -> None:
    comparisons = {"first": made(pair(0.0), pair(0.05)), "second": made(pair(0.0), pair(0.0))}
    for a, b, sign, result in (("a", "b", 1, "PASS"), ("b", "a", -1, "FAIL")):
        found = checks.build(checks.parse({"name": "better_only_first", "a": a, "b": b}), comparisons)
        assert found.result == result
        assert float(found.margin.split(": ")[1].split(" points")[0]) == pytest.approx(5 * sign, abs=0.5)


def test_a_margin_of_nothing_has_no_sign() -> None:
    same = verdict("a", "b", [0.9, 0.8], [0.9, 0.8], comparisons=1)
    assert margin(oriented(same, "b")).startswith("b - a: 0.00 points")
    assert margin(verdict("a", "b", [0.8999, 0.8], [0.9, 0.8])).startswith("a - b: -0.01 points")


LEFT, RIGHT = [0.9, 0.92, 0.91, 0.93], [0.9, 0.91, 0.905, 0.9]


@pytest.mark.parametrize(
    ("judged", "said"),
    [
        (verdict("a", "b", LEFT, RIGHT), "a - b: _ points (95% interval _ to _, 4 seeds)"),
        (
            verdict("a", "b", LEFT, RIGHT, level=0.9, comparisons=3),
            "a - b: _ points (90% interval _ to _, 4 seeds, corrected for 3 comparisons)",
        ),
        (
            verdict("a", "b", LEFT, RIGHT, sequential=True),
            "a - b: _ points (95% anytime-valid interval _ to _, 4 seeds)",
        ),
        (verdict("a", "b", LEFT, LEFT), "a - b: _ points (the same at every seed, 95% sign test, 4 seeds)"),
    ],
)
def test_a_margin_says_level_method_seeds_and_for_how_many_pairs_it_holds(judged: Verdict, said: str) -> None:
    assert re.sub(r"-?\d+\.\d+", "_", margin(judged)) == said


# -- claims -------------------------------------------------------------------------------------------------

CLAIM: dict[str, Any] = {
    "claim": "Arms are alike.",
    "source": "this test",
    "comparisons": {
        "tuned": {
            "base": FEW,
            "arms": {"one": {"optimizer.lr": 0.2}, "two": {"optimizer.lr": 0.2, "label_smoothing": 0.01}},
            "seeds": 6,
            "trials": 3,
            "tuning_seeds": 1,
        }
    },
    "check": {"name": "no_difference", "within": 0.05},
}
ALIKE = (  # by how little depends on the machine's rounding
    r"PASS  alike: Arms are alike\. Allowed: 5 points; "
    r"widest: (one - two|two - one): \d\.\d points \(95% (bootstrap )?interval -?\d\.\d to \d\.\d, 6 seeds\)\."
)
BROKEN: dict[str, Any] = {"arms": {"one": {"epochs": 8}, "two": {"init": {"name": "random_normal", "std": 1e-6}}}}


def claim_of(**changes: Any) -> Claim:
    (plan,) = CLAIM["comparisons"].values()
    return Claim.from_mapping("alike", {**CLAIM, "comparisons": {"tuned": {**plan, **changes}}})


def test_a_claim_is_tried_and_said_in_one_line() -> None:
    claim = claim_of()
    finding, comparisons = claim.tried(device="cpu")
    assert list(comparisons) == ["tuned"]
    assert re.fullmatch(ALIKE, claim.line(finding))


def test_arms_that_are_the_same_are_alike_only_as_far_as_so_few_seeds_can_tell() -> None:
    finding, _ = claim_of(arms={"one": {}, "two": {}}, tune=True).tried(device="cpu")
    assert finding.result == "INCONCLUSIVE"  # if 39% of all seeds differed, 6 would miss it in one case of 20
    assert finding.margin == (
        "Allowed: 5 points; widest: one - two: 0.00 points (the same at every seed, 95% sign test, 6 seeds)."
    )


def test_the_line_is_stable() -> None:
    first, second = (claim_of().line(claim_of().tried(device="cpu")[0]) for _ in range(2))
    assert first == second


def test_the_numbers_of_a_claim_are_valid_json_and_all_there() -> None:
    claim = claim_of(arms={"one": {}, "two": {"optimizer.lr": 1e200}})
    finding, comparisons = claim.tried(device="cpu")
    found = json.loads(numbers(claim, finding, comparisons), parse_constant=pytest.fail)
    assert list(found) == ["claim", "source", "result", "margin", "comparisons"]
    assert (found["result"], found["margin"]) == (finding.result, finding.margin)
    numbers_of = found["comparisons"]["tuned"]
    assert Plan(**numbers_of["plan"]) == claim.plans["tuned"]
    assert len(numbers_of["trials"]) == len(comparisons["tuned"].trials)
    assert "diverged" in {trial["status"] for trial in numbers_of["trials"]}
    assert numbers_of["verdicts"]["tuned"][0]["interval"]["level"] == pytest.approx(0.95)


@pytest.mark.parametrize("path", sorted(CLAIMS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_labs_claims_load_with_a_sentence_and_a_source_to_look_up(path: Path) -> None:
    claim = Claim.load(path)
    assert claim.name == path.stem
    assert claim.claim.endswith(".")
    assert "arXiv" in claim.source or "http" in claim.source


@pytest.mark.parametrize("path", OF_COMPARISONS, ids=lambda path: path.stem)
def test_the_checks_of_the_labs_comparisons_fit_them(path: Path) -> None:
    claim = Claim.load(path)
    comparisons = {
        which: Pretended(plan, lambda asked: round(0.9 + noise(asked[3]) - min(0.5, asked[2] / 100), 4))
        for which, plan in claim.plans.items()
    }
    for comparison in comparisons.values():
        comparison.run()
    finding = checks.build(claim.check, comparisons)
    assert claim.line(finding).startswith(f"{finding.result}  {path.stem}: {claim.claim} ")


def test_a_claim_of_the_lab_runs_for_real_when_it_is_shorter() -> None:
    claim = Claim.load(CLAIMS / "untuned_rankings_flip.yaml")
    for which, plan in claim.plans.items():
        arms = {name: arm.changed(**FEW) for name, arm in plan.arms.items()}
        claim.plans[which] = plan.model_copy(update={"arms": arms, "seeds": 4})
    finding, comparisons = claim.tried(device="cpu")
    assert [len(comparison.trials) for comparison in comparisons.values()] == [12, 12]
    assert finding == checks.build(claim.check, comparisons)


# -- what a person writes -----------------------------------------------------------------------------------

TWO = "{arms: {a: , b: {optimizer: adam}}}"
HEAD = "claim: x\nsource: y\n"
NEEDS = "PLACE/claim.yaml: A claim is a mapping with the keys claim, source, check, and comparisons or recipes."


def load(text: str) -> Act:
    def act(place: Path) -> Claim:
        (place / "claim.yaml").write_text(text)
        return Claim.load(place / "claim.yaml")

    return act


WRITTEN = [
    bad("empty", load(""), NEEDS),
    bad("a list", load("- claim"), NEEDS),
    bad("a word", load("claim"), NEEDS),
    bad("nothing in it", load("{}"), "PLACE/claim.yaml: A claim needs claim, source, check."),
    bad(
        "no comparisons",
        load(HEAD + "check: no_difference"),
        "PLACE/claim.yaml: A claim needs comparisons: check no_difference judges them.",
    ),
    bad("no check", load(HEAD + f"comparisons: {{tuned: {TWO}}}"), "PLACE/claim.yaml: A claim needs check."),
    bad(
        "an empty sentence",
        load(f"claim: ''\nsource: y\ncomparisons: {{tuned: {TWO}}}\ncheck: no_difference"),
        "PLACE/claim.yaml: A claim needs claim.",
    ),
    bad(
        "unknown key",
        load(HEAD + "chek: no_difference"),
        f"PLACE/claim.yaml: Unknown key of a claim 'chek'. Did you mean 'check'? Expected one of: {', '.join(KEYS)}.",
    ),
    bad(
        "number as a key",
        load("3: claim"),
        f"PLACE/claim.yaml: Unknown key of a claim 3. Expected one of: {', '.join(KEYS)}.",
    ),
    bad(
        "unknown check",
        load(HEAD + f"comparisons: {{tuned: {TWO}}}\ncheck: nodifference"),
        "PLACE/claim.yaml: Unknown check 'nodifference'. "
        f"Did you mean 'no_difference'? Expected one of: {', '.join(checks)}.",
    ),
    bad(
        "unknown setting of a check",
        load(HEAD + f"comparisons: {{tuned: {TWO}}}\ncheck: {{name: no_difference, witin: 0.1}}"),
        "PLACE/claim.yaml: Unknown setting 'witin' of check no_difference. Did you mean 'within'? "
        "Expected one of: which, at, within.",
    ),
    bad(
        "a check in points",
        load(HEAD + f"comparisons: {{tuned: {TWO}}}\ncheck: {{name: no_difference, within: 2}}"),
        "PLACE/claim.yaml: check no_difference: within is 2, but must be a number greater than 0 and less than 1.",
    ),
    bad(
        "a check at another phase",
        load(HEAD + f"comparisons: {{tuned: {TWO}}}\ncheck: {{name: no_difference, at: best}}"),
        "PLACE/claim.yaml: check no_difference: at is 'best', but must be one of: given, tuned.",
    ),
    bad(
        "one arm",
        load(HEAD + "comparisons: {tuned: {arms: {a: }}}\ncheck: no_difference"),
        "PLACE/claim.yaml: A comparison needs at least two arms.",
    ),
    bad(
        "bad value in an arm",
        load(HEAD + "comparisons: {tuned: {arms: {a: , b: {epochs: 0}}}}\ncheck: no_difference"),
        f"PLACE/claim.yaml: b: epochs is 0, {NOT_EPOCHS}",
    ),
    bad(
        "no arms",
        load(HEAD + "comparisons: {tuned: 3}\ncheck: no_difference"),
        "PLACE/claim.yaml: A comparison is a mapping with `arms`: a name, then what this arm changes.",
    ),
    bad(
        "comparisons a list",
        load(HEAD + "comparisons: [tuned]\ncheck: no_difference"),
        "PLACE/claim.yaml: `comparisons` must be a mapping from a name to a comparison.",
    ),
    bad(
        "a date",
        load(HEAD + "comparisons: {tuned: {arms: {a: {data: 2024-13-45}, b: }}}\ncheck: no_difference"),
        f"PLACE/claim.yaml: a: Unknown data set '2024-13-45'. Expected one of: {options('data')}.",
    ),
    bad(
        "not YAML",
        load("claim: {x"),
        'Cannot read PLACE/claim.yaml as YAML: while parsing a flow mapping in "<unicode string>", line 1, column 8: '
        "claim: {x ^ expected ',' or '}', but got '<stream end>' in \"<unicode string>\", line 1, column 10: "
        "claim: {x ^",
    ),
    bad(
        "no file",
        lambda place: Claim.load(place / "none.yaml"),
        "Cannot read the claim PLACE/none.yaml: No such file or directory.",
    ),
    bad("folder as file", Claim.load, "Cannot read the claim PLACE: Is a directory."),
]


@pytest.mark.parametrize(("act", "said"), WRITTEN)
def test_a_bad_claim_is_answered_in_words(act: Act, said: str, tmp_path: Path) -> None:
    assert complaint(act, tmp_path, RecipeError) == said


MISFITS = [
    bad(
        "no comparison of that name",
        load(f"{HEAD}comparisons: {{all: {TWO}}}\ncheck: no_difference"),
        "PLACE/claim.yaml: Unknown comparison 'tuned' in check no_difference. Expected one of: all.",
    ),
    bad(
        "none of the second name",
        load(f"{HEAD}comparisons: {{low: {TWO}, hihg: {TWO}}}\ncheck: ranking_flips"),
        "PLACE/claim.yaml: Unknown comparison 'high' in check ranking_flips. Did you mean 'hihg'? "
        "Expected one of: low, hihg.",
    ),
    bad(
        "tuned, but nothing is tuned",
        load(f"{HEAD}comparisons: {{tuned: {{tune: false, arms: {{a: , b: }}}}}}\ncheck: no_difference"),
        "PLACE/claim.yaml: check no_difference judges tuned arms, but tune is off.",
    ),
    bad(
        "no arm of that name",
        load(f"{HEAD}comparisons: {{first: {TWO}, second: {TWO}}}\ncheck: {{name: better_only_first, a: small}}"),
        "PLACE/claim.yaml: Unknown arm 'small' in check better_only_first. Expected one of: a, b.",
    ),
    bad(
        "other arms in the second",
        load(f"{HEAD}comparisons: {{low: {TWO}, high: {{arms: {{a: , c: }}}}}}\ncheck: ranking_flips"),
        "PLACE/claim.yaml: check ranking_flips needs the same arms in both comparisons.",
    ),
]


@pytest.mark.parametrize(("act", "said"), MISFITS)
def test_a_check_that_does_not_fit_the_comparisons_is_refused_when_it_is_read(
    act: Act, said: str, tmp_path: Path
) -> None:
    assert complaint(act, tmp_path, RecipeError) == said


# -- the command --------------------------------------------------------------------------------------------


def file_of(claim: Mapping[str, Any]) -> Path:
    path = Path("alike.yaml")
    path.write_text(json.dumps(claim))  # JSON is YAML
    return path


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_claim_that_passes_exits_0_and_leaves_its_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claim", str(file_of(CLAIM)), "--device", "cpu"]) == 0
    printed = capsys.readouterr()
    assert re.fullmatch(f"{ALIKE}\n", printed.out)
    assert printed.err == "2 arms, 30 runs or more ...\nNumbers: runs/claims/alike.json\n"
    kept = json.loads(Path("runs/claims/alike.json").read_text(), parse_constant=pytest.fail)
    assert (kept["result"], list(kept["comparisons"])) == ("PASS", ["tuned"])


@pytest.mark.parametrize(
    ("plan", "result"),
    [({**BROKEN, "tune": False}, "FAIL"), ({"seeds": 2, "tune": False}, "INCONCLUSIVE")],
)
def test_a_claim_that_does_not_pass_exits_3(
    plan: dict[str, Any], result: str, capsys: pytest.CaptureFixture[str]
) -> None:
    comparison = {**CLAIM["comparisons"]["tuned"], **plan}
    check = {**CLAIM["check"], "at": "given"}
    path = file_of({**CLAIM, "comparisons": {"tuned": comparison}, "check": check})
    assert main(["claim", str(path), "--device", "cpu", "--json", "--quiet", "--output", "deep/found.json"]) == 3
    printed = capsys.readouterr()
    said = json.loads(printed.out, parse_constant=pytest.fail)
    assert printed.err == ""
    assert {key: said[key] for key in ("name", "claim", "output", "result")} == {
        "name": "alike",
        "claim": "Arms are alike.",
        "output": "deep/found.json",
        "result": result,
    }
    assert json.loads(Path("deep/found.json").read_text())["margin"] == said["margin"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lab: alike.yaml: A claim is a mapping with the keys claim, source, check, and comparisons or recipes.\n"),
        ("claim: x", "lab: alike.yaml: A claim needs source, check.\n"),
    ],
)
def test_a_bad_claim_exits_2(text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("alike.yaml").write_text(text)
    assert main(["claim", "alike.yaml"]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", said)
    assert not Path("runs").exists()


def test_a_claim_that_is_not_there_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claim", "none.yaml"]) == 2
    assert capsys.readouterr().err == "lab: Cannot read the claim none.yaml: No such file or directory.\n"


@pytest.mark.parametrize("there", [None, "mine"])
def test_a_claim_that_fails_leaves_no_numbers_and_what_was_there(
    there: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    output = Path("runs/claims/alike.json")
    if there:
        output.parent.mkdir(parents=True)
        output.write_text(there)
    plan = {**CLAIM["comparisons"]["tuned"], "base": {**FEW, "data": {"name": "folder", "path": "nowhere"}}}
    assert main(["claim", str(file_of({**CLAIM, "comparisons": {"tuned": plan}})), "--device", "cpu"]) == 2
    assert "There is no folder nowhere" in capsys.readouterr().err
    assert (output.read_text() if output.exists() else None) == there


def test_numbers_that_cannot_be_written_are_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    Path("here").mkdir()
    assert main(["claim", str(file_of(CLAIM)), "--device", "cpu", "--output", "here"]) == 2
    assert capsys.readouterr().err == "lab: Cannot write here: Is a directory.\n"
