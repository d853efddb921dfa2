"""The report: static pages on all claims and experiments of a scale, written from results and settings alone.

``gather`` collects what is shown, ``claim`` and ``experiment`` say what a page holds, ``pages`` fills the templates and
writes the files. Pages need no network and no server.
"""
