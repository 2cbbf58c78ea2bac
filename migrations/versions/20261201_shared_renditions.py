"""Let a rendition that shows the whole picture serve all presets that would. Existing rows stay as they are."""

from alembic import op

revision = "20261201a"
down_revision = "20261126c"
branch_labels = None
depends_on = None

RENDITION_NAMED = """CREATE OR REPLACE FUNCTION rendition_named(
    f_blob uuid, f_width bigint, f_height bigint, f_preset text, f_format text
) RETURNS SETOF renditions LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT r.* FROM renditions r
    WHERE r.blob_id = f_blob AND r.format = f_format
      AND (r.preset = f_preset
           OR r.width = f_width AND r.height = f_height
              AND CASE f_preset WHEN 'thumb' THEN greatest(f_width, f_height) <= 320
                                WHEN 'medium' THEN greatest(f_width, f_height) <= 1024
                                WHEN 'large' THEN greatest(f_width, f_height) <= 2048
                                ELSE true END)
    ORDER BY r.preset = f_preset DESC, r.bytes, r.preset LIMIT 1
$$;"""

RENDITION_NAMES = """CREATE OR REPLACE FUNCTION rendition_names(f_blob uuid, f_width bigint, f_height bigint)
RETURNS TABLE (preset text, format text, width bigint, height bigint, bytes bigint)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT r.preset, r.format, r.width, r.height, r.bytes FROM renditions r WHERE r.blob_id = f_blob
    UNION ALL
    SELECT named.preset, whole.format, whole.width, whole.height, whole.bytes
    FROM (
        SELECT DISTINCT ON (r.format) r.format, r.width, r.height, r.bytes FROM renditions r
        WHERE r.blob_id = f_blob AND r.width = f_width AND r.height = f_height
        ORDER BY r.format, r.bytes, r.preset
    ) whole
    JOIN (VALUES ('thumb', 320), ('medium', 1024), ('large', 2048)) AS named (preset, long_side)
        ON greatest(f_width, f_height) <= named.long_side
    WHERE NOT EXISTS (
        SELECT FROM renditions own
        WHERE own.blob_id = f_blob AND own.preset = named.preset AND own.format = whole.format)
$$;"""


def upgrade() -> None:
    for statement in (RENDITION_NAMED, RENDITION_NAMES):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """An earlier edition makes the presets that are missing when they are asked for."""
    op.execute("DROP FUNCTION rendition_names(uuid, bigint, bigint)")
    op.execute("DROP FUNCTION rendition_named(uuid, bigint, bigint, text, text)")
