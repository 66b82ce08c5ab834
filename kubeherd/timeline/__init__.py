"""A picture of a run: from a history to one HTML file that needs nothing else. Pure.

`model` makes rows, bars and marks of the records, `page` an HTML page of these; `timeline.js` and
`timeline.css` beside them draw it. Knows histories and nothing of clusters.
"""
