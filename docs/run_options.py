"""Run every option on the digits by the command `lab run`, keep what came out, and write the page of options.

  python docs/run_options.py          # options that have no result yet, or whose settings have changed; then the page
  python docs/run_options.py --all    # every option anew: about ten minutes on two cores

Results are kept in docs/options_results.json, beside the command that gave them; the page is docs/options.md.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lab.__main__ import main as lab
from lab.option_tables import KINDS, PLAIN, TRIED, page, shipped
from lab.recipe import Recipe

DOCS = Path(__file__).parent
RESULTS, PAGE = DOCS / "options_results.json", DOCS / "options.md"
KEPT = ("status", "validation_accuracy")
ELSEWHERE = "not on digits"  # of data sets
UNUSED = "no effect without a transfer"  # of sources
SOURCELESS = "not without a source"  # of pretrained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="run every option anew")
    anew = parser.parse_args().all
    known = {} if anew or not RESULTS.exists() else json.loads(RESULTS.read_text(encoding="utf-8"))
    results: dict[str, dict[str, Any]] = {}
    for field, name, change in every():
        found = up_to_date(known.get(field, {}).get(name, {}), *change)
        results.setdefault(field, {})[name] = found
        RESULTS.write_text(json.dumps({**known, **results}, indent=1) + "\n", encoding="utf-8")
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(results), encoding="utf-8")


def every() -> Iterator[tuple[str, str, tuple[str, Any]]]:
    """Where a result is kept, and the one choice that is changed for it."""
    for field in KINDS.values():
        yield from ((field, name, (field, name)) for name in shipped(field))
    yield from ((PLAIN, field, (field, value)) for field, value in TRIED.items())


def up_to_date(known: dict[str, Any], field: str, value: Any) -> dict[str, Any]:
    """What is known of a choice if its recipe is still the same, else what a run of it gives."""
    if field == "data" and value != Recipe().data.name:
        return {"said": ELSEWHERE}
    if field == "source" and value != Recipe().source.name:
        return {"said": UNUSED}
    if field == "init" and value == "pretrained":
        return {"said": SOURCELESS}
    if known.get("recipe") == Recipe().changed(**{field: value}).id:
        return known
    found = run(field, value)
    print(field, value, found, flush=True)
    return found


def run(field: str, value: Any) -> dict[str, Any]:
    """`lab run FIELD=VALUE`: status and best validation accuracy, or what the command says is wrong."""
    words, complaints = io.StringIO(), io.StringIO()
    command = ["run", f"{field}={value}", "--device", "cpu", "--quiet", "--json"]
    with TemporaryDirectory() as folder, redirect_stdout(words), redirect_stderr(complaints):
        lab([*command, "--folder", f"{folder}/run"])
    if not words.getvalue():
        return {"said": complaints.getvalue().strip()}
    facts = json.loads(words.getvalue())
    said = {"command": f"lab run {field}={value}", "recipe": facts["id"]}
    return said | {key: facts[key] for key in KEPT}


if __name__ == "__main__":
    main()
