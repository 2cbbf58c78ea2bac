"""The tables of jobs: what was asked for, how each image fared, and what URLs led to before."""

import datetime as dt
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from imagesvc.db import Base


class Job(Base):
    """``finished_at`` comes with the last image's end, whatever it was; ``cancelled`` it may be called before."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint("status IN ('ongoing', 'completed', 'failed', 'cancelled')", name="status"),
        CheckConstraint("done + failed + cancelled <= total", name="counts"),
        CheckConstraint("(finished_at IS NULL) = (done + failed + cancelled < total)", name="finished"),
        Index(None, "owner_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    status: Mapped[str] = mapped_column(server_default="ongoing")
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[dt.datetime | None]
    total: Mapped[int]
    done: Mapped[int] = mapped_column(server_default="0")
    failed: Mapped[int] = mapped_column(server_default="0")
    cancelled: Mapped[int] = mapped_column(server_default="0")


class Visit(Base):
    """Somebody was in a store. The store need not be known: its images fail then."""

    __tablename__ = "visits"
    __table_args__ = (Index(None, "job_id", "position"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id"))
    position: Mapped[int]
    store_id: Mapped[str]
    visit_time: Mapped[dt.datetime]


class VisitImage(Base):
    """One URL of a visit. Its id is also that of the upload that it becomes, so that it is admitted once.

    ``fetch_id`` is the task that fetches it, the same for all images of a job with the same URL. Owner, store and time
    are those of job and visit, repeated for the report, which reads nothing but an index.
    """

    __tablename__ = "visit_images"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'done', 'failed', 'cancelled')", name="state"),
        CheckConstraint("(state = 'done') = (perimeter IS NOT NULL)", name="done"),
        CheckConstraint("(state = 'failed') = (reason IS NOT NULL)", name="failed"),
        Index(None, "visit_id", "position"),
        Index(None, "fetch_id"),
        Index(
            "visit_images_report_idx",
            "store_id",
            "visit_time",
            postgresql_include=["owner_id", "perimeter", "seconds", "score"],
            postgresql_where=text("state = 'done'"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    visit_id: Mapped[UUID] = mapped_column(ForeignKey("visits.id"))
    owner_id: Mapped[UUID]
    store_id: Mapped[str]
    visit_time: Mapped[dt.datetime]
    position: Mapped[int]
    url: Mapped[str]
    fetch_id: Mapped[UUID]
    state: Mapped[str] = mapped_column(server_default="waiting")
    reason: Mapped[str | None]
    perimeter: Mapped[int | None]
    score: Mapped[int | None]
    seconds: Mapped[float | None]


class FetchedUrl(Base):
    """What a host said about a picture that an owner has from it, to ask next time whether it has changed."""

    __tablename__ = "fetched_urls"
    __table_args__ = (Index(None, "image_id"),)

    owner_id: Mapped[UUID] = mapped_column(primary_key=True)
    url_sha256: Mapped[bytes] = mapped_column(primary_key=True)
    image_id: Mapped[UUID] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"))
    etag: Mapped[str | None]
    last_modified: Mapped[str | None]
