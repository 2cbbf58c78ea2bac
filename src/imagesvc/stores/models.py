"""The table of stores."""

import datetime as dt

from sqlalchemy import Index, func
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
