"""Routes: webhooks, dead letters, audits, reprocessing, accounts and API keys."""

from collections.abc import Sequence
from typing import get_args
from uuid import UUID

from fastapi import Request, Response

from imagesvc.accounts.keys import ApiKeys
from imagesvc.accounts.models import ApiKey, User
from imagesvc.accounts.schemas import KeyOut, NewKey, NewUser, UserChanges, UserOut
from imagesvc.accounts.service import ADMIN_ID
from imagesvc.accounts.users import Users
from imagesvc.http.web_parts import web_part
from imagesvc.operations.audit_runs import AuditRuns
from imagesvc.operations.dead_letters import TaskOperations
from imagesvc.operations.reprocessing import Reprocessings
from imagesvc.operations.schemas import DeadLetters, TaskOut
from imagesvc.tasks.models import Task
from imagesvc.web.dashboard.access import SentForm, SignedIn, once
from imagesvc.web.dashboard.pages import dashboard_router, go, listed, page
from imagesvc.webhooks.schemas import DeliveryOut, Event, NewWebhook, Redelivery, WebhookChanges, WebhookOut
from imagesvc.webhooks.service import Webhooks

router = dashboard_router()

MAX_RUNS = 20


@router.get("/webhooks")
async def webhooks(request: Request, session: SignedIn) -> Response:
    async def rows(last: UUID | None, limit: int) -> Sequence[WebhookOut]:
        return await web_part(request, Webhooks).page(session.caller, before=last, limit=limit)

    found = await listed(
        request, session, "webhooks", rows, key=(UUID, lambda webhook: webhook.id), item=lambda webhook: webhook
    )
    return page(request, "webhooks", session, webhooks=found.items, events=get_args(Event), next=found.next)


@router.post("/webhooks")
async def create_webhook(request: Request, form: SentForm) -> Response:
    """The page after it is the only one that shows the secret."""

    async def work(webhook_id: UUID) -> Response:
        wanted = form.model(NewWebhook, url=form.text("url"), events=form.all("event"))
        made = await web_part(request, Webhooks).create(form.caller, wanted, webhook_id=webhook_id)
        return page(
            request, "secret", form.session, title="Webhook created", secret=made.secret, back="/admin/webhooks"
        )

    return await once(form, request, work)


@router.get("/webhooks/{webhook_id:uuid}")
async def webhook(request: Request, session: SignedIn, webhook_id: UUID) -> Response:
    """A webhook and its deliveries."""
    service = web_part(request, Webhooks)

    async def rows(last: UUID | None, limit: int) -> Sequence[DeliveryOut]:
        return await service.deliveries(session.caller, webhook_id, state=None, before=last, limit=limit)

    found = await listed(
        request,
        session,
        "deliveries",
        rows,
        key=(UUID, lambda delivery: delivery.id),
        item=lambda delivery: delivery,
        filters={"webhook": webhook_id},
    )
    wanted = await service.get(session.caller, webhook_id)
    return page(request, "webhook", session, webhook=wanted, deliveries=found.items, next=found.next)


@router.post("/webhooks/{webhook_id:uuid}")
async def change_webhook(request: Request, form: SentForm, webhook_id: UUID) -> Response:
    """Enable or disable a webhook."""
    changes = WebhookChanges(enabled=form.text("enabled") == "yes")
    await web_part(request, Webhooks).change(form.caller, webhook_id, changes)
    return go(f"/admin/webhooks/{webhook_id}", done="saved")


@router.post("/webhooks/{webhook_id:uuid}/delete")
async def delete_webhook(request: Request, form: SentForm, webhook_id: UUID) -> Response:
    await web_part(request, Webhooks).delete(form.caller, webhook_id)
    return go("/admin/webhooks", done="deleted")


@router.post("/webhooks/{webhook_id:uuid}/redeliver")
async def redeliver(request: Request, form: SentForm, webhook_id: UUID) -> Response:
    """Send one delivery again, or all failed ones."""
    service = web_part(request, Webhooks)
    for delivery_id in form.ids("delivery")[:1]:
        await service.redeliver(form.caller, webhook_id, delivery_id)
        break
    else:
        await service.redeliver_failed(form.caller, webhook_id, Redelivery())
    return go(f"/admin/webhooks/{webhook_id}", done="redelivered")


@router.get("/tasks")
async def tasks(request: Request, session: SignedIn) -> Response:
    """Dead letters, each with its reason."""

    async def rows(last: UUID | None, limit: int) -> Sequence[Task]:
        return await web_part(request, TaskOperations).page(
            session.caller, state="dead", kind=None, before=last, limit=limit
        )

    found = await listed(request, session, "dead", rows, key=(UUID, lambda task: task.id), item=TaskOut.of)
    return page(request, "tasks", session, tasks=found.items, next=found.next)


@router.post("/tasks/retry")
async def retry_all(request: Request, form: SentForm) -> Response:
    await web_part(request, TaskOperations).retry_all(form.caller, DeadLetters())
    return go("/admin/tasks", done="retried")


@router.post("/tasks/{task_id:uuid}/retry")
async def retry_task(request: Request, form: SentForm, task_id: UUID) -> Response:
    await web_part(request, TaskOperations).retry(form.caller, task_id)
    return go("/admin/tasks", done="retried")


@router.post("/tasks/{task_id:uuid}/delete")
async def drop_task(request: Request, form: SentForm, task_id: UUID) -> Response:
    await web_part(request, TaskOperations).drop(form.caller, task_id)
    return go("/admin/tasks", done="deleted")


@router.get("/runs")
async def runs(request: Request, session: SignedIn) -> Response:
    """Audits and reprocessing."""
    audits = await web_part(request, AuditRuns).latest(session.caller, limit=MAX_RUNS)
    reprocessings = await web_part(request, Reprocessings).latest(limit=MAX_RUNS)
    return page(request, "runs", session, audits=audits, reprocessings=reprocessings)


@router.get("/accounts")
async def accounts(request: Request, session: SignedIn) -> Response:
    async def rows(last: UUID | None, limit: int) -> Sequence[User]:
        return await web_part(request, Users).page(session.caller, after=last, limit=limit)

    found = await listed(request, session, "users", rows, key=(UUID, lambda user: user.id), item=UserOut.of)
    return page(request, "accounts", session, accounts=found.items, built_in=ADMIN_ID, next=found.next)


@router.post("/accounts")
async def create_account(request: Request, form: SentForm) -> Response:
    async def work(_: UUID) -> Response:
        wanted = form.model(
            NewUser, account=form.text("account"), password=form.raw("password"), role=form.text("role")
        )
        await web_part(request, Users).create(form.caller, wanted)
        return go("/admin/accounts", done="created")

    return await once(form, request, work)


@router.post("/accounts/{user_id:uuid}")
async def change_account(request: Request, form: SentForm, user_id: UUID) -> Response:
    """Change role, password, or whether the account is disabled."""
    disabled = {"yes": True, "no": False}.get(form.text("disabled") or "")
    changes = form.model(UserChanges, role=form.text("role"), password=form.raw("password"), disabled=disabled)
    await web_part(request, Users).change(form.caller, user_id, changes)
    return go("/admin/accounts" if form.caller.is_admin else "/admin/keys", done="saved")


@router.post("/accounts/{user_id:uuid}/delete")
async def delete_account(request: Request, form: SentForm, user_id: UUID) -> Response:
    await web_part(request, Users).delete(form.caller, user_id)
    return go("/admin/accounts", done="deleted")


@router.get("/keys")
async def keys(request: Request, session: SignedIn) -> Response:
    """The API keys of the account, and its password."""

    async def rows(last: UUID | None, limit: int) -> Sequence[ApiKey]:
        return await web_part(request, ApiKeys).page(session.caller, before=last, limit=limit)

    found = await listed(request, session, "api-keys", rows, key=(UUID, lambda key: key.id), item=KeyOut.of)
    scopes = sorted(session.caller.scopes)
    return page(request, "keys", session, keys=found.items, scopes=scopes, next=found.next)


@router.post("/keys")
async def create_key(request: Request, form: SentForm) -> Response:
    """The page after it is the only one that shows the key."""

    async def work(_: UUID) -> Response:
        expires_in = form.number("days", factor=86_400)
        wanted = form.model(NewKey, name=form.text("name"), scopes=form.all("scope"), expires_in=expires_in)
        _made, key = await web_part(request, ApiKeys).create(form.caller, wanted)
        return page(request, "secret", form.session, title="API key created", secret=key, back="/admin/keys")

    return await once(form, request, work)


@router.post("/keys/{key_id:uuid}/revoke")
async def revoke_key(request: Request, form: SentForm, key_id: UUID) -> Response:
    await web_part(request, ApiKeys).revoke(form.caller, key_id)
    return go("/admin/keys", done="revoked")
