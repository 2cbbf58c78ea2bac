"""``python -m imagesvc``: the command line, without the installed `imagesvc` script."""

from imagesvc.cli import app

app(prog_name="imagesvc")
