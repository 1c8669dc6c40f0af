from __future__ import annotations

import pytest

from sigilla.pl._figure import readable


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["CP_MEK_INHIBITOR", "CP_HRH1"], ["MEK INHIBITOR", "HRH1"]),
        (["CP_MEK", "SRC"], ["CP MEK", "SRC"]),
        (["mTOR_1 inhibitor", "b c"], ["mTOR_1 inhibitor", "b c"]),
        (["a_b", "a__b"], ["a_b", "a__b"]),
        (["CP_MEK"], ["CP MEK"]),
        (["x_1", "x_1"], ["1", "1"]),
        ([""], [""]),
        ([" padded\ttext\n"], ["padded text"]),
        (["ビタミンD受容体"], ["ビタミンD受容体"]),
    ],
)
def test_names_lose_only_what_all_share(names, shown):
    assert readable(names) == shown


def test_long_names_stay_apart():
    names = [f"{'inhibitor of ' * 10}{i}" for i in range(12)] + ["short"]
    shown = readable(names, width=20)
    assert len(set(shown)) == 13
    assert max(map(len, shown)) <= 20
