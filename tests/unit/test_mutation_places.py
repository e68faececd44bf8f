"""Every rule of promotion can be taken away from outside, so that `make mutate` tries each."""

import pytest

from schemas.promotion.reasons import Code
from tests.mutation.without import PACKAGE, WORDS, without
from tests.support.samples import ROOT

MODULES = [f for f in sorted((ROOT / PACKAGE.replace(".", "/")).glob("*.py")) if f"{PACKAGE}.{f.stem}" not in WORDS]


@pytest.mark.parametrize("code", Code)
def test_a_rule_has_a_place_in_the_code(code: Code) -> None:
    sources = [f.read_text("utf-8") for f in MODULES if f"Code.{code.name}" in f.read_text("utf-8")]
    assert sum(without(s, code.name)[1] for s in sources) > 0
