"""Request handlers by verb and subresource: from a `Route` to an answer."""
