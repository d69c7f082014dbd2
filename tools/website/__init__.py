"""The site: both editions of course, guides and reference as static pages. See docs/site.md.

    python tools/build_site.py       into `site/`; `make site` sets up what it needs

    pages       which pages there are, and their sources
    links       links of the repository become links of the site
    paragraphs  lines of Chinese paragraphs are joined
    stage       the sources of one edition, as Sphinx reads them

`conf.py` has Sphinx's settings, `docstrings` and `words` are its extensions; `root.html` is the
page that leads to both editions. How it looks is in `static/` and `templates/`, in which order the
search lists what it finds in `scorer.js`.
"""
