"""A person's own settings: one page a subject, all in one shell.

To add a page: a row in `SECTIONS`, its title as `settings.NAME` in each catalogue, a template that extends
`_settings.html` and fills its block `section`, and a route that renders it with `**await section(NAME)`.
"""

from toolhost.web.settings import account
from toolhost.web.settings.pages import blueprint
from toolhost.web.settings.shell import SECTIONS, Section, section

__all__ = ["SECTIONS", "Section", "account", "blueprint", "section"]
