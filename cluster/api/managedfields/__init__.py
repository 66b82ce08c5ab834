"""Field ownership: field sets, who owns what, and server-side apply."""
