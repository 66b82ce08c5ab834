"""`kubeherd dashboard`: a page that shows a cluster as it lives, and acts on it when told to.

A process of its own, an ordinary client of the API server and of the supervisor. `live` follows the
cluster into `feed`, `views` says what a browser gets of it, `stream` sends what changes, `app` has
the routes and `session` decides who may ask for anything at all. `static` is the page.
"""
