"""Routes: the grid of images, and the page of one image."""

from collections.abc import Collection
from uuid import UUID

from fastapi import Request, Response
from pydantic import ValidationError

from imagesvc.accounts.service import Caller
from imagesvc.errors import ImagesvcError, Invalid
from imagesvc.http.conditional import strong_etag
from imagesvc.http.file_response import StoredFileResponse
from imagesvc.http.pagination import Cursors
from imagesvc.http.web_parts import web_part
from imagesvc.images.editing import ImageEditing
from imagesvc.images.router import ORIGINAL_HEADERS, PRIVATE, opener
from imagesvc.images.schemas import ImageChanges
from imagesvc.images.search.router import search_page
from imagesvc.images.search.schemas import ME, ImageSearch
from imagesvc.images.search.service import Search
from imagesvc.images.service import Images
from imagesvc.images.shares.schemas import NewShare
from imagesvc.images.shares.service import Shares
from imagesvc.images.similar.service import Similar
from imagesvc.operations.reprocessing import Reprocessings
from imagesvc.processing.contract import MEDIA_TYPE_OF_FORMAT
from imagesvc.processing.sniff import EXTENSION_OF
from imagesvc.settings import Settings
from imagesvc.web.dashboard.access import Form, SentForm, SignedIn, once
from imagesvc.web.dashboard.pages import NOT_OF_A_LIST, dashboard_router, filters_of, go, next_url, page

router = dashboard_router()

PER_PAGE = 48
SIMILAR_DISTANCE = 8
MAX_SELECTED = 200
NO_FILTERS = NOT_OF_A_LIST - {"cursor"} | {"limit"}


@router.get("/images")
async def images(request: Request, session: SignedIn) -> Response:
    """The images that match the filters; a member sees their own, unless they ask for public ones."""
    problem = None
    try:
        wanted = _search_of(request, session.caller)
        found, cursor = await search_page(web_part(request, Search), web_part(request, Cursors), session.caller, wanted)
    except (ValidationError, ImagesvcError) as error:
        found, cursor, problem = [], None, _text_of(error)
    return page(
        request,
        "images",
        session,
        images=found,
        next=next_url(request, cursor),
        problem=problem,
        formats=[("", "any"), *((name, name.removeprefix("image/")) for name in EXTENSION_OF)],
        filters=filters_of(request),
        status=200 if problem is None else 422,
    )


def _search_of(request: Request, caller: Caller) -> ImageSearch:
    """Empty fields of the form of filters are no filters. Raises ValidationError."""
    given = {name: value for name, value in request.query_params.items() if value.strip() and name not in NO_FILTERS}
    if not caller.is_admin or str(given.get("sort", "")).endswith("captured"):
        given.setdefault("owner", ME)
    if given.get("owner") == "anyone":
        del given["owner"]
    return ImageSearch.model_validate({**given, "limit": PER_PAGE})


def _text_of(error: ValidationError | ImagesvcError) -> str:
    if isinstance(error, ImagesvcError):
        return error.detail or error.title
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg'].removeprefix('Value error, ')}"


@router.post("/images")
async def change_selected(request: Request, form: SentForm) -> Response:
    """Delete, publish, hide or process again the selected images. Those that the caller may not change are skipped."""
    ids, action = form.ids("image"), form.text("action") or ""
    if not 0 < len(ids) <= MAX_SELECTED:
        raise Invalid(f"Select 1 to {MAX_SELECTED} images.")
    back = f"/admin/images{'?' + filters if (filters := form.text('filters')) else ''}"
    editing = web_part(request, ImageEditing)
    match action:
        case "delete":
            await editing.delete_some(form.caller, ids)
            return go(back, done="deleted")
        case "publish":
            await editing.set_visibility(form.caller, ids, "public")
            return go(back, done="published")
        case "hide":
            await editing.set_visibility(form.caller, ids, "private")
            return go(back, done="hidden")
        case "reprocess":
            await _reprocess(request, form, ids)
            return go(back, done="reprocessing")
    raise Invalid("Choose what to do with the selected images.")


async def _reprocess(request: Request, form: Form, ids: Collection[UUID]) -> None:
    """Raises Forbidden, as the command line is for operators only."""
    form.caller.require("admin")
    await web_part(request, Reprocessings).start_for_images(ids)


@router.get("/images/{image_id:uuid}")
async def image(request: Request, session: SignedIn, image_id: UUID) -> Response:
    """All facts of an image, its uploads, renditions, shares and near-duplicates."""
    caller, settings = session.caller, web_part(request, Settings)
    found = await web_part(request, Images).image(caller, image_id)
    is_owner = caller.is_admin or found["owner_id"] == str(caller.user_id)
    shares = None
    if is_owner and "upload" in caller.scopes:
        shares = await web_part(request, Shares).page(caller, image_id, before=None, limit=50)
    return page(
        request,
        "image",
        session,
        image=found,
        is_owner=is_owner,
        similar=await web_part(request, Similar).find(caller, image_id, max_distance=SIMILAR_DISTANCE),
        shares=shares,
        origin=settings.base_url.removesuffix(settings.path_prefix),  # a share has the path of the service already
    )


@router.post("/images/{image_id:uuid}")
async def change_image(request: Request, form: SentForm, image_id: UUID) -> Response:
    """Change title, description and visibility."""
    given = dict(form.fields)
    changes = ImageChanges.model_validate(
        {name: given[name] for name in ("title", "description", "visibility") if name in given}
    )
    await web_part(request, ImageEditing).change(form.caller, image_id, changes, {})
    return go(f"/admin/images/{image_id}", done="saved")


@router.post("/images/{image_id:uuid}/delete")
async def delete_image(request: Request, form: SentForm, image_id: UUID) -> Response:
    await web_part(request, ImageEditing).delete(form.caller, image_id, {})
    return go("/admin/images", done="deleted")


@router.post("/images/{image_id:uuid}/reprocess")
async def reprocess_image(request: Request, form: SentForm, image_id: UUID) -> Response:
    await _reprocess(request, form, [image_id])
    return go(f"/admin/images/{image_id}", done="reprocessing")


@router.post("/images/{image_id:uuid}/shares")
async def share_image(request: Request, form: SentForm, image_id: UUID) -> Response:
    async def work(_: UUID) -> Response:
        days = form.number("days") or 7
        wanted = form.model(NewShare, expires_in=days * 86_400, what=form.text("what"))
        await web_part(request, Shares).create(form.caller, image_id, wanted)
        return go(f"/admin/images/{image_id}", done="created")

    return await once(form, request, work)


@router.post("/images/{image_id:uuid}/shares/{share_id:uuid}/delete")
async def withdraw_share(request: Request, form: SentForm, image_id: UUID, share_id: UUID) -> Response:
    await web_part(request, Shares).withdraw(form.caller, image_id, share_id)
    return go(f"/admin/images/{image_id}", done="revoked")


@router.get("/images/{image_id:uuid}/original")
async def original(request: Request, session: SignedIn, image_id: UUID) -> Response:
    """The file as it was uploaded, as a download."""
    found = await web_part(request, Images).original(session.caller, image_id)
    return StoredFileResponse(
        opener(request, found.key),
        size=found.bytes,
        media_type=found.media_type,
        etag=strong_etag(found.sha256.hex()),
        cache_control=PRIVATE,
        filename=found.filename or f"{found.title}.{EXTENSION_OF[found.media_type]}",
        headers=ORIGINAL_HEADERS,
    )


@router.get("/images/{image_id:uuid}/{preset}.{form}")
async def rendition(request: Request, session: SignedIn, image_id: UUID, preset: str, form: str) -> Response:
    """A rendition for a page. The API ignores the cookie of the session, so pages have this route."""
    found = await web_part(request, Images).rendition(session.caller, image_id, preset, form)
    return StoredFileResponse(
        opener(request, found.key),
        size=found.bytes,
        media_type=MEDIA_TYPE_OF_FORMAT[form],
        etag=strong_etag(found.sha256.hex()),
        cache_control=PRIVATE,
    )
