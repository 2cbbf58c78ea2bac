"""What can be wrong with a webhook."""

from imagesvc.errors import Conflict, Invalid, NotFound


class WebhookUrlRefused(Invalid):
    """Not http or https, with credentials in it, or leading to no address that may be reached from here."""

    slug, title = "webhook-url-refused", "This URL cannot be told anything"


class TooManyWebhooks(Conflict):
    slug, title = "too-many-webhooks", "The account has as many webhooks as it may"


class WebhookNotFound(NotFound):
    slug = "webhook-not-found"


class DeliveryNotFound(NotFound):
    slug = "delivery-not-found"


class WebhookDisabled(Conflict):
    """Enable it first: `PATCH` with `{"enabled": true}`."""

    slug, title = "webhook-disabled", "The webhook is disabled"


class SecretUnreadable(Conflict):
    """The service's own secrets were changed and the old one taken out. Delete the webhook and make it anew."""

    slug, title = "webhook-secret-unreadable", "The webhook's secret cannot be read any more"
