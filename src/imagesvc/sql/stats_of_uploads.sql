-- stats_of_uploads: trigger that appends new and deleted uploads to the statistics.
--
-- Uploads are counted unless their image is `rejected`: by the quarter of an hour in which they were received (kind
-- `quarter`) and in total, with their bytes (kind `uploads`).
--
-- Parameters: none; OLD or NEW is the row of uploads.
--
-- Locks nothing: it only inserts into stats_deltas, so that no writer waits for a counter (docs/decisions/0002).
--
-- Called by: trigger uploads_stats, after each insert into and delete from uploads.

CREATE OR REPLACE FUNCTION stats_of_uploads() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed uploads := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    sign bigint := CASE WHEN TG_OP = 'DELETE' THEN -1 ELSE 1 END;
BEGIN
    IF (SELECT i.state <> 'rejected' FROM images i WHERE i.id = changed.image_id) THEN
        INSERT INTO stats_deltas (kind, name, count, bytes)
        VALUES ('quarter', stats_quarter(changed.received_at), sign, 0), ('uploads', '', sign, sign * changed.bytes);
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER uploads_stats AFTER INSERT OR DELETE ON uploads
FOR EACH ROW EXECUTE FUNCTION stats_of_uploads();
