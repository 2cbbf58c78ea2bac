-- stats_of_blobs: trigger that appends changes of blobs to the statistics.
--
-- Blobs are counted unless they are `rejected`: by media type, with their bytes (kind `blobs`).
--
-- Parameters: none; OLD and NEW are the row of blobs before and after.
--
-- Locks nothing: it only inserts into stats_deltas, so that no writer waits for a counter (docs/decisions/0002).
--
-- Called by: trigger blobs_stats, after each insert, delete and change of state or media_type.

CREATE OR REPLACE FUNCTION stats_of_blobs() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was_counted boolean := TG_OP <> 'INSERT' AND OLD.state <> 'rejected';
    is_counted boolean := TG_OP <> 'DELETE' AND NEW.state <> 'rejected';
BEGIN
    IF was_counted AND is_counted AND OLD.media_type = NEW.media_type THEN
        RETURN NULL;
    END IF;
    IF was_counted THEN
        INSERT INTO stats_deltas (kind, name, count, bytes) VALUES ('blobs', OLD.media_type, -1, -OLD.bytes);
    END IF;
    IF is_counted THEN
        INSERT INTO stats_deltas (kind, name, count, bytes) VALUES ('blobs', NEW.media_type, 1, NEW.bytes);
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER blobs_stats AFTER INSERT OR DELETE OR UPDATE OF state, media_type ON blobs
FOR EACH ROW EXECUTE FUNCTION stats_of_blobs();
