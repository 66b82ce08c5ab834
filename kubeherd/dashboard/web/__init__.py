"""What a browser is answered: routes, sessions, files of the page, streams."""
