"""Passwords, API keys, failed logins and image shares."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261121d"
down_revision = "20261121c"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("password_hash", sa.Text(), nullable=True))
    op.add_column("users", sa.Column("token_generation", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.add_column("users", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_constraint("users_account_key", "users")
    # the name of an account that is being removed can be used for a new account
    op.create_index(
        "users_account_key",
        "users",
        [sa.text("lower(account)")],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("api_keys_owner_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("api_keys_pkey")),
        sa.UniqueConstraint("digest", name=op.f("api_keys_digest_key")),
    )
    op.create_index(op.f("api_keys_owner_id_id_idx"), "api_keys", ["owner_id", "id"])
    op.create_table(
        "login_failures",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("blocked_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("forgotten_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("login_failures_pkey")),
    )
    op.create_index(op.f("login_failures_forgotten_at_idx"), "login_failures", ["forgotten_at"])
    op.create_table(
        "shares",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("image_id", sa.Uuid(), nullable=False),
        sa.Column("preset", sa.Text(), nullable=True),
        sa.Column("format", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("(preset IS NULL) = (format IS NULL)", name=op.f("shares_what_check")),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("shares_image_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("shares_pkey")),
    )
    op.create_index(op.f("shares_image_id_id_idx"), "shares", ["image_id", "id"])


def downgrade() -> None:
    op.drop_table("shares")
    op.drop_table("login_failures")
    op.drop_table("api_keys")
    op.drop_index("users_account_key", "users")
    op.create_unique_constraint("users_account_key", "users", ["account"])
    op.drop_column("users", "deleted_at")
    op.drop_column("users", "token_generation")
    op.drop_column("users", "password_hash")
