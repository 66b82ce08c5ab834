"""exec over WebSocket: the channels, what is answered on them, and by whom."""
