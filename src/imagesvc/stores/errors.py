"""What can be wrong with a store or a file of them."""

from imagesvc.errors import ImagesvcError, Invalid, NotFound


class StoreNotFound(NotFound):
    slug, title = "store-not-found", "There is no such store"


class NotCsv(ImagesvcError):
    status, slug, title = 415, "not-csv", "The request is not CSV"


class NotAStoreFile(Invalid):
    """Its first line names the columns: `AreaCode,StoreName,StoreID`, and `TimeZone` if there are any."""

    slug, title = "not-a-store-file", "The CSV has not the columns of stores"


class StoreFileTooLarge(ImagesvcError):
    """What came before the limit was taken. Sending it again in parts does no harm."""

    status, slug, title = 413, "store-file-too-large", "The file of stores is too large"
