"""A page that shows slides and the results on them; `histoscope view` serves it.

The server reads files below one folder and nothing else. A slide is a `Pyramid` of JPEG tiles, results are a
`Marks` of outlines sorted by place; the page in ``page/`` draws both.
"""
