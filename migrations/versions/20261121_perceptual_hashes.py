"""Table of perceptual hashes, with one index for each of their four bands of 16 bits."""

import sqlalchemy as sa
from alembic import op

revision = "20261121h"
down_revision = "20261121g"
branch_labels = None
depends_on = None

SHIFTS = (48, 32, 16, 0)


def upgrade() -> None:
    op.create_table(
        "perceptual_hashes",
        sa.Column("blob_id", sa.Uuid(), nullable=False),
        sa.Column("hash", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["blob_id"], ["blobs.id"], name=op.f("perceptual_hashes_blob_id_fkey")),
        sa.PrimaryKeyConstraint("blob_id", name=op.f("perceptual_hashes_pkey")),
    )
    # A search reads tens of thousands of index entries. It fetches the table's page of each entry whose page is not
    # marked all-visible, so the table is vacuumed more often than by default.
    op.execute("ALTER TABLE perceptual_hashes SET (autovacuum_vacuum_insert_scale_factor = 0.02)")
    op.execute(
        "INSERT INTO perceptual_hashes (blob_id, hash)"
        " SELECT id, perceptual_hash FROM blobs WHERE state = 'ready' AND perceptual_hash IS NOT NULL"
    )
    for shift in SHIFTS:
        op.execute(
            f"CREATE INDEX perceptual_hashes_band_{shift}_idx"
            f" ON perceptual_hashes (((hash >> {shift}) & 65535), hash) INCLUDE (blob_id)"
        )


def downgrade() -> None:
    op.drop_table("perceptual_hashes")
