"""The tables of the statistics: appended changes, and what they were folded into. The views add both."""

from sqlalchemy import Identity
from sqlalchemy.orm import Mapped, mapped_column

from imagesvc.db import Base


class StatsDelta(Base):
    """A change of a count, appended by triggers with the fact that changed: nobody waits for a counter."""

    __tablename__ = "stats_deltas"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    count: Mapped[int]
    bytes: Mapped[int] = mapped_column(server_default="0")


class StatsCount(Base):
    """A folded count. Kinds: `format` (media type), `camera` (name, '' unknown), `quarter` (UTC quarter of an hour),
    `uploads` and `blobs` (totals with bytes)."""

    __tablename__ = "stats_counts"

    kind: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int]
    bytes: Mapped[int] = mapped_column(server_default="0")
