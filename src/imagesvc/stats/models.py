"""The tables of the statistics: appended changes, and the counts that they are folded into. Readers add both."""

from sqlalchemy import Identity
from sqlalchemy.orm import Mapped, mapped_column

from imagesvc.db import Base


class StatsDelta(Base):
    """A change of one count, appended by triggers in the transaction of the change: no writer waits for a counter."""

    __tablename__ = "stats_deltas"

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    count: Mapped[int]
    bytes: Mapped[int] = mapped_column(server_default="0")


class StatsCount(Base):
    """A folded count.

    What ``name`` is depends on the kind: `format` (media type), `camera` (its name; '' for images without one),
    `quarter` (quarter of an hour in UTC), `score` (tenths from 0 to 90),
    `uploads` ('', one total with bytes), `blobs` (media type, with bytes).
    """

    __tablename__ = "stats_counts"

    kind: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int]
    bytes: Mapped[int] = mapped_column(server_default="0")
