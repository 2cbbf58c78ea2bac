"""All tables of the service, in one module so that a test can compare the migrations with them."""

from imagesvc.accounts.models import ApiKey, LoginFailure, User, WebSession
from imagesvc.db import Base
from imagesvc.http.models import IdempotencyKey
from imagesvc.images.models import Blob, Image, PerceptualHash, Rendition, Share
from imagesvc.jobs.models import FetchedUrl, Job, Visit, VisitImage
from imagesvc.links.models import Link, LinkContent
from imagesvc.operations.models import Audit, Reprocessing
from imagesvc.resizes.models import Resize
from imagesvc.stats.models import StatsCount, StatsDelta
from imagesvc.storage.models import LooseObject
from imagesvc.stores.models import Store
from imagesvc.tasks.models import Task
from imagesvc.uploads.models import Batch, Upload
from imagesvc.uploads.tus.models import ResumableUpload
from imagesvc.webhooks.models import Webhook, WebhookDelivery

__all__ = [
    "ApiKey",
    "Audit",
    "Base",
    "Batch",
    "Blob",
    "FetchedUrl",
    "IdempotencyKey",
    "Image",
    "Job",
    "Link",
    "LinkContent",
    "LoginFailure",
    "LooseObject",
    "PerceptualHash",
    "Rendition",
    "Reprocessing",
    "Resize",
    "ResumableUpload",
    "Share",
    "StatsCount",
    "StatsDelta",
    "Store",
    "Task",
    "Upload",
    "User",
    "Visit",
    "VisitImage",
    "WebSession",
    "Webhook",
    "WebhookDelivery",
]
