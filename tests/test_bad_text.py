"""YAML and overrides that a person gets wrong, and the exact words that come back."""

from __future__ import annotations

import pytest
from wording import KEYS, NOT_AN_OPTIMIZER, NOT_EPOCHS, NOT_LR, Act, bad, complaint, options, settings

from lab.reading import parse_overrides
from lab.recipe import Recipe, RecipeError

NO_YAML = "Cannot read the text as YAML:"
NOT_A_SETTING = "does not name a setting. Expected something like optimizer.lr."


def text(yaml: str) -> Act:
    return lambda _: Recipe.from_yaml(yaml)


def file(name: str) -> Act:
    return lambda place: Recipe.load(place / name)


def override(*texts: str) -> Act:
    return lambda _: Recipe().changed(**parse_overrides(texts))


YAML = [
    bad("empty", text(""), "the text must be a mapping such as `optimizer: sgd`, but is None."),
    bad("comment only", text("# later\n"), "the text must be a mapping such as `optimizer: sgd`, but is None."),
    bad("a list", text("- epochs: 3"), "the text must be a mapping such as `optimizer: sgd`, but is [{'epochs': 3}]."),
    bad("a word", text("sgd"), "the text must be a mapping such as `optimizer: sgd`, but is 'sgd'."),
    bad(
        "missing bracket",
        text("model: {name: mlp"),
        f'{NO_YAML} while parsing a flow mapping in "<unicode string>", line 1, column 8: model: {{name: mlp ^ '
        "expected ',' or '}', but got '<stream end>' in \"<unicode string>\", line 1, column 18: model: {name: mlp ^",
    ),
    bad(
        "tab",
        text("\tepochs: 3"),
        f"{NO_YAML} while scanning for the next token found character '\\t' that cannot start any token "
        'in "<unicode string>", line 1, column 1: epochs: 3 ^',
    ),
    bad("key twice", text("epochs: 3\nseed: 1\nepochs: 4"), f"{NO_YAML} written twice: epochs"),
    bad("setting twice", text("optimizer: {name: sgd, lr: 1, lr: 2}"), f"{NO_YAML} written twice: lr"),
    bad("alias", text("epochs: &n 3\nseed: *n"), f"{NO_YAML} aliases (*name) are not allowed in a recipe"),
    bad(
        "two documents",
        text("epochs: 3\n---\nepochs: 4"),
        f'{NO_YAML} expected a single document in the stream in "<unicode string>", line 1, column 1: epochs: 3 ^ '
        'but found another document in "<unicode string>", line 2, column 1: --- ^',
    ),
    bad(
        "code",
        text("data: !!python/object/apply:os.getcwd []"),
        f"{NO_YAML} could not determine a constructor for the tag 'tag:yaml.org,2002:python/object/apply:os.getcwd' "
        'in "<unicode string>", line 1, column 7: data: !!python/object/apply:os.getcwd [] ^',
    ),
    bad("no such date", text("data: !!timestamp 2024-13-45"), f"{NO_YAML} month must be in 1..12"),
    bad("nested without end", text("epochs: " + "[" * 2000), f"{NO_YAML} it is nested too deeply"),
    bad(
        "a mapping that is none",
        text("epochs: !!map 3"),
        f'{NO_YAML} expected a mapping node, but found scalar in "<unicode string>", line 1, column 9: '
        "epochs: !!map 3 ^",
    ),
    bad("switch", text("epochs: on"), "epochs is True, but must be a number."),
    bad("number as a key", text("3: epochs"), f"Unknown recipe key '3'. Expected one of: {KEYS}."),
    bad("no file", file("none.yaml"), "Cannot read the recipe PLACE/none.yaml: No such file or directory."),
    bad("folder as file", file("empty"), "Cannot read the recipe PLACE/empty: Is a directory."),
    bad("binary file", file("binary.yaml"), "Cannot read the recipe PLACE/binary.yaml: it is not UTF-8 text."),
    bad(
        "zeros",
        file("zeros.yaml"),
        "Cannot read PLACE/zeros.yaml as YAML: unacceptable character #x0000: special characters are not allowed "
        'in "<unicode string>", position 0',
    ),
    bad("bad value in a file", file("bad.yaml"), f"PLACE/bad.yaml: epochs is 0, {NOT_EPOCHS}"),
]

TORN = " Was it torn at a space? Quote it in the shell: 'schedule={name: cosine}'."
OVERRIDES = [
    bad("no equals sign", override("optimizer.lr"), "Override 'optimizer.lr' must look like optimizer.lr=0.3."),
    bad("no key", override("=3"), "Override '=3' must look like optimizer.lr=0.3."),
    bad("same key twice", override("epochs=1", "epochs =2"), "Override 'epochs' is given twice."),
    bad(
        "unreadable value", override("optimizer.lr=["), f"Override 'optimizer.lr=[': cannot read '[' as a value.{TORN}"
    ),
    bad("alias", override("seed=*n"), "Override 'seed=*n': cannot read '*n' as a value."),
    bad(
        "no such date",
        override("data=!!timestamp 2024-13-45"),
        "Override 'data=!!timestamp 2024-13-45': cannot read '!!timestamp 2024-13-45' as a value.",
    ),
    bad(
        "unknown key",
        override("lr=0.3"),
        f"Unknown recipe key 'lr'. It is a setting of optimizer: write optimizer.lr. Expected one of: {KEYS}.",
    ),
    bad(
        "unknown key with a setting",
        override("optimzer.lr=1"),
        f"Unknown recipe key 'optimzer'. Did you mean 'optimizer'? Expected one of: {KEYS}.",
    ),
    bad("nothing before the dot", override(".lr=3"), f"Unknown recipe key ''. Expected one of: {KEYS}."),
    bad(
        "nothing after the dot",
        override("optimizer.=3"),
        f"Unknown setting '' of optimizer sgd. Expected one of: {settings('optimizer', 'sgd')}.",
    ),
    bad(
        "unknown setting",
        override("optimizer.lrr=1"),
        f"Unknown setting 'lrr' of optimizer sgd. Did you mean 'lr'? Expected one of: {settings('optimizer', 'sgd')}.",
    ),
    bad("empty value", override("epochs="), f"epochs is None, {NOT_EPOCHS}"),
    bad("empty option", override("optimizer="), f"optimizer is None, {NOT_AN_OPTIMIZER}"),
    bad(
        "dot behind a number",
        override("epochs.x=3"),
        "'epochs' has no settings inside, so 'epochs.x' means nothing. Use epochs=...",
    ),
    bad(
        "torn by a shell",
        override("schedule={name:", "cosine}"),
        f"Override 'schedule={{name:': cannot read '{{name:' as a value.{TORN}",
    ),
    bad(
        "name as a setting",
        override("optimizer.name=adam"),
        "An option's name is the value of optimizer itself: write optimizer=adam, not optimizer.name=adam.",
    ),
    bad("too deep", override("optimizer.lr.x=3"), f"'optimizer.lr.x' {NOT_A_SETTING}"),
    bad(
        "an entry without its setting", override("augment=[flip]", "augment.flip=3"), f"'augment.flip' {NOT_A_SETTING}"
    ),
    bad(
        "no such entry",
        override("augment.flip.p=1"),
        "augment has no entry 'flip' (it is: empty). Add it first: augment=[flip].",
    ),
    bad(
        "entry by number",
        override("augment=[crop, flip]", "augment.0.p=1"),
        f"Unknown augmentation '0'. Expected one of: {options('augment')}.",
    ),
    bad("out of range", override("optimizer.lr=-0.1"), f"optimizer sgd: lr is -0.1, {NOT_LR}"),
]


@pytest.mark.parametrize(("act", "said"), [*YAML, *OVERRIDES])
def test_bad_text_is_answered_in_words(act, said, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "binary.yaml").write_bytes(b"\x93NUMPY\xff\x00")
    (tmp_path / "zeros.yaml").write_bytes(bytes(4096))
    (tmp_path / "bad.yaml").write_text("epochs: 0\n")
    assert complaint(act, tmp_path, RecipeError) == said
