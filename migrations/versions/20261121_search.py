"""Search for images by words, place, time and the context of their uploads.

The columns that a search filters by are in the rows of images and uploads themselves. Each index contains the filtered
column first and then the columns of the result's order, so that a first page reads one page of results
(docs/decisions/0008). The functions below are the first version; src/imagesvc/sql/ has the current one.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261121g"
down_revision = "20261121f"
branch_labels = None
depends_on = None

SEARCH_TEXT = """
CREATE FUNCTION search_text(written text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    -- equal for all ways to write the same: case, width, composed or not
    SELECT normalize(lower(normalize(written, NFKC)), NFKC)
$$
"""

SEARCH_NAMES = """
CREATE FUNCTION search_names(names text[]) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT normalize(lower(normalize(array_to_string(names, E'\\n'), NFKC)), NFKC)
$$
"""

SEARCH_GRAMS = """
CREATE FUNCTION search_grams(words text, names text) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 2000 AS $$
DECLARE
    before_last text := '';
    last text := '';
    letter text;
    grams text[] := '{}';
BEGIN
    -- whatever up to three letters the text contains somewhere begin one of these
    FOREACH letter IN ARRAY string_to_array(words || E'\\n' || names, NULL) LOOP
        grams := grams || (before_last || last || letter);
        before_last := last;
        last := letter;
    END LOOP;
    RETURN array_to_tsvector(grams || (before_last || last) || last);
END $$
"""

SEARCH_QUERY = """
CREATE FUNCTION search_query(wanted text) RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    -- necessary for a text to contain it, and for up to three letters sufficient
    SELECT string_agg(
        '''' || replace(replace(substr(wanted, n, 3), '\\', '\\\\'), '''', '''''') || ''''
            || CASE WHEN length(wanted) < 3 THEN ':*' ELSE '' END, ' & '
    )::tsquery
    FROM generate_series(1, greatest(length(wanted) - 2, 1)) AS n
$$
"""

PLACE_CODE = """
CREATE FUNCTION place_code(latitude double precision, longitude double precision) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    axis double precision;
    step bigint;
    code bigint := 0;
BEGIN
    -- the place as a point of the unit sphere, 20 bits an axis, interleaved (Morton order): what is near is mostly near
    IF latitude IS NULL OR longitude IS NULL THEN RETURN NULL; END IF;
    FOREACH axis IN ARRAY ARRAY[
        cosd(latitude) * cosd(longitude), cosd(latitude) * sind(longitude), sind(latitude)
    ] LOOP
        step := least(greatest(floor((axis + 1) * 524288), 0), 1048575)::bigint;
        step := (step | (step << 32)) & x'001f00000000ffff'::bigint;
        step := (step | (step << 16)) & x'001f0000ff0000ff'::bigint;
        step := (step | (step << 8)) & x'100f00f00f00f00f'::bigint;
        step := (step | (step << 4)) & x'10c30c30c30c30c3'::bigint;
        step := (step | (step << 2)) & x'1249249249249249'::bigint;
        code := (code << 1) | step;
    END LOOP;
    RETURN code;
END $$
"""

KILOMETRES = """
CREATE FUNCTION kilometres_between(
    latitude double precision, longitude double precision, other_latitude double precision, other_longitude double precision
) RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    -- on the sphere of the Earth's mean radius (haversine)
    SELECT 2 * 6371.0088 * asin(sqrt(least(1, power(sind((other_latitude - latitude) / 2), 2)
        + cosd(latitude) * cosd(other_latitude) * power(sind((other_longitude - longitude) / 2), 2))))
$$
"""

ORDER_OF_UPLOADS = """
CREATE FUNCTION uploads_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT i.created_at INTO NEW.image_created_at FROM images i WHERE i.id = NEW.image_id;
    NEW.image_created_at := coalesce(NEW.image_created_at, now());
    RETURN NEW;
END $$
"""

NAMES_OF_UPLOADS = """
CREATE FUNCTION uploads_names() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- admission writes the first name with the image itself, so that mostly there is nothing to do
    UPDATE images i SET filenames = i.filenames || NEW.filename
    WHERE i.id = NEW.image_id AND NOT i.filenames @> ARRAY[NEW.filename] AND cardinality(i.filenames) < 100;
    RETURN NULL;
END $$
"""

FUNCTIONS = {
    "search_text(text)": SEARCH_TEXT,
    "search_names(text[])": SEARCH_NAMES,
    "search_grams(text, text)": SEARCH_GRAMS,
    "search_query(text)": SEARCH_QUERY,
    "place_code(double precision, double precision)": PLACE_CODE,
    "kilometres_between(double precision, double precision, double precision, double precision)": KILOMETRES,
    "uploads_order()": ORDER_OF_UPLOADS,
    "uploads_names()": NAMES_OF_UPLOADS,
}

# Changes one statement of admit_file: reads the function's present text, replaces the statement, creates it again.
ADMIT_NAMES = """
DO $$
DECLARE
    before text := pg_get_functiondef('admit_file'::regproc);
    after text := replace(replace(before, '{old_columns}', '{new_columns}'), '{old_values}', '{new_values}');
BEGIN
    IF after = before THEN RAISE EXCEPTION 'admit_file is not what this migration knows'; END IF;
    EXECUTE after;
END $$
"""
WITHOUT_NAMES = (
    "(id, owner_id, blob_id, visibility, title, description, media_type)",
    "(f_image, f_owner, blob.id, f_visibility, f_title, f_description, blob.media_type)",
)
WITH_NAMES = (
    "(id, owner_id, blob_id, visibility, title, description, media_type, filenames)",
    "(f_image, f_owner, blob.id, f_visibility, f_title, f_description, blob.media_type, ARRAY[f_filename])",
)

FILL_IMAGES = """
UPDATE images i SET
    filenames = coalesce((SELECT array_agg(DISTINCT u.filename) FROM uploads u WHERE u.image_id = i.id), '{}'),
    score = CASE WHEN i.state = 'pending' THEN -1 ELSE coalesce((b.score ->> 'value')::bigint, -1) END,
    latitude = CASE WHEN i.state <> 'pending' THEN b.latitude END,
    longitude = CASE WHEN i.state <> 'pending' THEN b.longitude END
FROM blobs b WHERE b.id = i.blob_id
"""
FILL_UPLOADS = "UPDATE uploads u SET image_created_at = i.created_at FROM images i WHERE i.id = u.image_id"

IMAGE_INDEXES: dict[str, str] = {
    "images_visibility_created_at_id_idx": "(visibility, created_at, id)",
    "images_owner_id_visibility_created_at_id_idx": "(owner_id, visibility, created_at, id)",
    "images_visibility_score_id_idx": "(visibility, score, id) INCLUDE (owner_id, created_at)",
    "images_owner_id_captured_order_id_idx": "(owner_id, captured_order, id) INCLUDE (visibility, created_at)",
    "images_captured_order_id_idx": (
        "(captured_order, id) INCLUDE (owner_id, visibility, created_at) WHERE captured_order > '0001-01-02 00:00:00+00'"
    ),
    "images_owner_id_place_idx": "(owner_id, place) WHERE place IS NOT NULL",
    "images_place_idx": "(place) WHERE place IS NOT NULL",
    "images_media_type_visibility_created_at_id_idx": "(media_type, visibility, created_at, id) INCLUDE (owner_id)",
    "images_state_visibility_created_at_id_idx": (
        "(state, visibility, created_at, id) INCLUDE (owner_id) WHERE state <> 'ready'"
    ),
    "images_camera_created_at_id_idx": "(lower(camera), visibility, created_at, id) INCLUDE (owner_id) WHERE camera IS NOT NULL",
    "images_grams_idx": "USING gin (search_grams(words, names)) WITH (gin_pending_list_limit = 512)",
}
UPLOAD_INDEXES = {
    f"uploads_{name}_image_created_at_image_id_idx": (
        f"({name}, image_created_at, image_id) INCLUDE (owner_id) WHERE {name} IS NOT NULL"
    )
    for name in ("store_id", "store_name", "camera_id", "barcode", "link_id")
}
GONE = "CREATE INDEX users_deleted_at_idx ON users (id) WHERE deleted_at IS NOT NULL"


def upgrade() -> None:
    for function in FUNCTIONS.values():
        op.execute(function)
    op.add_column(
        "images",
        sa.Column("filenames", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'::text[]"), nullable=False),
    )
    op.add_column("images", sa.Column("score", sa.BigInteger(), server_default=sa.text("-1"), nullable=False))
    op.add_column("images", sa.Column("latitude", sa.Double(), nullable=True))
    op.add_column("images", sa.Column("longitude", sa.Double(), nullable=True))
    op.add_column(
        "uploads",
        sa.Column("image_created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.execute(FILL_IMAGES)
    op.execute(FILL_UPLOADS)
    op.execute("""
        ALTER TABLE images
            ADD words text NOT NULL GENERATED ALWAYS AS (search_text(title || chr(10) || coalesce(description, ''))) STORED,
            ADD names text NOT NULL GENERATED ALWAYS AS (search_names(filenames)) STORED,
            ADD captured_order timestamptz NOT NULL GENERATED ALWAYS AS (
                greatest(coalesce(captured_utc, captured_local AT TIME ZONE 'UTC'), '0001-01-02 00:00:00+00'::timestamptz)) STORED,
            ADD place bigint GENERATED ALWAYS AS (place_code(latitude, longitude)) STORED
    """)
    for table, indexes in (("images", IMAGE_INDEXES), ("uploads", UPLOAD_INDEXES)):
        for name, what in indexes.items():
            op.execute(f"CREATE INDEX {name} ON {table} {what}")
    op.execute(GONE)
    op.drop_index("images_owner_id_created_at_id_idx", "images")
    op.drop_index("uploads_link_id_id_idx", "uploads")
    op.execute("CREATE TRIGGER uploads_order BEFORE INSERT ON uploads FOR EACH ROW EXECUTE FUNCTION uploads_order()")
    op.execute("CREATE TRIGGER uploads_names AFTER INSERT ON uploads FOR EACH ROW EXECUTE FUNCTION uploads_names()")
    _rewrite_admission(WITHOUT_NAMES, WITH_NAMES)


def downgrade() -> None:
    _rewrite_admission(WITH_NAMES, WITHOUT_NAMES)
    op.execute("DROP TRIGGER uploads_names ON uploads")
    op.execute("DROP TRIGGER uploads_order ON uploads")
    op.create_index("images_owner_id_created_at_id_idx", "images", ["owner_id", "created_at", "id"])
    op.create_index(
        "uploads_link_id_id_idx", "uploads", ["link_id", "id"], postgresql_where=sa.text("link_id IS NOT NULL")
    )
    op.drop_index("users_deleted_at_idx", "users")
    op.drop_column("uploads", "image_created_at")
    for name in IMAGE_INDEXES:
        op.drop_index(name, "images")
    for name in ("place", "captured_order", "names", "words", "longitude", "latitude", "score", "filenames"):
        op.drop_column("images", name)
    for signature in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {signature}")


def _rewrite_admission(old: tuple[str, str], new: tuple[str, str]) -> None:
    op.execute(ADMIT_NAMES.format(old_columns=old[0], new_columns=new[0], old_values=old[1], new_values=new[1]))
