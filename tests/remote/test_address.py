# SPDX-License-Identifier: MIT
"""Names of devices of other machines."""

import pytest

from hornito.errors import BadInput
from hornito.remote import Address, is_remote


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("hornito://board:4077", Address("board", 4077)),
        ("hornito://127.0.0.1:1", Address("127.0.0.1", 1)),
        ("hornito://[::1]:65535", Address("::1", 65535)),
        ("hornito+unix:/run/npu", Address(path="/run/npu")),
        ("hornito+unix:npu with a space", Address(path="npu with a space")),
    ],
)
def test_name_means_an_address_and_is_its_text(name: str, address: Address) -> None:
    assert is_remote(name)
    assert Address.of_device(name) == address
    assert str(address) == name


@pytest.mark.parametrize(
    "name",
    [
        *("hornito://", "hornito://board", "hornito://board:", "hornito://board:0", "hornito://board:65536"),
        *("hornito://board:-1", "hornito://:4077", "hornito://::1:4077", "hornito://[::1:4077", "hornito+unix:"),
        *("hornito://user@board:4077", "hornito://board:4077/path", "hornito://bo ard:4077", "hornito://b\tx:1"),
        *("hornito://board:٤", "hornito://board:" + "1" * 5000, "virtual", ""),
    ],
)
def test_name_that_means_no_address_is_refused_with_the_right_form(name: str) -> None:
    with pytest.raises(BadInput, match="hornito://HOST:PORT"):
        Address.of_device(name)


@pytest.mark.parametrize(
    ("text", "address"),
    [("0.0.0.0:0", Address("0.0.0.0", 0)), ("[::1]:9", Address("::1", 9)), ("unix:/a/b", Address(path="/a/b"))],
)
def test_place_to_listen_at(text: str, address: Address) -> None:
    assert Address.to_listen(text) == address


@pytest.mark.parametrize("name", ["virtual", "/dev/dri/renderD128", "hornito:board", "Hornito://board:1"])
def test_other_names_are_not_remote(name: str) -> None:
    assert not is_remote(name)
