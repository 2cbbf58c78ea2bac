-- uploads_names: trigger that adds a new upload's filename to the filenames of its image, for the search.
--
-- An image keeps at most 100 different filenames.
--
-- Parameters: none; NEW is the row of uploads that was inserted.
--
-- Locks: updates the image's row, which admission has locked already; so the lock order (image -> upload) holds.
--
-- Called by: trigger uploads_names, after each insert into uploads.

CREATE OR REPLACE FUNCTION uploads_names() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Admission inserts a new image with its first filename, so that this statement mostly changes nothing.
    UPDATE images i SET filenames = i.filenames || NEW.filename
    WHERE i.id = NEW.image_id AND NOT i.filenames @> ARRAY[NEW.filename] AND cardinality(i.filenames) < 100;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER uploads_names AFTER INSERT ON uploads
FOR EACH ROW EXECUTE FUNCTION uploads_names();
