"""Webhooks and their deliveries.

Triggers make the events, in the transaction that changes the fact. So code that changes an image or a job cannot forget
the event, and without a subscriber it costs one look into an index. ``webhook_event`` inserts a row and a task for each
webhook that wants the event. The text below is the first version; src/imagesvc/sql/ has the current one.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261121k"
down_revision = "20261121j"
branch_labels = None
depends_on = None

NEW_UUID7 = """
CREATE FUNCTION new_uuid7() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    -- RFC 9562, where the client makes no id: milliseconds since 1970, then what gen_random_uuid() gives
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6
    ), 52, 1), 53, 1), 'hex')::uuid
$$
"""

WEBHOOK_EVENT = """
CREATE FUNCTION webhook_event(f_owner uuid, f_event text, f_subject uuid, f_data jsonb) RETURNS void LANGUAGE sql AS $$
    WITH wanted AS (
        -- locked, so that none is deleted before its rows are there
        SELECT w.id FROM webhooks w
        WHERE w.owner_id = f_owner AND w.disabled_at IS NULL AND f_event = ANY(w.events)
          AND EXISTS (SELECT FROM users u WHERE u.id = w.owner_id AND u.disabled_at IS NULL)
        ORDER BY w.id FOR KEY SHARE
    ), made AS (
        INSERT INTO webhook_deliveries (id, webhook_id, event, subject_id, payload)
        SELECT new_uuid7(), id, f_event, f_subject, jsonb_build_object(
            'type', f_event, 'timestamp', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'data', f_data)
        FROM wanted RETURNING id, webhook_id
    )
    INSERT INTO tasks (id, kind, payload, turn_of)
    SELECT new_uuid7(), 'deliver_webhook', jsonb_build_object('delivery_id', id), webhook_id FROM made
$$
"""

IMAGE_MOVED = """
CREATE FUNCTION webhook_image_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM webhooks WHERE owner_id = NEW.owner_id AND disabled_at IS NULL) THEN
        PERFORM webhook_event(NEW.owner_id, 'image.' || NEW.state, NEW.id, jsonb_build_object(
            'image_id', NEW.id, 'state', NEW.state, 'problem', NEW.problem, 'title', NEW.title,
            'media_type', NEW.media_type, 'sha256', encode(b.sha256, 'hex'), 'width', b.width, 'height', b.height,
            'url', '/v1/images/' || NEW.id))
        FROM blobs b WHERE b.id = NEW.blob_id;
    END IF;
    RETURN NULL;
END $$
"""

JOB_FINISHED = """
CREATE FUNCTION webhook_job_finished() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM webhooks WHERE owner_id = NEW.owner_id AND disabled_at IS NULL) THEN
        PERFORM webhook_event(NEW.owner_id, 'job.finished', NEW.id, jsonb_build_object(
            'job_id', NEW.id, 'status', NEW.status, 'total', NEW.total, 'done', NEW.done, 'failed', NEW.failed,
            'cancelled', NEW.cancelled, 'url', '/v1/jobs/' || NEW.id));
    END IF;
    RETURN NULL;
END $$
"""

BATCH_BEGUN = """
CREATE FUNCTION webhook_batch_begun() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- the end of the request makes it due (webhooks/batches.py); this is for a request whose process is killed
    IF EXISTS (SELECT FROM webhooks
               WHERE owner_id = NEW.owner_id AND disabled_at IS NULL AND 'batch.finished' = ANY(events)) THEN
        INSERT INTO tasks (id, kind, payload, dedupe_key, due_at) VALUES (
            new_uuid7(), 'announce_batch', jsonb_build_object('batch_id', NEW.id), 'announce_batch:' || NEW.id,
            now() + interval '10 minutes');
    END IF;
    RETURN NULL;
END $$
"""

TRIGGERS = {
    "webhook_image_moved": (
        "images",
        "AFTER UPDATE OF state ON images FOR EACH ROW WHEN (OLD.state = 'pending' AND NEW.state <> 'pending')",
    ),
    "webhook_job_finished": (
        "jobs",
        "AFTER UPDATE OF finished_at ON jobs FOR EACH ROW WHEN (OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL)",
    ),
    "webhook_batch_begun": ("batches", "AFTER INSERT ON batches FOR EACH ROW"),
}


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("sealed_with", sa.Text(), nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name=op.f("webhooks_owner_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("webhooks_pkey")),
    )
    op.create_index(op.f("webhooks_owner_id_id_idx"), "webhooks", ["owner_id", "id"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("webhook_id", sa.Uuid(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("payload", postgresql.JSONB(), nullable=False),
        sa.Column("state", sa.Text(), server_default="pending", nullable=False),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("response_status", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'failed')", name=op.f("webhook_deliveries_state_check")),
        sa.ForeignKeyConstraint(["webhook_id"], ["webhooks.id"], name=op.f("webhook_deliveries_webhook_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("webhook_deliveries_pkey")),
    )
    op.create_index(op.f("webhook_deliveries_webhook_id_id_idx"), "webhook_deliveries", ["webhook_id", "id"])
    op.create_index(
        "webhook_deliveries_pending_idx",
        "webhook_deliveries",
        ["webhook_id", "subject_id", "id"],
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "webhook_deliveries_ended_idx",
        "webhook_deliveries",
        ["created_at"],
        postgresql_where=sa.text("state <> 'pending'"),
    )
    for text in (NEW_UUID7, WEBHOOK_EVENT, IMAGE_MOVED, JOB_FINISHED, BATCH_BEGUN):
        op.execute(text)
    for name, (_, when) in TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {name} {when} EXECUTE FUNCTION {name}()")


def downgrade() -> None:
    for name, (table, _) in TRIGGERS.items():
        op.execute(f"DROP TRIGGER {name} ON {table}")
        op.execute(f"DROP FUNCTION {name}()")
    op.execute("DROP FUNCTION webhook_event(uuid, text, uuid, jsonb)")
    op.execute("DROP FUNCTION new_uuid7()")
    op.execute("DELETE FROM tasks WHERE kind IN ('deliver_webhook', 'announce_batch')")
    op.drop_table("webhook_deliveries")
    op.drop_table("webhooks")
