import pytest
from straight_line import Fleet


@pytest.fixture
def fleet(tmp_path):
    """Two provisioned nodes."""
    return Fleet.make(tmp_path, "mac-01", "mac-02")
