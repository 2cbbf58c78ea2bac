"""The tables of jobs, their visits and images, and of URLs that were fetched before."""

import datetime as dt
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from imagesvc.db import Base


class Job(Base):
    """A submitted job. ``finished_at`` is set when its last image ends; ``status`` may be `cancelled` before that."""

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
    """A visit to a store. ``store_id`` may be unknown; then the visit's images fail."""

    __tablename__ = "visits"
    __table_args__ = (Index(None, "job_id", "position"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id"))
    position: Mapped[int]
    store_id: Mapped[str]
    visit_time: Mapped[dt.datetime]


class VisitImage(Base):
    """One URL of a visit. The upload that it becomes has the same id, so that it is admitted only once.

    ``fetch_id`` is the task that fetches the URL, the same for all images of a job with that URL. Owner, store and time
    are copied from job and visit for the report, which then reads only an index.
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
    """Validators that a host sent with an image that the owner still has, for conditional requests (RFC 9110)."""

    __tablename__ = "fetched_urls"
    __table_args__ = (Index(None, "image_id"),)

    owner_id: Mapped[UUID] = mapped_column(primary_key=True)
    url_sha256: Mapped[bytes] = mapped_column(primary_key=True)
    image_id: Mapped[UUID] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"))
    etag: Mapped[str | None]
    last_modified: Mapped[str | None]
