"""Defences that are taken out are missed: see `tests.attack.mutation`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.attack.mutation.run import ROOT, copy, problems, source
from tests.attack.mutation.table import FAST, MUTATIONS, Mutation

NAMED = {mutation.name: mutation for mutation in MUTATIONS}


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_every_mutation_applies_and_compiles(mutation: Mutation) -> None:
    compile(source(ROOT, mutation), mutation.file, "exec")


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_every_mutation_names_tests_that_exist(mutation: Mutation) -> None:
    assert mutation.tests
    for test in mutation.tests:
        file, *names = test.split("::")
        text = (ROOT / file).read_text(encoding="utf-8")
        for name in names:
            assert re.search(rf"^\s*(def|class|async def) {name}\b", text, re.MULTILINE), test


def test_names_are_unique() -> None:
    assert len(NAMED) == len(MUTATIONS)


def test_a_mutation_that_does_not_apply_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 times"):
        source(ROOT, Mutation("gone", "utcp/core/seq.py", "no such text", "", ()))


def test_a_mutation_that_nobody_misses_is_told(tmp_path: Path) -> None:
    harmless = Mutation(
        "harmless",
        "utcp/core/seq.py",
        "from __future__ import annotations\n",
        "from __future__ import annotations\n\n",
        ("tests/unit/test_seq.py",),
    )
    (text,) = problems(copy(tmp_path), [harmless])
    assert "'harmless' is not missed" in text


@pytest.mark.parametrize("name", FAST)
def test_taken_out_it_is_missed(tmp_path: Path, name: str) -> None:
    mutation = NAMED[name]._replace(tests=NAMED[name].tests[:1])
    assert problems(copy(tmp_path), [mutation]) == []
