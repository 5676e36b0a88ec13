"""The Internet checksum (RFC 1071), by one division: a ones' complement sum is a remainder modulo 65535."""


def checksum(data: bytes, start: int = 0) -> int:
    """The checksum of `data` and of `start`, the sum of a pseudo-header; for UDP it is never 0 (RFC 768)."""
    total = int.from_bytes(data, "big") << 8 * (len(data) & 1)
    return 0xFFFF - (total + start) % 0xFFFF


def is_intact(data: bytes, start: int = 0) -> bool:
    """Whether `data`, with its checksum in it, came through unchanged."""
    return ((int.from_bytes(data, "big") << 8 * (len(data) & 1)) + start) % 0xFFFF == 0


def pseudo_header(source: bytes, target: bytes, protocol: int, length: int) -> int:
    """The sum of the pseudo-header of RFC 9293 and RFC 8200 (8.1), for addresses of either version."""
    return int.from_bytes(source, "big") + int.from_bytes(target, "big") + protocol + length
