-- webhook_image_moved: trigger that makes the event image.ready, image.rejected or image.failed.
--
-- Parameters: none; NEW is the row of images after its state left `pending`.
--
-- Locks: those of webhook_event, when the owner has a webhook; without one it costs one look into an index.
--
-- Called by: trigger webhook_image_moved, after each update that takes an image out of `pending`.

CREATE OR REPLACE FUNCTION webhook_image_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM webhooks WHERE owner_id = NEW.owner_id AND disabled_at IS NULL) THEN
        PERFORM webhook_event(NEW.owner_id, 'image.' || NEW.state, NEW.id, jsonb_build_object(
            'image_id', NEW.id, 'state', NEW.state, 'problem', NEW.problem, 'title', NEW.title,
            'media_type', NEW.media_type, 'sha256', encode(b.sha256, 'hex'), 'width', b.width, 'height', b.height,
            'url', '/v1/images/' || NEW.id))
        FROM blobs b WHERE b.id = NEW.blob_id;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER webhook_image_moved AFTER UPDATE OF state ON images
FOR EACH ROW WHEN (OLD.state = 'pending' AND NEW.state <> 'pending') EXECUTE FUNCTION webhook_image_moved();
