"""Errors of the store routes."""

from imagesvc.errors import ImagesvcError, Invalid, NotFound


class StoreNotFound(NotFound):
    slug, title = "store-not-found", "There is no such store"


class NotCsv(ImagesvcError):
    status, slug, title = 415, "not-csv", "The request is not CSV"


class NotAStoreFile(Invalid):
    """The first line names the columns: `AreaCode,StoreName,StoreID`, and optionally `TimeZone`."""

    slug, title = "not-a-store-file", "The CSV file does not have the columns of stores"


class StoreFileTooLarge(ImagesvcError):
    """The rows before the limit are imported. Importing them again, in smaller files, does no harm."""

    status, slug, title = 413, "store-file-too-large", "The file of stores is too large"
