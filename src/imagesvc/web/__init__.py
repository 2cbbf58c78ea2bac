"""Pages for people: the upload page behind a link, and the dashboard for accounts and operators.

upload_page/   what the holder of a link sees; it sends files through the routes below `/u`
dashboard/     what an account sees after signing in
rendering.py   templates, languages and security headers of all pages
assets.py      serves style sheets and scripts
languages.py   the language of a reader, and its messages
templates/     Jinja2 templates, which only arrange what a route gives them
static/        style sheets and ES modules, which browsers run as they are
locale/        message catalogues

Pages call the same services as the API. Every page works without scripts, except `/u` with the token in the fragment,
which browsers do not send.
"""
