"""The data of an account in this feature: webhooks, their deliveries, and the tasks that send them."""

from imagesvc.accounts.account_data import rows_of

ACCOUNT_DATA = (
    rows_of(
        "webhook_deliveries",
        "DELETE FROM webhook_deliveries WHERE id IN (SELECT d.id FROM webhook_deliveries d"
        " JOIN webhooks w ON w.id = d.webhook_id WHERE w.owner_id = :user LIMIT :max)",
    ),
    rows_of(
        "tasks",
        "DELETE FROM tasks WHERE id IN (SELECT t.id FROM tasks t JOIN webhooks w ON w.id = t.turn_of"
        " WHERE w.owner_id = :user AND t.state <> 'running' LIMIT :max)",
    ),
    rows_of(
        "webhooks",
        "DELETE FROM webhooks WHERE id IN (SELECT id FROM webhooks WHERE owner_id = :user LIMIT :max)",
    ),
)
