CREATE OR REPLACE FUNCTION admit_file(f_upload uuid, f_image uuid, f_blob uuid, f_task uuid, f_batch uuid, f_position bigint, f_owner uuid, f_scope uuid, f_link uuid, f_way text, f_sha256 bytea, f_bytes bigint, f_media_type text, f_key text, f_filename text, f_title text, f_description text, f_visibility text, f_captured_at timestamp with time zone, f_store_id text, f_store_name text, f_camera_id text, f_barcode text, OUT outcome text, OUT image_id uuid, OUT task_id uuid)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
    link links;
    blob blobs;
    held loose_objects;
    own_files bigint := 0;
    own_bytes bigint := 0;
    charged boolean := false;      -- this link pays for this file now
    key_used boolean := false;
    image_new boolean := false;
    image_state text;
    duplicate boolean;
    work boolean;
BEGIN
    IF f_key IS NOT NULL THEN
        SELECT l.reserved_files, l.reserved_bytes INTO own_files, own_bytes
        FROM loose_objects l WHERE l.key = f_key AND l.state = 'held';
        IF NOT FOUND THEN outcome := 'key-lost'; RETURN; END IF;
    END IF;

    IF f_link IS NOT NULL THEN
        SELECT * INTO link FROM lock_usable_link(f_link);
        IF NOT FOUND THEN outcome := 'link-revoked'; RETURN; END IF;
        -- a statement of its own: its snapshot is younger than the lock
        charged := NOT EXISTS (SELECT FROM link_contents c WHERE c.link_id = f_link AND c.sha256 = f_sha256);
        IF charged THEN
            outcome := link_room(link, 1, f_bytes, own_files, own_bytes);
            IF outcome IS NOT NULL THEN RETURN; END IF;
        END IF;
    END IF;

    LOOP
        IF f_key IS NOT NULL THEN
            INSERT INTO blobs (id, sha256, scope, bytes, media_type, key)
            VALUES (f_blob, f_sha256, f_scope, f_bytes, f_media_type, f_key)
            ON CONFLICT (sha256, scope) DO NOTHING RETURNING * INTO blob;
            key_used := FOUND;
            EXIT WHEN key_used;
        END IF;
        SELECT * INTO blob FROM blobs b WHERE b.sha256 = f_sha256 AND b.scope = f_scope FOR NO KEY UPDATE;
        EXIT WHEN FOUND;
        -- the row that stood in the way was deleted while we waited for it: with a key we try again
        IF f_key IS NULL THEN outcome := 'need-key'; RETURN; END IF;
    END LOOP;
    IF NOT key_used AND (blob.state = 'failed' OR blob.object_lost) THEN
        IF f_key IS NULL THEN outcome := 'need-key'; RETURN; END IF;
        INSERT INTO loose_objects (key, state, not_before) VALUES (blob.key, 'reaping', now());
        UPDATE blobs SET key = f_key, object_lost = false,
            state = CASE state WHEN 'failed' THEN 'pending' ELSE state END,
            problem = CASE state WHEN 'failed' THEN NULL ELSE problem END
        WHERE id = blob.id RETURNING * INTO blob;
        key_used := true;
    END IF;

    INSERT INTO images AS i (id, owner_id, blob_id, visibility, title, description, media_type, filenames)
    VALUES (f_image, f_owner, blob.id, f_visibility, f_title, f_description, blob.media_type, ARRAY[f_filename])
    ON CONFLICT ON CONSTRAINT images_owner_id_blob_id_key DO NOTHING RETURNING i.id, i.state INTO image_id, image_state;
    image_new := FOUND;
    IF NOT image_new THEN
        SELECT i.id, i.state INTO image_id, image_state FROM images i
        WHERE i.owner_id = f_owner AND i.blob_id = blob.id FOR NO KEY UPDATE;
    END IF;
    work := image_new;
    IF image_state = 'failed' AND blob.state <> 'failed' THEN
        UPDATE images SET state = 'pending', problem = NULL, updated_at = now() WHERE id = image_id;
        work := true;
    END IF;
    duplicate := CASE WHEN f_link IS NULL THEN NOT image_new ELSE NOT charged END;
    -- what is new to the link is worked on, even when the owner knew it: the receipt must not tell the difference
    work := work OR NOT duplicate;

    IF f_batch IS NOT NULL THEN
        INSERT INTO batches (id, owner_id, link_id, way) VALUES (f_batch, f_owner, f_link, f_way) ON CONFLICT (id) DO NOTHING;
    END IF;
    INSERT INTO uploads (id, owner_id, image_id, link_id, batch_id, position, way, filename, bytes, duplicate, settled,
                         captured_at, store_id, store_name, camera_id, barcode)
    SELECT f_upload, f_owner, admit_file.image_id, f_link, f_batch, f_position, f_way, f_filename, f_bytes, duplicate,
           NOT work AND NOT EXISTS (SELECT FROM uploads u WHERE u.image_id = admit_file.image_id AND NOT u.settled),
           f_captured_at, f_store_id, f_store_name, f_camera_id, f_barcode;
    IF work THEN
        INSERT INTO tasks (id, kind, blob_id, image_id) VALUES (f_task, 'process_image', blob.id, image_id);
        task_id := f_task;
    END IF;

    IF f_key IS NOT NULL AND (key_used OR own_files > 0) THEN
        SELECT * INTO held FROM loose_objects l WHERE l.key = f_key AND l.state = 'held' FOR UPDATE;
        IF NOT FOUND THEN RAISE EXCEPTION 'the key was reaped' USING ERRCODE = 'IM001'; END IF;
    END IF;
    IF key_used THEN
        DELETE FROM loose_objects l WHERE l.key = f_key;
    ELSIF f_key IS NOT NULL THEN
        UPDATE loose_objects l SET state = 'reaping', not_before = now(), link_id = NULL, reserved_files = 0, reserved_bytes = 0
        WHERE l.key = f_key AND l.state = 'held';
    END IF;
    IF charged THEN
        INSERT INTO link_contents (link_id, sha256, bytes) VALUES (f_link, f_sha256, f_bytes);
    END IF;
    IF charged OR own_files > 0 THEN
        UPDATE links l SET used_files = l.used_files + charged::int, used_bytes = l.used_bytes + charged::int * f_bytes,
            reserved_files = l.reserved_files - own_files, reserved_bytes = l.reserved_bytes - own_bytes
        WHERE l.id = f_link;
    END IF;
    outcome := CASE WHEN duplicate THEN 'duplicate' ELSE 'created' END;
END $function$;

CREATE OR REPLACE FUNCTION create_resumable(f_id uuid, f_owner uuid, f_link uuid, f_length bigint, f_metadata text, f_context jsonb, f_sha256 bytea, f_turn text, f_idle_seconds double precision, f_most_unfinished bigint, OUT refusal text, OUT expires_at timestamp with time zone)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
    link links;
BEGIN
    IF f_link IS NOT NULL THEN
        SELECT * INTO link FROM lock_usable_link(f_link);
        IF NOT FOUND THEN refusal := 'link-revoked'; RETURN; END IF;
        refusal := link_room(link, 1, f_length, 0, 0);
        IF refusal IS NOT NULL THEN RETURN; END IF;
    END IF;
    -- a bound against hoarding: without the owner's lock it may be passed by as many as create at the same moment
    IF f_most_unfinished <= (SELECT count(*) FROM (
        SELECT FROM resumable_uploads r
        WHERE r.owner_id = f_owner AND r.link_id IS NOT DISTINCT FROM f_link AND r.state IN ('receiving', 'finishing')
        LIMIT f_most_unfinished) AS unfinished)
    THEN refusal := 'too-many-unfinished'; RETURN; END IF;
    IF f_link IS NOT NULL THEN
        UPDATE links SET reserved_files = reserved_files + 1, reserved_bytes = reserved_bytes + f_length WHERE id = f_link;
    END IF;
    INSERT INTO resumable_uploads AS r (id, owner_id, link_id, length, metadata, context, expected_sha256, turn, expires_at)
    VALUES (f_id, f_owner, f_link, f_length, f_metadata, f_context, f_sha256, f_turn, now() + make_interval(secs => f_idle_seconds))
    RETURNING r.expires_at INTO expires_at;
END $function$;

CREATE OR REPLACE FUNCTION end_resumable(f_id uuid, f_epoch bigint, f_states text[], f_only_expired boolean, f_problem jsonb, f_keep_seconds double precision, f_margin_seconds double precision, f_task uuid, f_lease uuid)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
DECLARE
    present resumable_uploads;
    is_ended boolean;
BEGIN
    PERFORM FROM links l WHERE l.id = (SELECT r.link_id FROM resumable_uploads r WHERE r.id = f_id) FOR NO KEY UPDATE;
    SELECT * INTO present FROM resumable_uploads r
    WHERE r.id = f_id AND r.state = ANY(f_states) AND (f_epoch IS NULL OR r.epoch = f_epoch)
      AND (NOT f_only_expired OR r.expires_at <= now()) FOR NO KEY UPDATE;
    is_ended := FOUND;
    IF is_ended THEN
        IF present.state IN ('receiving', 'finishing') THEN
            UPDATE links l SET reserved_files = l.reserved_files - 1, reserved_bytes = l.reserved_bytes - present.length
            WHERE l.id = present.link_id;
        END IF;
        UPDATE resumable_uploads r SET state = 'refused', epoch = r.epoch + 1, turn = 'free', problem = f_problem,
            key = NULL, s3_upload_id = NULL, tail_key = NULL, status = NULL, upload_id = NULL, image_id = NULL,
            expires_at = now() + make_interval(secs => f_keep_seconds)
        WHERE r.id = f_id;
        -- a request for these keys may still begin within the margin
        INSERT INTO loose_objects (key, state, not_before, s3_upload_id)
        SELECT gone.key, 'reaping', now() + make_interval(secs => f_margin_seconds), gone.s3_upload_id
        FROM (VALUES (present.key, present.s3_upload_id), (present.tail_key, NULL)) AS gone (key, s3_upload_id)
        WHERE gone.key IS NOT NULL;
    END IF;
    IF f_task IS NOT NULL THEN
        DELETE FROM tasks t WHERE t.id = f_task AND t.lease_token = f_lease;
        IF NOT FOUND THEN RAISE EXCEPTION 'the lease is lost' USING ERRCODE = 'IM002'; END IF;
    END IF;
    RETURN is_ended;
END $function$;

CREATE OR REPLACE FUNCTION finish_resumable(f_id uuid, f_task uuid, f_lease uuid, f_scope uuid, f_sha256 bytea, f_media_type text, f_upload uuid, f_image uuid, f_blob uuid, f_process_task uuid, f_problems jsonb, f_keep_seconds double precision, f_margin_seconds double precision, OUT outcome text, OUT task_id uuid)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
    present resumable_uploads;
    own_key text;
    unused_key text;
    unused_upload text;
    admitted record;
BEGIN
    PERFORM FROM links l WHERE l.id = (SELECT r.link_id FROM resumable_uploads r WHERE r.id = f_id) FOR NO KEY UPDATE;
    SELECT * INTO present FROM resumable_uploads r WHERE r.id = f_id AND r.state = 'finishing' FOR NO KEY UPDATE;
    IF FOUND THEN
        IF jsonb_array_length(present.parts) > 0 THEN
            own_key := present.key; unused_key := present.tail_key;
        ELSE
            own_key := present.tail_key; unused_key := present.key; unused_upload := present.s3_upload_id;
        END IF;
        -- the key and its reservation go over to a held row, as admission wants them; nobody else ever sees that row
        INSERT INTO loose_objects (key, state, not_before, link_id, reserved_files, reserved_bytes)
        SELECT own_key, 'held', now(), present.link_id,
               (present.link_id IS NOT NULL)::int, CASE WHEN present.link_id IS NULL THEN 0 ELSE present.length END;
        SELECT * INTO admitted FROM admit_file(
            f_upload => f_upload, f_image => f_image, f_blob => f_blob, f_task => f_process_task, f_batch => NULL,
            f_position => 0, f_owner => present.owner_id, f_scope => f_scope, f_link => present.link_id, f_way => 'tus',
            f_sha256 => f_sha256, f_bytes => present.length, f_media_type => f_media_type, f_key => own_key,
            f_filename => present.context ->> 'filename', f_title => present.context ->> 'title',
            f_description => present.context ->> 'description', f_visibility => present.context ->> 'visibility',
            f_captured_at => (present.context ->> 'captured_at')::timestamptz,
            f_store_id => present.context ->> 'store_id', f_store_name => present.context ->> 'store_name',
            f_camera_id => present.context ->> 'camera_id', f_barcode => present.context ->> 'barcode');
        outcome := admitted.outcome;
        IF outcome IN ('created', 'duplicate') THEN
            task_id := admitted.task_id;
            UPDATE resumable_uploads r SET state = 'done', status = outcome, upload_id = f_upload, image_id = admitted.image_id,
                key = NULL, s3_upload_id = NULL, tail_key = NULL, media_type = f_media_type,
                expires_at = now() + make_interval(secs => f_keep_seconds)
            WHERE r.id = f_id;
            IF unused_key IS NOT NULL THEN
                INSERT INTO loose_objects (key, state, not_before, s3_upload_id)
                VALUES (unused_key, 'reaping', now() + make_interval(secs => f_margin_seconds), unused_upload);
            END IF;
        ELSIF f_problems ? outcome THEN
            -- refused before anything was written: the key goes back, so that the upload ends like any other
            DELETE FROM loose_objects l WHERE l.key = own_key;
            PERFORM end_resumable(f_id, NULL, '{finishing}', false, f_problems -> outcome, f_keep_seconds, f_margin_seconds, NULL, NULL);
        ELSE
            RAISE EXCEPTION 'admission answered %', outcome;
        END IF;
    ELSE
        outcome := 'not-finishing';
    END IF;
    DELETE FROM tasks t WHERE t.id = f_task AND t.lease_token = f_lease;
    IF NOT FOUND THEN RAISE EXCEPTION 'the lease is lost' USING ERRCODE = 'IM002'; END IF;
END $function$;

CREATE OR REPLACE FUNCTION kilometres_between(latitude double precision, longitude double precision, other_latitude double precision, other_longitude double precision)
 RETURNS double precision
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    -- on the sphere of the Earth's mean radius (haversine)
    SELECT 2 * 6371.0088 * asin(sqrt(least(1, power(sind((other_latitude - latitude) / 2), 2)
        + cosd(latitude) * cosd(other_latitude) * power(sind((other_longitude - longitude) / 2), 2))))
$function$;

CREATE OR REPLACE FUNCTION link_room(link links, wanted_files bigint, wanted_bytes bigint, own_files bigint, own_bytes bigint)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
AS $function$
    -- NULL when there is room; own_… is what the caller itself holds in reserve
    SELECT CASE
        WHEN link.used_files + wanted_files > link.max_files OR link.used_bytes >= link.max_bytes THEN 'link-used-up'
        WHEN link.used_bytes + wanted_bytes > link.max_bytes THEN 'link-room-too-small'
        WHEN link.used_files + link.reserved_files - own_files + wanted_files > link.max_files
          OR link.used_bytes + link.reserved_bytes - own_bytes + wanted_bytes > link.max_bytes THEN 'link-reserved'
    END
$function$;

CREATE OR REPLACE FUNCTION lock_usable_link(wanted uuid)
 RETURNS SETOF links
 LANGUAGE sql
AS $function$
    SELECT l.* FROM links l JOIN users u ON u.id = l.owner_id
    WHERE l.id = wanted AND l.revoked_at IS NULL AND u.disabled_at IS NULL
    FOR NO KEY UPDATE OF l
$function$;

CREATE OR REPLACE FUNCTION new_uuid7()
 RETURNS uuid
 LANGUAGE sql
AS $function$
    -- RFC 9562, where the client makes no id: milliseconds since 1970, then what gen_random_uuid() gives
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6
    ), 52, 1), 53, 1), 'hex')::uuid
$function$;

CREATE OR REPLACE FUNCTION place_code(latitude double precision, longitude double precision)
 RETURNS bigint
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
AS $function$
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
END $function$;

CREATE OR REPLACE FUNCTION reserve_on_link(f_link uuid, f_key text, f_s3_upload_id text, f_bytes bigint, f_is_exact boolean, f_seconds double precision)
 RETURNS text
 LANGUAGE plpgsql
AS $function$
DECLARE
    link links;
    refusal text;
BEGIN
    SELECT * INTO link FROM lock_usable_link(f_link);
    IF NOT FOUND THEN RETURN 'link-revoked'; END IF;
    -- a file of unknown size can take no more than what is left; whether it fits is known when it is there
    IF NOT f_is_exact THEN f_bytes := least(f_bytes, link.max_bytes - link.used_bytes); END IF;
    refusal := link_room(link, 1, f_bytes, 0, 0);
    IF refusal IS NOT NULL THEN RETURN refusal; END IF;
    UPDATE links SET reserved_files = reserved_files + 1, reserved_bytes = reserved_bytes + f_bytes WHERE id = f_link;
    INSERT INTO loose_objects (key, state, not_before, s3_upload_id, link_id, reserved_files, reserved_bytes)
    VALUES (f_key, 'held', now() + make_interval(secs => f_seconds), f_s3_upload_id, f_link, 1, f_bytes);
    RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION save_resumable(f_id uuid, f_epoch bigint, f_from bigint, f_parts jsonb, f_tail_key text, f_tail_bytes bigint, f_media_type text, f_is_last boolean, f_task uuid, f_idle_seconds double precision, f_max_seconds double precision, OUT state text, OUT upload_offset bigint, OUT expires_at timestamp with time zone)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
DECLARE
    old_tail text;
    present resumable_uploads;
BEGIN
    -- f_parts come after those there are and begin with the old tail; the new tail, if any, comes after them.
    -- f_from: the same call again, after a lost answer, must not count twice
    SELECT r.tail_key INTO old_tail FROM resumable_uploads r
    WHERE r.id = f_id AND r.epoch = f_epoch AND r.state = 'receiving' AND r.parts_bytes + r.tail_bytes = f_from
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN RETURN; END IF;
    UPDATE resumable_uploads r SET
        parts = r.parts || f_parts,
        parts_bytes = r.parts_bytes + (SELECT coalesce(sum((part ->> 2)::bigint), 0) FROM jsonb_array_elements(f_parts) AS part),
        tail_key = f_tail_key, tail_bytes = f_tail_bytes, media_type = f_media_type,
        turn = CASE WHEN f_is_last THEN 'free' ELSE r.turn END,
        expires_at = least(now() + make_interval(secs => f_idle_seconds), r.created_at + make_interval(secs => f_max_seconds))
    WHERE r.id = f_id RETURNING * INTO present;
    IF present.parts_bytes + present.tail_bytes = present.length THEN
        UPDATE resumable_uploads r SET state = 'finishing', turn = 'free' WHERE r.id = f_id RETURNING * INTO present;
        INSERT INTO tasks (id, kind, payload, dedupe_key)
        VALUES (f_task, 'finish_resumable', jsonb_build_object('resumable_id', f_id), 'finish_resumable:' || f_id);
    END IF;
    IF f_tail_key IS NOT NULL THEN
        DELETE FROM loose_objects l WHERE l.key = f_tail_key AND l.state = 'held';
        IF NOT FOUND THEN RAISE EXCEPTION 'the key was reaped' USING ERRCODE = 'IM001'; END IF;
    END IF;
    IF old_tail IS NOT NULL THEN
        INSERT INTO loose_objects (key, state, not_before) VALUES (old_tail, 'reaping', now());
    END IF;
    state := present.state;
    upload_offset := present.parts_bytes + present.tail_bytes;
    expires_at := present.expires_at;
END $function$;

CREATE OR REPLACE FUNCTION search_grams(words text, names text)
 RETURNS tsvector
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE COST 2000
AS $function$
DECLARE
    before_last text := '';
    last text := '';
    letter text;
    grams text[] := '{}';
BEGIN
    -- whatever up to three letters the text contains somewhere begin one of these
    FOREACH letter IN ARRAY string_to_array(words || E'\n' || names, NULL) LOOP
        grams := grams || (before_last || last || letter);
        before_last := last;
        last := letter;
    END LOOP;
    RETURN array_to_tsvector(grams || (before_last || last) || last);
END $function$;

CREATE OR REPLACE FUNCTION search_names(names text[])
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT normalize(lower(normalize(array_to_string(names, E'\n'), NFKC)), NFKC)
$function$;

CREATE OR REPLACE FUNCTION search_query(wanted text)
 RETURNS tsquery
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    -- necessary for a text to contain it, and for up to three letters sufficient
    SELECT string_agg(
        '''' || replace(replace(substr(wanted, n, 3), '\', '\\'), '''', '''''') || ''''
            || CASE WHEN length(wanted) < 3 THEN ':*' ELSE '' END, ' & '
    )::tsquery
    FROM generate_series(1, greatest(length(wanted) - 2, 1)) AS n
$function$;

CREATE OR REPLACE FUNCTION search_text(written text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    -- equal for all ways to write the same: case, width, composed or not
    SELECT normalize(lower(normalize(written, NFKC)), NFKC)
$function$;

CREATE OR REPLACE FUNCTION stats_of_blobs()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
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
END $function$;

CREATE OR REPLACE FUNCTION stats_of_images()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
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
END $function$;

CREATE OR REPLACE FUNCTION stats_of_uploads()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
DECLARE
    arrival uploads := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    sign bigint := CASE WHEN TG_OP = 'DELETE' THEN -1 ELSE 1 END;
BEGIN
    IF (SELECT i.state <> 'rejected' FROM images i WHERE i.id = arrival.image_id) THEN
        INSERT INTO stats_deltas (kind, name, count, bytes)
        VALUES ('quarter', stats_quarter(arrival.received_at), sign, 0), ('uploads', '', sign, sign * arrival.bytes);
    END IF;
    RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION stats_quarter(moment timestamp with time zone)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT to_char(date_bin('15 minutes', moment AT TIME ZONE 'UTC', timestamp '2000-01-01'), 'YYYY-MM-DD"T"HH24:MI"Z"')
$function$;

CREATE OR REPLACE FUNCTION uploads_names()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    -- admission writes the first name with the image itself, so that mostly there is nothing to do
    UPDATE images i SET filenames = i.filenames || NEW.filename
    WHERE i.id = NEW.image_id AND NOT i.filenames @> ARRAY[NEW.filename] AND cardinality(i.filenames) < 100;
    RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION uploads_order()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    SELECT i.created_at INTO NEW.image_created_at FROM images i WHERE i.id = NEW.image_id;
    NEW.image_created_at := coalesce(NEW.image_created_at, now());
    RETURN NEW;
END $function$;

CREATE OR REPLACE FUNCTION webhook_batch_begun()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    -- the end of the request makes it due (webhooks/batches.py); this is for a request whose process is killed
    IF EXISTS (SELECT FROM webhooks
               WHERE owner_id = NEW.owner_id AND disabled_at IS NULL AND 'batch.finished' = ANY(events)) THEN
        INSERT INTO tasks (id, kind, payload, dedupe_key, due_at) VALUES (
            new_uuid7(), 'announce_batch', jsonb_build_object('batch_id', NEW.id), 'announce_batch:' || NEW.id,
            now() + interval '10 minutes');
    END IF;
    RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION webhook_event(f_owner uuid, f_event text, f_subject uuid, f_data jsonb)
 RETURNS void
 LANGUAGE sql
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION webhook_image_moved()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF EXISTS (SELECT FROM webhooks WHERE owner_id = NEW.owner_id AND disabled_at IS NULL) THEN
        PERFORM webhook_event(NEW.owner_id, 'image.' || NEW.state, NEW.id, jsonb_build_object(
            'image_id', NEW.id, 'state', NEW.state, 'problem', NEW.problem, 'title', NEW.title,
            'media_type', NEW.media_type, 'sha256', encode(b.sha256, 'hex'), 'width', b.width, 'height', b.height,
            'url', '/v1/images/' || NEW.id))
        FROM blobs b WHERE b.id = NEW.blob_id;
    END IF;
    RETURN NULL;
END $function$;

CREATE OR REPLACE FUNCTION webhook_job_finished()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
    IF EXISTS (SELECT FROM webhooks WHERE owner_id = NEW.owner_id AND disabled_at IS NULL) THEN
        PERFORM webhook_event(NEW.owner_id, 'job.finished', NEW.id, jsonb_build_object(
            'job_id', NEW.id, 'status', NEW.status, 'total', NEW.total, 'done', NEW.done, 'failed', NEW.failed,
            'cancelled', NEW.cancelled, 'url', '/v1/jobs/' || NEW.id));
    END IF;
    RETURN NULL;
END $function$;
