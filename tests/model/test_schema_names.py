# SPDX-License-Identifier: MIT
"""Are operators and types called what the installed schema calls them?"""

import pytest

from hornito.model.schema_names import NAMES, name_of


@pytest.mark.parametrize("enumeration", NAMES)
def test_names_are_the_schema_s(enumeration: str) -> None:
    from ai_edge_litert import schema_py_generated as schema

    numbers = {name: value for name, value in vars(getattr(schema, enumeration)).items() if isinstance(value, int)}
    assert {name: name_of(enumeration, value) for name, value in numbers.items()} == {name: name for name in numbers}
    # An older schema may lack the last ones.
    assert all(numbers.get(name, number) == number for number, name in enumerate(NAMES[enumeration]))
    assert name_of(enumeration, 10_000) is None and name_of(enumeration, -1) is None
