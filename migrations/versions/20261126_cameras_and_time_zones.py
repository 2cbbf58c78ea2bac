"""Count the spellings of a camera together, and remember stores whose images need a new time zone.

`camera_key` is the key of a camera name in statistics and search. `time_zone_walks` has a row for each store whose time
zone changed, until a worker has updated the capture times of its images.
"""

import sqlalchemy as sa
from alembic import op

revision = "20261126b"
down_revision = "20261126a"
branch_labels = None
depends_on = None

CAMERA_KEY = """CREATE OR REPLACE FUNCTION camera_key(name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT lower(normalize(name, NFKC))
$$"""
VIEW = """CREATE OR REPLACE VIEW stats_cameras AS
    SELECT nullif((array_agg(name ORDER BY count DESC, name))[1], '') AS model, sum(count)::bigint AS count
    FROM (SELECT name, sum(count) AS count FROM stats_all WHERE kind = 'camera' GROUP BY name) AS spelling
    GROUP BY camera_key(name) HAVING sum(count) <> 0"""
VIEW_BEFORE = """CREATE OR REPLACE VIEW stats_cameras AS
    SELECT nullif(name, '') AS model, sum(count)::bigint AS count
    FROM stats_all WHERE kind = 'camera'
    GROUP BY name HAVING sum(count) <> 0"""


def upgrade() -> None:
    op.execute(CAMERA_KEY)
    op.execute(VIEW)
    _create_camera_index("camera_key(camera)")
    op.create_table(
        "time_zone_walks",
        sa.Column("store_id", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "image_created_at", sa.DateTime(timezone=True), server_default=sa.text("'-infinity'"), nullable=False
        ),
        sa.Column(
            "image_id", sa.UUID(), server_default=sa.text("'00000000-0000-0000-0000-000000000000'"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["store_id"], ["stores.id"], name=op.f("time_zone_walks_store_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("store_id", name=op.f("time_zone_walks_pkey")),
    )


def downgrade() -> None:
    op.drop_table("time_zone_walks")
    _create_camera_index("lower(camera)")
    op.execute(VIEW_BEFORE)
    op.execute("DROP FUNCTION camera_key(text)")


def _create_camera_index(key: str) -> None:
    op.execute("DROP INDEX images_camera_created_at_id_idx")
    op.execute(
        f"CREATE INDEX images_camera_created_at_id_idx ON images ({key}, visibility, created_at, id)"
        " INCLUDE (owner_id) WHERE camera IS NOT NULL"
    )
