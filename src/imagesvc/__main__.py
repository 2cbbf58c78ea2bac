"""``python -m imagesvc``: the command line, however the package was installed."""

from imagesvc.cli import app

app(prog_name="imagesvc")
