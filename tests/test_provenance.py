"""Where numbers come from."""

import pytest
import torch

from luckmatters.provenance import provenance


@pytest.mark.parametrize("used", [False, True])
def test_the_graphics_card_is_named_if_it_was_used(used: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: used)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "the card")
    assert provenance().get("card") == ("the card" if used else None)
