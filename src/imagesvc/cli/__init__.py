"""The imagesvc command.

    up.py      everything on one machine       run.py    the parts apart: serve, worker, migrate
    users.py   accounts                         tasks.py  background work and dead letters
    stores.py  the store master
    audit.py   tables and bucket compared       reprocess.py   metadata, renditions and scores made anew
    servers.py   which servers these three work on
    upload.py, images.py, links.py   clients of a service anywhere; door.py   how they reach it
    supervisor.py, ledger.py   the process tree of `up`       progress.py   what a person sees meanwhile

Each command's module is imported when the command runs, so that `--help` is quick and `up` stays small.
"""

from pathlib import Path
from typing import Annotated

import typer

from imagesvc.cli import audit, images, links, reprocess, stores, tasks, upload, users

app = typer.Typer(
    help="A self-hosted image intake service: every picture stored once, understood, and answered for.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    # a traceback with local variables would print secrets
    pretty_exceptions_enable=False,
)

app.add_typer(users.app, name="users")
app.add_typer(stores.app, name="stores")
app.add_typer(links.app, name="links")
app.command(epilog=upload.EXAMPLES)(upload.upload)
app.command(epilog=images.EXAMPLES)(images.images)
app.add_typer(tasks.app, name="tasks")
app.command("audit", epilog=audit.EXAMPLES)(audit.audit)
app.command("reprocess", epilog=reprocess.EXAMPLES)(reprocess.reprocess)
app.command("rescore")(reprocess.rescore)

Host = Annotated[str | None, typer.Option(help="Address to listen on  [IMAGESVC_HOST; default: 127.0.0.1]")]
Port = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="Port to listen on; 0: any free one  [IMAGESVC_PORT; default: 8000]"),
]
EXAMPLES = "[bold]Examples[/bold]\n\n"


@app.command(
    epilog=EXAMPLES
    + "imagesvc up\n\n"
    + "imagesvc up --data-dir /srv/imagesvc --port 8080\n\n"
    + "IMAGESVC_S3_ENDPOINT=https://s3.example.org IMAGESVC_S3_ACCESS_KEY=… IMAGESVC_S3_SECRET_KEY=… imagesvc up"
)
def up(
    data_dir: Annotated[Path, typer.Option(help="Folder for all data, secrets and logs; made when missing")] = Path(
        ".imagesvc"
    ),
    host: Host = None,
    port: Port = None,
) -> None:
    """Run everything on this machine: PostgreSQL, Valkey, S3, the API and a worker.

    A server named by IMAGESVC_DATABASE_URL, IMAGESVC_REDIS_URL or IMAGESVC_S3_ENDPOINT is used instead of our own.
    Ctrl-C stops everything.
    """
    from imagesvc.cli.up import run_up

    raise typer.Exit(run_up(data_dir, host=host, port=port))


@app.command(epilog=EXAMPLES + "imagesvc serve --host 0.0.0.0 --port 8000")
def serve(host: Host = None, port: Port = None) -> None:
    """Run the API alone. The servers and secrets are named by IMAGESVC_… in the environment."""
    from imagesvc.cli.serve import run_api

    raise typer.Exit(run_api(host=host, port=port))


@app.command(epilog=EXAMPLES + "imagesvc worker\n\n" + "IMAGESVC_WORKER_CONCURRENCY=4 imagesvc worker")
def worker() -> None:
    """Run one background worker alone; run as many as there is work for."""
    from imagesvc.cli.serve import run_worker

    raise typer.Exit(run_worker())


@app.command(epilog=EXAMPLES + "IMAGESVC_DATABASE_URL=postgresql://… imagesvc migrate --wait 30")
def migrate(
    create_bucket: Annotated[bool, typer.Option("--create-bucket", help="Make the S3 bucket too when missing")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a server that is not there yet")] = 0.0,
) -> None:
    """Bring the database to the newest schema. Safe to run again, and from several places at once."""
    from imagesvc.cli.serve import run_migrations

    raise typer.Exit(run_migrations(create_bucket=create_bucket, wait_seconds=wait))
