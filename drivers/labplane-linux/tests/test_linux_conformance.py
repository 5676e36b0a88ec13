"""A Linux node is held to what every driver is held to."""

from labplane.testing import DriverTests

# Linux answers ARP for its addresses at all cards unless it is told not to.
ONE_CARD = "echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore\nip addr add 10.66.0.1/24 dev eth2\n"


class TestLinux(DriverTests):
    kind = "linux"
    settings = {"startup_script": ONE_CARD}  # noqa: RUF012
    answers = {(2, 0): "10.66.0.1"}  # noqa: RUF012
    boots_within = 20.0
