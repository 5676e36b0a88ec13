"""The name under which a browser saves a download (RFC 6266)."""

import pytest

from labplane_files.download import saved_as


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("two PCs.gns3project", 'filename="two PCs.gns3project"'),
        ("a/b.gns3project", 'filename="a_b.gns3project"'),
        ("../../etc/passwd.gns3project", 'filename=".._.._etc_passwd.gns3project"'),
        ("a\\b.gns3project", 'filename="a_b.gns3project"'),
        ("/.gns3project", 'filename="_.gns3project"'),
        ("ü/b.gns3project", "filename*=UTF-8''%C3%BC_b.gns3project"),
        ('a"b.gns3project', "filename*=UTF-8''a%22b.gns3project"),
        ("100%2F.gns3project", "filename*=UTF-8''100%252F.gns3project"),
    ],
)
def test_a_name_has_no_slash_and_means_itself(name: str, header: str) -> None:
    """F-7: a percent sign is no beginning of an escape, whatever the browser takes it for."""
    assert saved_as(name) == f"attachment; {header}"
