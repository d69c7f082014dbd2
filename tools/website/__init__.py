"""The site: both editions of course, guides and reference as static pages. See docs/site.md.

python tools/build_site.py       into `site/`; `make site` sets up what it needs

pages       which pages there are, and their sources
links       links of the repository become links of the site
stage       the sources of one edition, as Sphinx reads them
conf        Sphinx's settings; `docstrings` and `words` are its extensions
root        the page that leads to both editions
static, templates       how it looks
"""
