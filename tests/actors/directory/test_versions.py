"""Version specifiers: PEP 440, Semantic Versioning, and equality for all other versions.

The expected values are those of the specifications: https://peps.python.org/pep-0440/ and
https://semver.org/spec/v2.0.0.html#spec-item-11.
"""

from __future__ import annotations

import random

import pytest

from actors.directory.versions import compile_specifier

TABLE: dict[str, tuple[list[str], list[str]]] = {
    # specifier: (versions that satisfy it, versions that do not)
    ">=1.2,<2": (
        ["1.2", "1.2.0", "v1.2", "1.10", "1.2.post1", "1.9+local"],
        ["1.1.9", "2", "2.0.dev1", "2.0rc1", "1.3rc1", "1.3-SNAPSHOT", "1!1.5", "", "9f3"],
    ),
    # A pre-release that is named admits all of them, in every clause.
    ">=1.3.0rc1": (["1.3.0rc1", "1.3.0rc2", "1.3.0", "1.4.dev1", "2.0a1"], ["1.3.0b9", "1.2.9"]),
    ">=1.3.0-rc.1,<2": (["1.3.0rc1", "1.3.0-rc.2", "1.9a1"], ["1.3.0-beta.2", "2.0rc1", "2"]),
    ">=0.dev0": (["0.1rc1", "1.0.dev5", "3"], ["", "latest"]),
    "==1.3.0rc1": (["1.3.0rc1", "1.3.0-rc.1", "v1.3RC1"], ["1.3.0", "1.3.0rc2"]),
    "~=1.3rc1": (["1.3rc1", "1.3", "1.9"], ["1.3b1", "2.0"]),
    "<2.0rc1": (["1.9", "1.9rc1", "2.0b1"], ["2.0rc1", "2.0"]),
    ">1.0rc1": (["1.0rc2", "1.0"], ["1.0rc1", "1.0b1"]),
    # ... but excluding one names none.
    "!=1.3.0rc1": (["1.3.0", "1.2", "release-12", "9f3c2ab"], ["1.3.0rc1", "1.3.0rc2", ""]),
    "!=1.0,!=1.1": (["1.2", "9f3c2ab"], ["1.0", "1.1", "1.0.0", "1.2a1"]),
    # Clauses of PEP 440.
    "==1.4.*": (["1.4", "1.4.2", "1.4.0.post3"], ["1.5", "1.40", "1.4rc1"]),
    "!=1.4.*": (["1.5", "1.40"], ["1.4", "1.4.2"]),
    "~=1.4.2": (["1.4.2", "1.4.10"], ["1.4.1", "1.5.0", "2.0"]),
    "~=1.4": (["1.4", "1.9"], ["1.3", "2.0"]),
    "==1.2": (["1.2", "1.2.0", "v1.2", "1.2+build.7"], ["1.2.post1", "1.2.1", "1.2rc1"]),
    "==1.2+build.7": (["1.2+build.7", "1.2+build-7"], ["1.2", "1.2+build.8"]),
    ">1.7": (["1.8", "1.7.1"], ["1.7", "1.7.0.post1", "1.7+local"]),
    ">1.7.post2": (["1.7.post3", "1.7.1"], ["1.7.post2", "1.7.0"]),
    "<=1!0": (["1!0", "99.0"], ["1!0.1"]),
    "===1.2": (["1.2"], ["1.2.0", "v1.2"]),
    # Versions that are no PEP 440 and no semantic versions: equal, or not.
    "==9f3c2ab": (["9f3c2ab"], ["9F3C2AB", "9f3c2a", "9f3c2abc", "1.0", ""]),
    "== 9f3c2ab": (["9f3c2ab"], ["1.0"]),
    "===9f3c2ab": (["9f3c2ab", "9F3C2AB"], ["9f3c2ac"]),
    "!=9f3c2ab": (["1.0", "release-12", "9f3c2ac"], ["9f3c2ab", "1.0rc1", ""]),
    "==release-12": (["release-12"], ["release-1", "12", "Release-12"]),
    "!=release-12": (["release-13", "12"], ["release-12"]),
    "==nightly build": (["nightly build"], ["nightly"]),
    ">=0": (["0", "5", "2024.11.3"], ["9f3c2ab", "release-12", "latest", ""]),
    # Semantic versions, where PEP 440 cannot read one of both.
    "==1.3.0-SNAPSHOT": (
        ["1.3.0-SNAPSHOT", "v1.3.0-SNAPSHOT", "1.3-SNAPSHOT", "1.3.0-SNAPSHOT+20241103"],
        ["1.3.0", "1.3.0-snapshot", "1.3.1-SNAPSHOT", "1.3.0rc1"],
    ),
    "==1.3.0-SNAPSHOT+b5": (["1.3.0-SNAPSHOT+b5"], ["1.3.0-SNAPSHOT", "1.3.0-SNAPSHOT+b6"]),
    "!=1.3.0-SNAPSHOT": (["1.3.0", "1.4", "9f3c2ab"], ["1.3.0-SNAPSHOT", "1.4.0-SNAPSHOT"]),
    ">=1.3.0-SNAPSHOT": (
        ["1.3.0-SNAPSHOT", "1.3.0", "1.3.0-rc.1", "1.4.0-SNAPSHOT", "2", "1.3.0-X.y"],
        ["1.2.9", "1.3.0-RELEASE", "1.3.0-1.x", "9f3c2ab", "1.2.0-SNAPSHOT"],
    ),
    ">=1.3.0-SNAPSHOT,<1.4": (["1.3.0-SNAPSHOT", "1.3.7-SNAPSHOT", "1.3"], ["1.4.0", "1.5-X"]),
    "<1.3.0-SNAPSHOT": (["1.2.9", "1.2.9-SNAPSHOT", "1.3.0-RC1-x"], ["1.3.0-SNAPSHOT", "1.3.0"]),
    "~=1.3.0-SNAPSHOT": (["1.3.0-SNAPSHOT", "1.3.9"], ["1.4.0", "1.3.0-RELEASE"]),
    "===1.3.0-SNAPSHOT": (["1.3.0-SNAPSHOT"], ["1.3-SNAPSHOT"]),
    "<1.3.0": (["1.2"], ["1.3.0-SNAPSHOT", "1.2.9-SNAPSHOT", "1.3.0"]),
    ">=1.2.3+build.5": (["1.2.3", "1.2.3+build.1", "1.2.4"], ["1.2.2"]),
}  # fmt: skip

CASES = [
    (specifier, version, expected)
    for specifier, both in TABLE.items()
    for expected, versions in zip((True, False), both, strict=True)
    for version in versions
]


@pytest.mark.parametrize(("specifier", "version", "expected"), CASES)
def test_the_table_of_specifiers_and_versions(specifier: str, version: str, expected: bool) -> None:
    assert compile_specifier(specifier)(version) is expected


def test_semantic_versions_have_the_order_of_their_specification() -> None:
    """The example of section 11, with a word that PEP 440 cannot read in each."""
    ordered = [
        "1.0.0-alpha-x",
        "1.0.0-alpha-x.1",
        "1.0.0-alpha-x.beta",
        "1.0.0-beta-x",
        "1.0.0-beta-x.2",
        "1.0.0-beta-x.11",
        "1.0.0-rc-x.1",
    ]
    shuffled = random.Random(1).sample(ordered, len(ordered))
    for version in shuffled:
        at = ordered.index(version)
        assert [each for each in ordered if compile_specifier(f"<{version}")(each)] == ordered[:at]
        assert [each for each in ordered if compile_specifier(f">{version}")(each)] == (
            ordered[at + 1 :]
        )
        assert compile_specifier(f"<={version}")("1.0.0") is False
        assert compile_specifier(f">={version}")("1.0.0") is True


@pytest.mark.parametrize(
    ("specifier", "words"),
    [
        ("9f3c2ab", "'9f3c2ab' needs an operator"),
        ("1.2", "needs an operator"),
        (">=1.2,latest", "'latest' needs an operator"),
        ("==", "needs an operator"),
        (">=release-12", "'release-12' has no order"),
        ("<9f3c2ab", "'9f3c2ab' has no order"),
        ("==release-*", "'.*' may follow numbers"),
        (">=1.*", "'.*' may follow numbers"),
        ("~=1", "'~=' needs two numbers"),
        ("~=1-SNAPSHOT", "'~=' needs two numbers"),
    ],
)
def test_what_is_no_specifier_is_refused_in_a_sentence(specifier: str, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("*", r"\*").replace(".", r"\.")):
        compile_specifier(specifier)


def test_no_clause_at_all_leaves_out_what_every_specifier_leaves_out() -> None:
    satisfies = compile_specifier("")
    assert [each for each in ("1.0", "1.0rc1", "9f3c2ab", "") if satisfies(each)] == [
        "1.0",
        "9f3c2ab",
    ]
