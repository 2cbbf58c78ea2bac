"""The `imagesvc` command.

    up.py                everything on one machine
    serve.py             the processes run separately: `serve`, `worker`, `migrate`
    http_server.py       the uvicorn server of the API
    supervisor.py        the process tree of `up`
    process_registry.py  records the processes, to end those of a killed run
    processes.py         several processes of `serve` or `worker`
    progress.py          shows the steps of a start

    users.py             `users`: accounts
    stores.py            `stores`: the store master
    tasks.py             `tasks`: background tasks and dead letters
    audit.py             `audit`: compares tables and bucket
    reprocess.py         `reprocess` and `rescore`: make metadata, renditions and scores again
    targets.py           the servers that these commands work on

    upload.py            `upload`: uploads files and folders to any service
    upload_report.py     the output of `upload`
    images.py            `images`: lists images
    links.py             `links`: invitation links
    connection.py        how these commands reach a service
    tables.py            tables on standard output

    environment.py       settings from the environment
    errors.py            exit codes, errors and how they are printed

The code behind a command is imported when the command runs, so that `--help` is quick and `up` stays small.
"""

from pathlib import Path
from typing import Annotated

import typer

from imagesvc.cli import audit, images, links, reprocess, stores, tasks, upload, users

app = typer.Typer(
    help="A self-hosted image intake service. Stores each distinct file once, analyzes it and reports on it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    # its tracebacks show local variables, which may be secrets
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
    typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one  [IMAGESVC_PORT; default: 8000]"),
]
Processes = Annotated[
    int | None, typer.Option(min=1, help="Processes that share the port  [IMAGESVC_API_PROCESSES; default: 1]")
]
WorkerProcesses = Annotated[
    int | None, typer.Option(min=1, help="Processes  [IMAGESVC_WORKER_PROCESSES; default: one for every 8 cores]")
]
EXAMPLES = "[bold]Examples[/bold]\n\n"


@app.command(
    epilog=EXAMPLES
    + "imagesvc up\n\n"
    + "imagesvc up --data-dir /srv/imagesvc --port 8080\n\n"
    + "IMAGESVC_S3_ENDPOINT=https://s3.example.org IMAGESVC_S3_ACCESS_KEY=… IMAGESVC_S3_SECRET_KEY=… imagesvc up"
)
def up(
    data_dir: Annotated[Path, typer.Option(help="Folder for all data, secrets and logs; created if missing")] = Path(
        ".imagesvc"
    ),
    host: Host = None,
    port: Port = None,
) -> None:
    """Run everything on this machine: PostgreSQL, Valkey, S3, the API and a worker.

    A server named by IMAGESVC_DATABASE_URL, IMAGESVC_REDIS_URL or IMAGESVC_S3_ENDPOINT replaces the local one.
    Ctrl-C stops everything.
    """
    from imagesvc.cli.up import run_up

    raise typer.Exit(run_up(data_dir, host=host, port=port))


@app.command(epilog=EXAMPLES + "imagesvc serve --host 0.0.0.0 --port 8000\n\n" + "imagesvc serve --processes 4")
def serve(host: Host = None, port: Port = None, processes: Processes = None) -> None:
    """Run the API only. It reads its servers and secrets from IMAGESVC_… in the environment."""
    from imagesvc.cli.serve import run_api

    raise typer.Exit(run_api(host=host, port=port, processes=processes))


@app.command(epilog=EXAMPLES + "imagesvc worker\n\n" + "IMAGESVC_WORKER_CONCURRENCY=4 imagesvc worker")
def worker(processes: WorkerProcesses = None) -> None:
    """Run a background worker. Several can run at the same time."""
    from imagesvc.cli.serve import run_worker

    raise typer.Exit(run_worker(processes=processes))


@app.command(epilog=EXAMPLES + "IMAGESVC_DATABASE_URL=postgresql://… imagesvc migrate --wait 30")
def migrate(
    create_bucket: Annotated[
        bool, typer.Option("--create-bucket", help="Also create the S3 bucket if it is missing")
    ] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a server that is not reachable yet")] = 0.0,
) -> None:
    """Upgrade the database to the newest schema. Safe to repeat and to run concurrently."""
    from imagesvc.cli.serve import run_migrations

    raise typer.Exit(run_migrations(create_bucket=create_bucket, wait_seconds=wait))
