"""Statistics: triggers append changes, views add them to the folded counts.

They count images that are not `rejected`, the uploads of those, and blobs that are not `rejected`. The triggers are on
the tables, so that every insert, change and delete of a row is counted. The text below is the first version;
src/imagesvc/sql/ has the current one.
"""

from alembic import op

revision = "20261121b"
down_revision = "20261121a"
branch_labels = None
depends_on = None

QUARTER = """
CREATE FUNCTION stats_quarter(moment timestamptz) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT to_char(date_bin('15 minutes', moment AT TIME ZONE 'UTC', timestamp '2000-01-01'), 'YYYY-MM-DD"T"HH24:MI"Z"')
$$
"""

OF_IMAGES = """
CREATE FUNCTION stats_of_images() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was boolean := TG_OP <> 'INSERT' AND OLD.state <> 'rejected';
    is_now boolean := TG_OP <> 'DELETE' AND NEW.state <> 'rejected';
BEGIN
    IF was AND is_now AND OLD.media_type = NEW.media_type AND OLD.camera IS NOT DISTINCT FROM NEW.camera THEN
        RETURN NULL;
    END IF;
    IF was THEN
        INSERT INTO stats_deltas (kind, name, count)
        VALUES ('format', OLD.media_type, -1), ('camera', coalesce(OLD.camera, ''), -1);
    END IF;
    IF is_now THEN
        INSERT INTO stats_deltas (kind, name, count)
        VALUES ('format', NEW.media_type, 1), ('camera', coalesce(NEW.camera, ''), 1);
    END IF;
    IF TG_OP = 'UPDATE' AND was <> is_now THEN
        INSERT INTO stats_deltas (kind, name, count, bytes)
        SELECT change.kind, change.name, CASE WHEN is_now THEN 1 ELSE -1 END, CASE WHEN is_now THEN change.bytes ELSE -change.bytes END
        FROM uploads u
        CROSS JOIN LATERAL (VALUES ('quarter', stats_quarter(u.received_at), 0), ('uploads', '', u.bytes)) AS change (kind, name, bytes)
        WHERE u.image_id = NEW.id;
    END IF;
    RETURN NULL;
END $$
"""

OF_UPLOADS = """
CREATE FUNCTION stats_of_uploads() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    arrival uploads := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    sign bigint := CASE WHEN TG_OP = 'DELETE' THEN -1 ELSE 1 END;
BEGIN
    IF (SELECT i.state <> 'rejected' FROM images i WHERE i.id = arrival.image_id) THEN
        INSERT INTO stats_deltas (kind, name, count, bytes)
        VALUES ('quarter', stats_quarter(arrival.received_at), sign, 0), ('uploads', '', sign, sign * arrival.bytes);
    END IF;
    RETURN NULL;
END $$
"""

OF_BLOBS = """
CREATE FUNCTION stats_of_blobs() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was boolean := TG_OP <> 'INSERT' AND OLD.state <> 'rejected';
    is_now boolean := TG_OP <> 'DELETE' AND NEW.state <> 'rejected';
BEGIN
    IF was AND is_now AND OLD.media_type = NEW.media_type THEN
        RETURN NULL;
    END IF;
    IF was THEN
        INSERT INTO stats_deltas (kind, name, count, bytes) VALUES ('blobs', OLD.media_type, -1, -OLD.bytes);
    END IF;
    IF is_now THEN
        INSERT INTO stats_deltas (kind, name, count, bytes) VALUES ('blobs', NEW.media_type, 1, NEW.bytes);
    END IF;
    RETURN NULL;
END $$
"""

ALL = """
CREATE VIEW stats_all AS
    SELECT kind, name, count, bytes FROM stats_counts UNION ALL SELECT kind, name, count, bytes FROM stats_deltas
"""

VIEWS = {
    "stats_formats": """
        SELECT name AS media_type, sum(count)::bigint AS count FROM stats_all WHERE kind = 'format'
        GROUP BY name HAVING sum(count) <> 0""",
    "stats_cameras": """
        SELECT nullif(name, '') AS model, sum(count)::bigint AS count FROM stats_all WHERE kind = 'camera'
        GROUP BY name HAVING sum(count) <> 0""",
    "stats_uploads_per_day": """
        SELECT left(name, 10)::date AS date, sum(count)::bigint AS count FROM stats_all WHERE kind = 'quarter'
        GROUP BY left(name, 10) HAVING sum(count) <> 0""",
    "stats_totals": """
        SELECT coalesce(sum(count) FILTER (WHERE kind = 'format'), 0)::bigint AS images,
               coalesce(sum(count) FILTER (WHERE kind = 'blobs'), 0)::bigint AS blobs,
               coalesce(sum(count) FILTER (WHERE kind = 'uploads'), 0)::bigint AS uploads,
               coalesce(sum(bytes) FILTER (WHERE kind = 'uploads'), 0)::bigint AS bytes_received,
               coalesce(sum(bytes) FILTER (WHERE kind = 'blobs'), 0)::bigint AS bytes_stored
        FROM stats_all WHERE kind IN ('format', 'blobs', 'uploads')""",
}

TRIGGERS = {
    "images": "AFTER INSERT OR DELETE OR UPDATE OF state, media_type, camera",
    "uploads": "AFTER INSERT OR DELETE",
    "blobs": "AFTER INSERT OR DELETE OR UPDATE OF state, media_type",
}


def upgrade() -> None:
    for statement in (QUARTER, OF_IMAGES, OF_UPLOADS, OF_BLOBS, ALL):
        op.execute(statement)
    for table, events in TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {table}_stats {events} ON {table} FOR EACH ROW EXECUTE FUNCTION stats_of_{table}()")
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query}")


def downgrade() -> None:
    for name in VIEWS:
        op.execute(f"DROP VIEW {name}")
    op.execute("DROP VIEW stats_all")
    for table in TRIGGERS:
        op.execute(f"DROP TRIGGER {table}_stats ON {table}")
        op.execute(f"DROP FUNCTION stats_of_{table}()")
    op.execute("DROP FUNCTION stats_quarter(timestamptz)")
