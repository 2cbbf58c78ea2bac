-- uploads_order: trigger that copies the image's creation time into a new upload.
--
-- The indexes of uploads keep images in the order of a search result (images.created_at), so that a page of a search by
-- store, camera, barcode or link is read from one index (docs/decisions/0008).
--
-- Parameters: none; NEW is the row of uploads that is about to be inserted.
--
-- Locks nothing: the image is read without a lock. Admission holds it.
--
-- Returns NEW with image_created_at set; when the image does not exist, the foreign key then refuses the row.
--
-- Called by: trigger uploads_order, before each insert into uploads.

CREATE OR REPLACE FUNCTION uploads_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT i.created_at INTO NEW.image_created_at FROM images i WHERE i.id = NEW.image_id;
    NEW.image_created_at := coalesce(NEW.image_created_at, now());
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER uploads_order BEFORE INSERT ON uploads
FOR EACH ROW EXECUTE FUNCTION uploads_order();
