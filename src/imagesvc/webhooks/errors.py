"""Errors of the webhook routes."""

from imagesvc.errors import Conflict, Invalid, NotFound


class WebhookUrlRefused(Invalid):
    """The URL is not http or https, has credentials in it, or leads to an address that the service may not reach."""

    slug, title = "webhook-url-refused", "This URL cannot receive webhooks"


class TooManyWebhooks(Conflict):
    slug, title = "too-many-webhooks", "The account has the maximum number of webhooks"


class WebhookNotFound(NotFound):
    slug = "webhook-not-found"


class DeliveryNotFound(NotFound):
    slug = "delivery-not-found"


class WebhookDisabled(Conflict):
    """Enable it first: `PATCH` with `{"enabled": true}`."""

    slug, title = "webhook-disabled", "The webhook is disabled"


class SecretUnreadable(Conflict):
    """The service no longer has the key that encrypted the secret. Delete the webhook and create it again."""

    slug, title = "webhook-secret-unreadable", "The webhook's secret can no longer be read"
