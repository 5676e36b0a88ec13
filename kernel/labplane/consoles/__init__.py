"""One console, many viewers, and the doors through which they come: telnet and WebSocket."""
