"""The tables of stores, and of stores whose time zone changed."""

import datetime as dt
from uuid import UUID

from sqlalchemy import ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from imagesvc.db import Base


class Store(Base):
    """A shop. ``time_zone`` is an IANA name. Without one, days are in UTC and capture times get no offset."""

    __tablename__ = "stores"
    __table_args__ = (Index(None, "area", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    area: Mapped[str]
    time_zone: Mapped[str | None]
    updated_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class TimeZoneWalk(Base):
    """A store whose time zone changed, until the capture times of its images are updated (images/time_zone_walk.py).

    The position is that of the last visited upload. A further change of the time zone sets it back to the start.
    """

    __tablename__ = "time_zone_walks"

    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id", ondelete="CASCADE"), primary_key=True)
    started_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    image_created_at: Mapped[dt.datetime] = mapped_column(server_default=text("'-infinity'"))
    image_id: Mapped[UUID] = mapped_column(server_default=text("'00000000-0000-0000-0000-000000000000'"))
