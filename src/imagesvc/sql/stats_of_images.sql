-- stats_of_images: trigger that appends changes of images to the statistics.
--
-- Images are counted unless they are `rejected`: by media type (kind `format`) and by camera (kind `camera`, '' for
-- none), and once they have a score, by its tenth (kind `score`, names 0, 10, … 90). When an image becomes or stops
-- being `rejected`, its uploads leave or enter the counts with it.
--
-- Parameters: none; OLD and NEW are the row of images before and after.
--
-- Locks nothing: it only inserts into stats_deltas, so that no writer waits for a counter (docs/decisions/0002).
--
-- Called by: trigger images_stats, after each insert, delete and change of state, media_type, camera or score.

CREATE OR REPLACE FUNCTION stats_of_images() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was_counted boolean := TG_OP <> 'INSERT' AND OLD.state <> 'rejected';
    is_counted boolean := TG_OP <> 'DELETE' AND NEW.state <> 'rejected';
BEGIN
    IF was_counted AND is_counted
        AND OLD.media_type = NEW.media_type AND OLD.camera IS NOT DISTINCT FROM NEW.camera AND OLD.score = NEW.score
    THEN
        RETURN NULL;
    END IF;
    IF was_counted THEN
        INSERT INTO stats_deltas (kind, name, count)
        VALUES ('format', OLD.media_type, -1), ('camera', coalesce(OLD.camera, ''), -1);
        IF OLD.score >= 0 THEN
            INSERT INTO stats_deltas (kind, name, count) VALUES ('score', least(OLD.score / 10 * 10, 90)::text, -1);
        END IF;
    END IF;
    IF is_counted THEN
        INSERT INTO stats_deltas (kind, name, count)
        VALUES ('format', NEW.media_type, 1), ('camera', coalesce(NEW.camera, ''), 1);
        IF NEW.score >= 0 THEN
            INSERT INTO stats_deltas (kind, name, count) VALUES ('score', least(NEW.score / 10 * 10, 90)::text, 1);
        END IF;
    END IF;
    -- The uploads follow the image. Inserts and deletes of uploads have a trigger of their own.
    IF TG_OP = 'UPDATE' AND was_counted <> is_counted THEN
        INSERT INTO stats_deltas (kind, name, count, bytes)
        SELECT change.kind, change.name,
               CASE WHEN is_counted THEN 1 ELSE -1 END,
               CASE WHEN is_counted THEN change.bytes ELSE -change.bytes END
        FROM uploads u
        CROSS JOIN LATERAL (
            VALUES ('quarter', stats_quarter(u.received_at), 0), ('uploads', '', u.bytes)
        ) AS change (kind, name, bytes)
        WHERE u.image_id = NEW.id;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER images_stats AFTER INSERT OR DELETE OR UPDATE OF state, media_type, camera, score ON images
FOR EACH ROW EXECUTE FUNCTION stats_of_images();
